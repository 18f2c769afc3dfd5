"""service_client.py: what each answer of the service means, and what a call shows and sends."""

import copy
import json
import logging
import pickle
import time
import traceback

import pytest

from tokenward import service_client as module
from tokenward.client_auth import BearerAuth, ClientSecretBasic, ClientSecretPost
from tokenward.errors import (
    AuthError,
    AuthServiceUnavailable,
    ConfigurationError,
    InvalidCredentials,
    InvalidRequest,
    InvalidToken,
    TokenExpired,
    TokenRevoked,
    TooManyAttempts,
)
from tokenward.protocols import Request, Response
from tokenward.schemas import LoginRequest, LoginResponse, LogoutResponse, PublicUser
from tokenward.service_client import AuthServiceClient

ISSUER = "https://auth.example"
PASSWORD = "correct-LEAK-battery"
TOKEN = "issued-LEAK-token"
SECRET = "9f8a-77e1-LEAK-lantern"
LOGIN = LoginRequest(username="alice", password=PASSWORD)
JSON = {"content-type": "application/json"}

USER = {
    "id": "u1",
    "username": "alice",
    "email": "a@example.com",
    "is_active": True,
    "email_verified": False,
    "roles": ["editor"],
}
GRANTED = {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 900, "user": USER}


class Service:
    """A transport in the process that answers what it is told to, and remembers what came."""

    def __init__(self):
        self.answers = []
        self.sent = []
        self.deadlines = []
        self.unreadable = []
        self.closed = 0

    def say(self, content=b"", status=200, headers=JSON):
        """Answer the next request with `content`."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.answers.append(Response(status, headers, body))
        return self

    def send(self, request, *, deadline):
        self.sent.append(request)
        self.deadlines.append(deadline)
        return self.answers.pop(0)

    def report_unreadable(self, url):
        self.unreadable.append(url)

    def close(self):
        self.closed += 1


@pytest.fixture
def service():
    return Service()


@pytest.fixture
def client(service):
    return AuthServiceClient(
        ISSUER, client_auth=ClientSecretBasic("shop", SECRET), transport=service
    )


@pytest.fixture(autouse=True)
def _every_line_is_logged(monkeypatch):
    """Start each test with a log that has said nothing this minute."""
    monkeypatch.setattr(module._seldom, "_last", {})


def login(client):
    return client.login_user(LOGIN)


def me(client):
    return client.get_logged_in_user(TOKEN)


def logout(client):
    return client.logout_user(TOKEN)


VERBS = [
    pytest.param(login, GRANTED, id="login"),
    pytest.param(me, USER, id="me"),
    pytest.param(logout, {"message": "Bye."}, id="logout"),
]


def refused(call, *args):
    """Return the error of a call, and hold it to show nothing that is secret."""
    with pytest.raises(AuthError) as caught:
        call(*args)
    error, texts = caught.value, []
    while error is not None:
        texts += [str(error), repr(error), str(vars(error)), str(error.args)]
        error = error.__cause__ or error.__context__
    texts += traceback.format_exception(caught.value)
    frame = caught.value.__traceback__
    while frame is not None:
        local = frame.tb_frame.f_locals
        # A token is an argument of the call itself.
        texts += [repr(v) for n, v in local.items() if n not in ("token", "refresh_token")]
        frame = frame.tb_next
    assert "LEAK" not in "\n".join(texts)
    return caught.value


def outage(call, *args, reason="bad_response"):
    """Hold a call to be an outage; return it."""
    error = refused(call, *args)
    assert (AuthServiceUnavailable, reason) == (type(error), error.reason)
    assert error.hint
    return error


class TestConstruction:
    @pytest.mark.parametrize(
        "issuer",
        [
            "http://auth.example",
            "https://auth.example?",
            "https://auth.example/?tenant=1",
            "https://auth.example/#f",
            "https://user@auth.example",
            "http://127.0.0.1.evil.example",
            "https://auth.example ",
            "ftp://auth.example",
            "auth.example",
            "",
            None,
        ],
    )
    def test_an_issuer_that_cannot_be_asked_stops_the_start(self, issuer):
        """A password travels over https only, this machine apart (RULES 15)."""
        with pytest.raises(ConfigurationError):
            AuthServiceClient(issuer)

    @pytest.mark.parametrize(
        ("issuer", "url"),
        [
            ("https://auth.example", "https://auth.example/login"),
            ("https://auth.example/", "https://auth.example/login"),
            ("https://example.com/auth", "https://example.com/auth/login"),
            ("https://example.com/auth/", "https://example.com/auth/login"),
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000/login"),
        ],
    )
    def test_endpoints_are_below_the_issuer(self, service, issuer, url):
        """With its path, and kept as it was given."""
        client = AuthServiceClient(issuer, transport=service.say(GRANTED))
        login(client)

        assert (issuer, [url]) == (client.issuer, [request.url for request in service.sent])

    def test_a_service_that_is_down_stops_no_start(self):
        """Nothing is asked at the start (RULES 50)."""
        client = AuthServiceClient("http://127.0.0.1:1", client_auth=ClientSecretBasic("a", "b"))
        outage(login, client, reason="connect_failed")
        client.close()

    @pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan")])
    def test_a_timeout_bounds(self, timeout):
        """No time, or all the time, is no deadline."""
        with pytest.raises(ConfigurationError, match="timeout"):
            AuthServiceClient(ISSUER, timeout=timeout)

    @pytest.mark.parametrize(
        "options",
        [
            {"verify_tls": False},
            {"connect_timeout": 0},
            {"proxies": {"https": "socks5://proxy.example"}},
            {"proxies": "http://proxy.example:3128"},
            {"verify_tls": "/nowhere/ca.pem"},
        ],
        ids=str,
    )
    def test_what_the_transport_refuses_stops_the_start(self, options):
        """Unverified TLS is for this machine only, for instance (RULES 22)."""
        with pytest.raises(ConfigurationError):
            AuthServiceClient(ISSUER, **options)

    def test_credentials_in_a_form_cannot_be_used(self):
        """A login is JSON; the message says what can be used instead."""
        with pytest.raises(ConfigurationError, match="ClientSecretBasic") as caught:
            AuthServiceClient(ISSUER, client_auth=ClientSecretPost("shop", SECRET))

        assert SECRET not in str(caught.value)

    def test_a_form_of_your_own_cannot_be_used_either(self, service):
        """It is what it does that counts, not what it is called."""

        class Own:
            def apply(self, request, /):
                return Request(request.method, request.url, form={"assertion": SECRET})

        with pytest.raises(ConfigurationError, match="Own"):
            AuthServiceClient(ISSUER, client_auth=Own(), transport=service)

    def test_a_token_source_is_not_asked_at_the_start(self, service):
        """It may ask a server, and a server may be down (RULES 50)."""
        asked = []
        auth = BearerAuth(lambda: asked.append(1) or "abc")
        client = AuthServiceClient(ISSUER, client_auth=auth, transport=service.say(GRANTED))
        assert [] == asked
        login(client)

        assert "Bearer abc" == service.sent[0].headers["Authorization"]

    def test_authentication_that_is_not_ready_is_an_outage_at_the_login(self, service):
        """What fails at the start may work later; what it says is shown to nobody."""

        class Own:
            def apply(self, request, /):
                raise RuntimeError("LEAK")

        client = AuthServiceClient(ISSUER, client_auth=Own(), transport=service)
        outage(login, client, reason="client_auth")

        assert [] == service.sent

    def test_closing_closes_the_transport_once(self, service, client):
        """What was handed in serves both kinds of calls, and is closed once."""
        client.close()

        assert 1 == service.closed


class TestWhatIsSent:
    def test_login(self, service, client):
        """JSON by POST, as RULES 36 wants it: the two members and nothing else."""
        service.say(GRANTED)
        login(client)
        (request,) = service.sent

        assert ("POST", f"{ISSUER}/login", None) == (request.method, request.url, request.form)
        assert {"username": "alice", "password": PASSWORD} == request.json
        assert "application/json" == request.headers["Accept"]
        basic = ClientSecretBasic("shop", SECRET).apply(Request("POST", ISSUER)).headers
        assert basic["Authorization"] == request.headers["Authorization"]

    def test_login_without_client_authentication(self, service):
        """Then nobody is named as the client."""
        login(AuthServiceClient(ISSUER, transport=service.say(GRANTED)))

        assert "Authorization" not in service.sent[0].headers

    def test_me(self, service, client):
        """The token, and not our own credentials, in the header; never in the URL."""
        service.say(USER)
        me(client)
        (request,) = service.sent

        assert ("GET", f"{ISSUER}/me", None, None) == (
            request.method,
            request.url,
            request.form,
            request.json,
        )
        assert f"Bearer {TOKEN}" == request.headers["Authorization"]

    @pytest.mark.parametrize(
        ("options", "members"), [({}, {}), ({"refresh_token": "r.1"}, {"refresh_token": "r.1"})]
    )
    def test_logout(self, service, client, options, members):
        """The access token in the header; a refresh token in the body, if there is one."""
        service.say({"message": "Bye."})
        client.logout_user(TOKEN, **options)
        (request,) = service.sent

        assert ("POST", f"{ISSUER}/logout", members) == (request.method, request.url, request.json)
        assert f"Bearer {TOKEN}" == request.headers["Authorization"]

    @pytest.mark.parametrize(("verb", "answer"), VERBS)
    def test_the_deadline_is_the_timeout_from_now(self, service, verb, answer):
        """One deadline for the whole call."""
        client = AuthServiceClient(ISSUER, timeout=7, transport=service.say(answer))
        before = time.monotonic()
        verb(client)

        assert before + 7 <= service.deadlines[0] <= time.monotonic() + 7


class TestAnswers:
    def test_login(self, service, client):
        """RFC 6749, section 5.1, and the user; members of later versions are ignored."""
        service.say(GRANTED | {"refresh_token": "r1", "more": [1]})
        user = PublicUser(id="u1", username="alice", email="a@example.com", roles=("editor",))

        assert LoginResponse(
            access_token=TOKEN, expires_in=900, refresh_token="r1", user=user
        ) == login(client)

    def test_me(self, service, client):
        """The user as the service has them now."""
        service.say(USER | {"email": None, "roles": []})

        assert PublicUser(id="u1", username="alice") == me(client)

    def test_logout(self, service, client):
        """What the service says to it."""
        service.say({"message": "Bye."})

        assert LogoutResponse(message="Bye.") == logout(client)

    @pytest.mark.parametrize(("verb", "answer"), VERBS)
    @pytest.mark.parametrize(
        "content_type", ["application/json; charset=utf-8", "Application/JSON"]
    )
    def test_parameters_of_the_content_type(self, service, client, verb, answer, content_type):
        """A charset and another case are the same type (RFC 9110, section 8.3.1)."""
        service.say(answer, headers={"content-type": content_type})
        verb(client)

    @pytest.mark.parametrize("verb", [login, me, logout])
    @pytest.mark.parametrize("content_type", ["text/html", "", "application/jsonp", "text/json"])
    def test_other_content_types_are_an_outage(self, service, client, caplog, verb, content_type):
        """A proxy's page that happens to parse is no answer; the log says so (RULES 50)."""
        everything = GRANTED | USER | {"message": "Bye."}
        service.say(everything, headers={"content-type": content_type} if content_type else {})
        error = outage(verb, client)

        assert "check that the issuer" in error.hint
        assert [("ERROR", error.hint)] == [(r.levelname, r.getMessage()) for r in caplog.records]
        assert [service.sent[0].url] == service.unreadable

    @pytest.mark.parametrize("verb", [login, me, logout])
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<html>LEAK",
            b"[]",
            b'"LEAK"',
            b"true",
            b"null",
            b'\xef\xbb\xbf{"message":"x"}',
            b'{"message":"LEAK","message":"y"}',
            b'{"message":"\\ud800"}',
            b'{"message":NaN}',
            b'{"message":"LEAK"',
            b'{"message":' + b"[" * 100 + b"]" * 100 + b"}",
            '{"message":"x"}'.encode("utf-16"),
        ],
        ids=lambda b: repr(b)[:30],
    )
    def test_what_is_no_strict_json_object_is_an_outage(self, service, client, verb, body):
        """It is no answer, whatever else a more tolerant reader would make of it."""
        service.say(body)
        outage(verb, client)

        assert 1 == len(service.unreadable)

    @pytest.mark.parametrize(
        "members",
        [
            {"access_token": None},
            {"access_token": ""},
            {"access_token": 1},
            {"access_token": "two words"},
            {"access_token": "a,b"},
            {"access_token": "tokén"},
            {"access_token": "a\nb"},
            {"access_token": "x" * 16_385},
            {"token_type": "DPoP"},
            {"expires_in": None},
            {"expires_in": "900"},
            {"expires_in": True},
            {"expires_in": 900.5},
            {"expires_in": 0},
            {"expires_in": -1},
            {"refresh_token": 1},
            {"user": None},
            {"user": ...},
            {"user": "alice"},
            {"user": []},
            {"access_token": ...},
            {"expires_in": ...},
        ],
        ids=lambda m: repr(m)[:40],
    )
    def test_a_login_answer_is_read_strictly(self, service, client, members):
        """A token that could not be used, or of nobody, is handed to nobody."""
        service.say({k: v for k, v in (GRANTED | members).items() if v is not ...})
        outage(login, client)

        assert [f"{ISSUER}/login"] == service.unreadable

    @pytest.mark.parametrize(
        "members",
        [
            {"id": None},
            {"id": ""},
            {"id": 1},
            {"id": ...},
            {"username": ""},
            {"username": ...},
            {"is_active": "yes"},
            {"is_active": 1},
            {"is_active": False},
            {"roles": "editor"},
            {"roles": [1]},
            {"roles": {"editor": True}},
            {"email_verified": "true"},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("verb", [login, me])
    def test_a_user_is_read_strictly(self, service, client, verb, members):
        """Without an id all users would be one, and 1 is no true."""
        user = {k: v for k, v in (USER | members).items() if v is not ...}
        service.say(user if verb is me else GRANTED | {"user": user})
        outage(verb, client)

    def test_a_bare_transport_will_do(self):
        """What ours can do beyond the protocol is not asked of yours."""

        class Bare:
            def send(self, request, *, deadline):
                return Response(200, JSON, b"{}")

            def close(self):
                """Nothing is open."""

        outage(login, AuthServiceClient(ISSUER, transport=Bare()))


class TestLoginRefusals:
    def test_wrong_password(self, service, client, caplog):
        """The same error as in the same process, and nothing in the log."""
        service.say({"error": "invalid_credentials"}, 401)
        error = refused(login, client)

        assert (InvalidCredentials, "invalid_credentials") == (type(error), error.reason)
        assert ([], "") == (service.unreadable, caplog.text)

    @pytest.mark.parametrize("status", [200, 400, 403, 404, 500])
    def test_only_a_401_says_that_a_password_is_wrong(self, service, client, status):
        """An outage is never turned into a wrong password."""
        service.say({"error": "invalid_credentials"}, status)

        assert AuthServiceUnavailable is type(refused(login, client))

    def test_malformed_request(self, service, client):
        """The fields of a login are named, escaped and cut; nothing else of the answer is."""
        fields = {
            "password": "must have\r\n" + "x" * 500,
            "username": 1,
            "LEAK": "LEAK",
            "_": "LEAK",
        }
        service.say({"error": "invalid_request", "fields": fields}, 400)
        error = refused(login, client)

        assert (InvalidRequest, ["password"]) == (type(error), list(error.fields))
        assert error.fields["password"].startswith("must have\\x0d\\x0axxx")
        assert len(error.fields["password"]) < 300

    @pytest.mark.parametrize("fields", [..., None, [], "LEAK", {"password": {"a": "LEAK"}}])
    def test_malformed_request_without_fields(self, service, client, fields):
        """Their form is the other side's word, and is not relied on."""
        said = {"error": "invalid_request"} | ({} if fields is ... else {"fields": fields})
        service.say(said, 400)

        assert {} == refused(login, client).fields

    @pytest.mark.parametrize(
        "said", [{"error": "unsupported"}, {"error": ["invalid_request"]}, [], b"<html>"], ids=str
    )
    def test_another_400_is_an_outage(self, service, client, said):
        """Only the service's own word is about what somebody typed."""
        service.say(said, 400)
        outage(login, client)

    @pytest.mark.parametrize(
        ("header", "seconds"),
        [
            ({"retry-after": "17"}, 17),
            ({}, 1),
            ({"retry-after": "0"}, 1),
            ({"retry-after": "-5"}, 1),
            ({"retry-after": "soon"}, 1),
            ({"retry-after": "999999999"}, 86_400),
            ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 1),
            ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, 86_400),
        ],
    )
    def test_throttled(self, service, client, header, seconds):
        """The service's Retry-After is passed on, within bounds; the body does not matter."""
        service.say(b"", 429, header)
        error = refused(login, client)

        assert (TooManyAttempts, seconds) == (type(error), error.retry_after)

    @pytest.mark.parametrize("status", [401, 403])
    @pytest.mark.parametrize(
        "said",
        [
            ({"error": "invalid_client"}, JSON),
            ({"error": "forbidden"}, JSON),
            (b"", {}),
            (b"<html>LEAK", {"content-type": "text/html"}),
            ({"error": "invalid_credentials", "b": "LEAK"}, {"content-type": "text/plain"}),
        ],
        ids=["invalid_client", "forbidden", "empty", "html", "wrong-type"],
    )
    def test_our_credentials_are_refused(self, service, client, caplog, status, said):
        """Whatever the body: 503, and one ERROR a minute that says what to check (RULES 20)."""
        body, headers = said
        for _ in range(2):
            service.say(body, status, headers)
        with caplog.at_level(logging.DEBUG, "tokenward"):
            for _ in range(2):
                error = outage(login, client, reason="client_refused")
                assert 5.0 == error.retry_after

        (line,) = caplog.records
        assert (logging.ERROR, "tokenward.service_client") == (line.levelno, line.name)
        assert "check client_auth" in line.getMessage()
        assert "LEAK" not in caplog.text

    def test_credentials_are_left_alone_for_five_seconds(self, service, client, monkeypatch):
        """Then they are tried again: somebody may have mended them. Tokens are asked about."""
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now)
        service.say({"error": "invalid_client"}, 401)
        outage(login, client, reason="client_refused")
        monkeypatch.setattr(time, "monotonic", lambda: now + 4.9)
        outage(login, client, reason="client_refused")
        assert 1 == len(service.sent)
        service.say(USER)
        assert "u1" == me(client).id
        monkeypatch.setattr(time, "monotonic", lambda: now + 5.0)
        service.say(GRANTED)

        assert TOKEN == login(client).access_token

    @pytest.mark.parametrize(
        ("status", "said"), [(403, b"<html>"), (401, b""), (403, {"error": "forbidden"})], ids=str
    )
    def test_a_firewall_shuts_nobody_out(self, service, client, status, said):
        """It may dislike what one person typed; the next login is sent all the same (RULES 25)."""
        service.say(said, status)
        outage(login, client, reason="client_refused")
        service.say(GRANTED)

        assert TOKEN == login(client).access_token


