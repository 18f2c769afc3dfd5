"""How tokenward authenticates itself (RULES 19, 44)."""

import base64
import copy
import hashlib
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tokenward import _jose, client_auth
from tokenward.client_auth import (
    BearerAuth,
    ClientSecretBasic,
    ClientSecretPost,
    PrivateKeyJWT,
    authenticated,
)
from tokenward.errors import (
    AuthError,
    AuthServiceUnavailable,
    ConfigurationError,
    InvalidCredentials,
    TokenExpired,
)
from tokenward.protocols import Request

REQUEST = Request(
    "POST",
    "https://auth.example.com/introspect",
    headers={"Accept": "application/json"},
    form={"token": "a-token"},
)


def basic_of(auth):
    """Return what the server reads out of the header."""
    scheme, _, value = auth.apply(REQUEST).headers["Authorization"].partition(" ")
    assert scheme == "Basic"
    return base64.b64decode(value, validate=True).decode()


@pytest.mark.parametrize(
    ("client_id", "client_secret", "sent"),
    [
        ("orders", "s3cret", "orders:s3cret"),
        ("orders:eu", "a:b", "orders%3Aeu:a%3Ab"),
        ("my client", "a b+c", "my+client:a+b%2Bc"),
        ("orders", "50%&=/?", "orders:50%25%26%3D%2F%3F"),
        ("ü", "é€", "%C3%BC:%C3%A9%E2%82%AC"),
    ],
)
def test_basic_is_form_encoded(client_id, client_secret, sent):
    """Identifier and secret are form-urlencoded before base64 (RFC 6749, section 2.3.1)."""
    assert basic_of(ClientSecretBasic(client_id, client_secret)) == sent


def test_raw_basic_is_not_encoded():
    """For servers that do not decode, the characters travel as they are."""
    auth = ClientSecretBasic("orders", "a:b c+%é", encoding="raw")
    assert basic_of(auth) == "orders:a:b c+%é"


def test_a_raw_identifier_with_a_colon_is_refused():
    """It could not be told from the secret (RFC 7617, section 2)."""
    with pytest.raises(ConfigurationError, match="colon"):
        ClientSecretBasic("orders:eu", "s", encoding="raw")


def test_an_unknown_encoding_is_refused():
    """The encoding is form or raw."""
    with pytest.raises(ConfigurationError, match="raw"):
        ClientSecretBasic("orders", "s", encoding="percent")


def test_post_puts_both_into_the_form():
    """client_id and client_secret join the fields that are there."""
    sent = ClientSecretPost("orders", "a b").apply(REQUEST)
    assert sent.form == {"token": "a-token", "client_id": "orders", "client_secret": "a b"}
    assert sent.headers == {"Accept": "application/json"}


def test_post_makes_a_form_where_there_is_none():
    """A request without a form gets one."""
    sent = ClientSecretPost("orders", "s").apply(Request("POST", "https://auth.example.com/"))
    assert sent.form == {"client_id": "orders", "client_secret": "s"}


def test_bearer_sends_the_token():
    """A token given as a string is sent with every request."""
    sent = BearerAuth("abc.DEF-_~+/==").apply(REQUEST)
    assert sent.headers["Authorization"] == "Bearer abc.DEF-_~+/=="


def test_bearer_asks_its_callable_for_every_request():
    """A token source is asked each time, so that it can renew."""
    tokens = iter(["one", "two"])
    auth = BearerAuth(lambda: next(tokens))
    assert auth.apply(REQUEST).headers["Authorization"] == "Bearer one"
    assert auth.apply(REQUEST).headers["Authorization"] == "Bearer two"


def test_an_outage_of_the_token_source_is_passed_on():
    """AuthServiceUnavailable from the callable keeps its reason."""

    def down():
        raise AuthServiceUnavailable("down", reason="deadline")

    with pytest.raises(AuthServiceUnavailable) as caught:
        BearerAuth(down).apply(REQUEST)
    assert caught.value.reason == "deadline"


@pytest.mark.parametrize("returned", ["", "two words", "Bearer x", "a\r\nb", "é", None, b"abc", 7])
def test_an_unusable_token_of_the_source_is_an_outage(returned):
    """What the callable returns is checked; the error does not show it."""
    with pytest.raises(AuthServiceUnavailable) as caught:
        BearerAuth(lambda: returned).apply(REQUEST)
    assert caught.value.reason == "client_auth"
    assert "two words" not in caught.value.hint