class TestTokenRefusals:
    @pytest.mark.parametrize("verb", [me, logout])
    @pytest.mark.parametrize("kind", [InvalidToken, TokenExpired, TokenRevoked])
    def test_the_kind_is_read_from_the_fixed_description(self, service, client, verb, kind):
        """What the service raised is raised here."""
        service.say({"error": kind.error, "error_description": kind.description}, 401)
        error = refused(verb, client)

        assert (kind, kind.reason) == (type(error), error.reason)

    @pytest.mark.parametrize("verb", [me, logout])
    @pytest.mark.parametrize(
        "description", [..., None, "", "LEAK", 1, ["The access token has expired."], {}]
    )
    def test_any_other_description_is_an_invalid_token(self, service, client, verb, description):
        """Nothing of it is shown to anybody."""
        said = {"error": "invalid_token", "error_description": description}
        service.say({k: v for k, v in said.items() if v is not ...}, 401)
        error = refused(verb, client)

        assert (InvalidToken, InvalidToken.description) == (type(error), error.description)

    @pytest.mark.parametrize("verb", [me, logout])
    @pytest.mark.parametrize(
        "said",
        [
            ({"error": "not_authenticated"}, JSON),
            ({"error": "invalid_client"}, JSON),
            ({"error": ["invalid_token"]}, JSON),
            ({"error": "invalid_token"}, {"content-type": "text/html"}),
            (b'{"error":"invalid_token","error":"invalid_token"}', JSON),
            (b"", {}),
        ],
        ids=repr,
    )
    def test_any_other_401_is_an_outage(self, service, client, caplog, verb, said):
        """A proxy that keeps the header back does not make a token bad."""
        body, headers = said
        service.say(body, 401, headers)
        error = outage(verb, client)

        assert "before the service" in error.hint
        assert [error.hint] == [r.getMessage() for r in caplog.records]

    @pytest.mark.parametrize("verb", [me, logout])
    @pytest.mark.parametrize("status", [200, 400, 403, 404, 429, 500])
    def test_only_a_401_says_that_a_token_is_bad(self, service, client, verb, status):
        """An outage is never turned into a bad token, nor into a logout."""
        service.say({"error": "invalid_token"}, status)
        outage(verb, client)

    @pytest.mark.parametrize(
        "token",
        [
            "",
            " ",
            "two words",
            "tokén",
            "a\nb",
            "a,b",
            'a"b',
            "a==b",
            "=",
            "x" * 16_385,
            None,
            b"x",
        ],
        ids=lambda t: repr(t)[:20],
    )
    def test_what_cannot_be_a_token_is_sent_to_nobody(self, service, client, token):
        """1 to 16,384 visible ASCII characters of a b64token (RULES 19; RFC 6750, section 2.1)."""
        for call in (client.get_logged_in_user, client.logout_user):
            with pytest.raises(InvalidToken):
                call(token)
        assert [] == service.sent

    @pytest.mark.parametrize("token", ["x" * 16_384, "AZaz09-._~+/=="])
    def test_what_can_be_a_token_is_sent(self, service, client, token):
        """The bounds themselves."""
        service.say(USER)
        client.get_logged_in_user(token)

        assert f"Bearer {token}" == service.sent[0].headers["Authorization"]

    @pytest.mark.parametrize("token", ["", "two words", "tokén", "x" * 16_385, 1])
    def test_what_cannot_be_a_refresh_token_is_sent_to_nobody(self, service, client, token):
        """Like an access token, before any I/O."""
        with pytest.raises(InvalidToken):
            client.logout_user(TOKEN, refresh_token=token)
        assert [] == service.sent

    @pytest.mark.parametrize("options", [{}, {"refresh_token": "r1"}])
    def test_a_logout_needs_an_access_token(self, service, client, options):
        """As in the service, and without asking it."""
        with pytest.raises(InvalidToken):
            client.logout_user(**options)
        assert [] == service.sent