def test_a_failing_token_source_is_an_outage():
    """No foreign exception leaves, and what it said is not repeated."""

    def broken():
        raise RuntimeError("hunter2")

    with pytest.raises(AuthServiceUnavailable) as caught:
        BearerAuth(broken).apply(REQUEST)
    assert caught.value.reason == "client_auth"
    assert "RuntimeError" in caught.value.hint
    assert "hunter2" not in caught.value.hint
    assert caught.value.__context__ is None


class Source:
    """A source of tokens that is told which were refused."""

    def __init__(self, *tokens, client_id=None, error=None):
        self.tokens = list(tokens)
        self.refused = []
        self.client_id = client_id
        self.error = error

    def __call__(self):
        return self.tokens.pop(0)

    def invalidate(self, token):
        self.refused.append(token)
        if self.error is not None:
            raise self.error


def test_a_source_is_told_of_a_refused_token():
    """Of the last one that was sent, and of none before anything was."""
    source = Source("one", "two", "three")
    auth = BearerAuth(source)
    auth.refused()
    assert [] == source.refused
    auth.apply(REQUEST)
    auth.refused()
    auth.apply(REQUEST)
    auth.apply(REQUEST)
    auth.refused()

    assert ["one", "three"] == source.refused


def test_each_thread_tells_of_the_token_that_it_sent():
    """One that another thread has got meanwhile has been refused by nobody."""
    source = Source("one", "two")
    auth = BearerAuth(source)
    auth.apply(REQUEST)
    with ThreadPoolExecutor(1) as threads:
        threads.submit(auth.apply, REQUEST).result(90)
        auth.refused()
        assert ["one"] == source.refused
        threads.submit(auth.refused).result(90)

    assert ["one", "two"] == source.refused


def test_many_threads_are_refused_at_once():
    """Each is told of as what it was."""
    source = Source(*(f"token-{number}" for number in range(32)))
    auth = BearerAuth(source)
    together = threading.Barrier(32)

    def ask(_):
        sent = auth.apply(REQUEST).headers["Authorization"]
        together.wait(90)
        auth.refused()
        return sent.removeprefix("Bearer ")

    with ThreadPoolExecutor(32) as threads:
        sent = list(threads.map(ask, range(32)))

    assert 32 == len(set(sent))
    assert sorted(sent) == sorted(source.refused)


@pytest.mark.parametrize("given", ["a-token", lambda: "a-token"], ids=["token", "callable"])
def test_where_there_is_nobody_to_tell_a_refusal_changes_nothing(given, caplog):
    """A token is sent as it is, and a callable asked again."""
    auth = BearerAuth(given)
    auth.apply(REQUEST)
    auth.refused()

    assert "Bearer a-token" == auth.apply(REQUEST).headers["Authorization"]
    assert [] == caplog.messages


@pytest.mark.parametrize("kind", [RuntimeError, AuthServiceUnavailable])
def test_a_source_that_fails_to_be_told_is_logged(caplog, kind):
    """Nothing is raised, and what it said is not repeated."""

    class Odd(kind):
        pass

    Odd.__name__ = f"Odd{kind.__name__}"
    source = Source("one", "two", error=Odd("hunter2"))
    auth = BearerAuth(source)
    for _ in range(2):
        auth.apply(REQUEST)
        auth.refused()

    assert ["one", "two"] == source.refused
    (message,) = caplog.messages
    assert Odd.__name__ in message
    assert "hunter2" not in caplog.text


def test_a_property_may_fail():
    """Of whatever is given as a source: it has no name then, and is told nothing."""

    class Odd:
        def __call__(self):
            return "a-token"

        def _fail(self):
            raise RuntimeError("hunter2")

        client_id = property(_fail)
        invalidate = property(_fail)

    auth = BearerAuth(Odd())
    auth.apply(REQUEST)
    auth.refused()

    assert auth.client_id is None


ALL = [
    ClientSecretBasic("orders", "hunter2"),
    ClientSecretBasic("orders", "hunter2", encoding="raw"),
    ClientSecretPost("orders", "hunter2"),
    BearerAuth("hunter2"),
    BearerAuth(lambda: "hunter2"),
    PrivateKeyJWT("orders", _jose.to_pem(_jose.generate_key("ES256"))),
]


def test_their_names_are_those_of_the_registry():
    """What a server may offer (RFC 8414, section 2); a bearer token has no such name."""
    assert ("client_secret_basic",) == ClientSecretBasic("orders", "s").methods
    assert ("client_secret_post",) == ClientSecretPost("orders", "s").methods
    assert ("private_key_jwt",) == PrivateKeyJWT.methods
    assert not hasattr(BearerAuth("t"), "methods")


def test_the_client_is_named():
    """All say which client they are, but for a bearer token."""
    named = {getattr(auth, "client_id", None) for auth in ALL if not isinstance(auth, BearerAuth)}
    assert {"orders"} == named


def test_a_bearer_token_is_named_by_its_digest():
    """The client that has it is told from others, and the token is not shown."""
    digest = hashlib.sha256(b"hunter2").hexdigest()

    assert f"bearer:{digest[:16]}" == BearerAuth("hunter2").client_id
    assert BearerAuth("hunter2").client_id == BearerAuth("hunter2").client_id
    assert BearerAuth("hunter2").client_id != BearerAuth("hunter3").client_id


@pytest.mark.parametrize(
    ("client_id", "expected"), [("orders", "orders"), ("", None), (None, None), (7, None)]
)
def test_a_source_of_tokens_names_the_client(client_id, expected):
    """If it has a name that is one."""
    assert expected == BearerAuth(Source(client_id=client_id)).client_id


def test_a_function_names_no_client():
    """Whose tokens it returns nobody knows, not even when it has returned one."""
    auth = BearerAuth(lambda: "a-token")
    auth.apply(REQUEST)

    assert auth.client_id is None


def test_the_package_has_the_names_that_it_lists():
    """Those that need a third party are resolved on first use."""
    assert sorted(client_auth.__all__) == client_auth.__all__
    assert {*client_auth.__all__} <= {*dir(client_auth)}
    assert all(hasattr(client_auth, name) for name in client_auth.__all__)
    assert not hasattr(client_auth, "Nothing")


@pytest.mark.parametrize(
    "raised", [RuntimeError, ConfigurationError, AuthError, TokenExpired, InvalidCredentials]
)
def test_a_way_of_your_own_may_fail(raised):
    """Whatever it raises is an outage, none of the caller's, and what it said is not repeated."""

    class Broken:
        def apply(self, request, /):
            raise raised("hunter2")

    with pytest.raises(AuthServiceUnavailable) as caught:
        authenticated(REQUEST, Broken())
    assert caught.value.reason == "client_auth"
    assert raised.__name__ in caught.value.hint
    assert "hunter2" not in caught.value.hint
    assert caught.value.__context__ is None


def test_an_outage_of_your_own_is_told_as_it_is():
    """Only its source knows when to come back."""
    outage = AuthServiceUnavailable("no tokens", reason="busy", retry_after=7)

    class Down:
        def apply(self, request, /):
            raise outage

    with pytest.raises(AuthServiceUnavailable) as caught:
        authenticated(REQUEST, Down())
    assert caught.value is outage


@pytest.mark.parametrize("auth", ALL, ids=repr)
def test_the_request_is_left_as_it_was(auth):
    """Apply returns another request; the given one and its mappings do not change."""
    before = copy.deepcopy((dict(REQUEST.headers), dict(REQUEST.form)))
    sent = auth.apply(REQUEST)
    assert sent is not REQUEST
    assert (REQUEST.headers, REQUEST.form) == before
    assert (sent.method, sent.url, sent.cert) == (REQUEST.method, REQUEST.url, REQUEST.cert)
    assert sent.form["token"] == "a-token"
    assert sent.headers["Accept"] == "application/json"


@pytest.mark.parametrize("auth", ALL, ids=repr)
def test_no_secret_is_shown(auth):
    """Neither the object's nor the request's repr holds the secret or its encoding."""
    encoded = base64.b64encode(b"orders:hunter2").decode()
    for text in (repr(auth), str(auth), repr(auth.apply(REQUEST))):
        assert "hunter2" not in text
        assert encoded not in text


@pytest.mark.parametrize("auth", ALL, ids=repr)
def test_nothing_is_pickled(auth):
    """A secret does not cross a process boundary by accident."""
    with pytest.raises(TypeError, match="each process"):
        pickle.dumps(auth)


@pytest.mark.parametrize("method", [ClientSecretBasic, ClientSecretPost])
@pytest.mark.parametrize("bad", ["", None, b"bytes", 7, "a\n", "a\r", "a\x00b", "a\x7f", "\ud800"])
def test_an_unusable_identifier_or_secret_stops_start_up(method, bad):
    """Empty, not a string, or with a control character, as a file's last newline."""
    with pytest.raises(ConfigurationError, match="client_secret"):
        method("orders", bad)
    with pytest.raises(ConfigurationError, match="client_id"):
        method(bad, "s3cret")


@pytest.mark.parametrize("bad", ["", "two words", "Bearer x", "a\n", "é", "=abc", None, b"abc", 7])
def test_an_unusable_bearer_token_stops_start_up(bad):
    """Only the characters of RFC 6750, section 2.1, and not the scheme's name."""
    with pytest.raises(ConfigurationError, match="Bearer"):
        BearerAuth(bad)