class TestOutages:
    @pytest.mark.parametrize("verb", [login, me, logout])
    @pytest.mark.parametrize(
        ("status", "advice"),
        [
            (201, "check that the issuer"),
            (204, "check that the issuer"),
            (301, "redirects are not followed"),
            (307, "redirects are not followed"),
            (404, "check that the issuer"),
            (405, "check that the issuer"),
            (413, "check that the issuer"),
            (415, "check that the issuer"),
            (500, "look at the auth service"),
            (502, "look at the auth service"),
            (503, "look at the auth service"),
        ],
    )
    def test_every_other_status(self, client, caplog, verb, status, advice):
        """503 with what to check; what will not pass by itself is an ERROR (RULES 50)."""
        everything = GRANTED | USER | {"message": "Bye."}
        client._logins.say(everything, status, JSON | {"location": "https://other.example/"})
        error = outage(verb, client)

        assert advice in error.hint
        assert f"answered {status}" in error.hint
        expected = [] if status >= 500 else [error.hint]
        assert expected == [r.getMessage() for r in caplog.records]

    @pytest.mark.parametrize("verb", [me, logout])
    def test_throttled_tokens(self, service, client, caplog, verb):
        """A proxy's 429 says nothing about a token, and passes."""
        service.say(b"", 429, {"retry-after": "17"})
        error = outage(verb, client)

        assert (17, "") == (error.retry_after, caplog.text)

    @pytest.mark.parametrize(("verb", "answer"), VERBS)
    def test_retry_after_is_passed_on(self, service, client, verb, answer):
        """What the service asks for, our caller is asked for."""
        service.say(answer, 503, JSON | {"retry-after": "17"})

        assert 17 == outage(verb, client).retry_after

    def test_misconfiguration_is_one_error_a_minute(self, service, client, caplog):
        """However many people try to log in meanwhile (RULES 50)."""
        for _ in range(5):
            service.say(b"", 404)
            outage(login, client)

        assert ["ERROR"] == [r.levelname for r in caplog.records]


class TestSecrets:
    @pytest.mark.parametrize("copied", [pickle.dumps, copy.copy, copy.deepcopy])
    def test_it_is_not_copied(self, client, copied):
        """It holds secrets and sockets (RULES 44, 47)."""
        with pytest.raises(TypeError, match="make one in each process"):
            copied(client)

    def test_a_repr_shows_none(self, client):
        """It lands in logs."""
        assert "LEAK" not in repr(client)

    def test_a_failing_transport_shows_no_password(self, client):
        """Not in what a page for debugging would show of the local variables either."""
        client._logins.answers.clear()
        with pytest.raises(IndexError) as caught:
            login(client)
        frame, seen = caught.value.__traceback__, []
        while frame is not None:
            seen += [repr(value) for value in frame.tb_frame.f_locals.values()]
            frame = frame.tb_next

        assert not [text for text in seen if "LEAK" in text]
