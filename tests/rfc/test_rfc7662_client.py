"""RFC 7662, OAuth 2.0 Token Introspection, from the side of the protected resource.

Tests are named after the sections they hold. What the answers do to our caches is in
`tests/contract/test_introspection.py`; our own endpoint is in `test_rfc7662.py`.
"""

import base64
import json
from urllib.parse import unquote_plus

import pytest

from tokenward.client_auth import BearerAuth, ClientSecretBasic, ClientSecretPost
from tokenward.errors import AuthServiceUnavailable, ConfigurationError, InvalidToken
from tokenward.introspection import IntrospectionClient, IntrospectionVerifier
from tokenward.testing import FakeAuthorizationServer, FakeClock

# The answer that RFC 7662 shows in section 2.2.
JSON = {"Content-Type": "application/json"}

EXAMPLE = {
    "active": True,
    "client_id": "l238j323ds-23ij4",
    "username": "jdoe",
    "scope": "read write dolphin",
    "sub": "Z5O3upPC88QrAjx00dis",
    "aud": "https://protected.example.net/resource",
    "iss": "https://server.example.com/",
    "exp": 1419356238,
    "iat": 1419350238,
    "extension_field": "twenty-seven",
}


@pytest.fixture
def server():
    """Run an authorization server that knows the client of the RFC's example."""
    with FakeAuthorizationServer(client_id="s6BhdRkqt3", client_secret="gX1fBat3bV") as fake:
        yield fake


@pytest.fixture
def ask(server):
    """Return a function that introspects a token and closes its client afterwards."""
    clients = []

    def ask(token="mF_9.B5f-4.1JqM", **options):
        auth = ClientSecretBasic(server.client_id, server.client_secret)
        known = {"client_auth": auth} | options
        clients.append(IntrospectionClient(server.introspection_endpoint, **known))
        return clients[-1].introspect(token)

    yield ask
    for client in clients:
        client.close()


def verifier(server, **options):
    """Return a verifier of the server, at the time of the RFC's example."""
    client = IntrospectionClient(
        server.introspection_endpoint,
        client_auth=ClientSecretBasic(server.client_id, server.client_secret),
    )
    clock = FakeClock(EXAMPLE["iat"] + 60)
    return IntrospectionVerifier(client, **{"audience": EXAMPLE["aud"], "clock": clock} | options)


def says(server, answer, *, status=200, headers=JSON, times=1):
    """Let the server answer the next calls with `answer`."""
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    server.fail(
        server.introspection_endpoint, status=status, times=times, headers=headers, body=body
    )


def only_request(server):
    """Return the one request that came."""
    (request,) = server.requests()
    return request


def test_2_1_post_with_a_form_body(ask, server):
    """The request is a POST whose body is ``application/x-www-form-urlencoded``."""
    ask()
    request = only_request(server)

    assert ("POST", "/introspect") == (request.method, request.path)
    assert "application/x-www-form-urlencoded" == request.headers["content-type"]


def test_2_1_token_is_required(ask, server):
    """``token`` carries the token's string value, octet for octet."""
    token = "a+b/c==&token=x%41~"  # nothing of it may be taken for the form's own syntax
    ask(token)

    assert token == only_request(server).form["token"]


@pytest.mark.parametrize("hint", ["access_token", "urn:example:type", None])
def test_2_1_token_type_hint_is_optional(ask, server, hint):
    """The hint is sent as configured, or not at all."""
    ask(token_type_hint=hint)

    assert hint == only_request(server).form.get("token_type_hint")


def test_2_1_json_is_asked_for(ask, server):
    """``Accept`` says which form of answer is understood."""
    ask()

    assert "application/json" == only_request(server).headers["accept"]


def test_2_1_authorization_by_client_credentials(ask, server):
    """The endpoint demands authorization; Basic is that of RFC 6749, section 2.3.1."""
    ask()
    scheme, value = only_request(server).headers["authorization"].split()
    client_id, secret = base64.b64decode(value).decode().split(":")

    assert ("Basic", "s6BhdRkqt3", "gX1fBat3bV") == (scheme, client_id, secret)


def test_2_1_authorization_is_form_encoded():
    """Identifier and secret are form-encoded before base64 (RFC 6749, section 2.3.1)."""
    odd = {"client_id": "a:b c%é", "client_secret": "s:é &+%2F"}
    with FakeAuthorizationServer(**odd) as fake:
        client = IntrospectionClient(
            fake.introspection_endpoint, client_auth=ClientSecretBasic(*odd.values())
        )
        token = fake.token(opaque=True)
        assert client.introspect(token)["active"] is True
        client.close()
        value = fake.requests()[0].headers["authorization"].split()[1]

    pair = base64.b64decode(value).decode("ascii").split(":")
    assert [*odd.values()] == [unquote_plus(part) for part in pair]


def test_2_1_authorization_in_the_body(ask, server):
    """The credentials may be form fields instead, beside the token."""
    token = server.token(opaque=True)
    said = ask(token, client_auth=ClientSecretPost(server.client_id, server.client_secret))
    request = only_request(server)

    assert said["active"] is True
    assert {"token", "token_type_hint", "client_id", "client_secret"} == request.form.keys()
    assert "authorization" not in request.headers


@pytest.mark.parametrize("token", ["23410913-abewfq.123483", lambda: "23410913-abewfq.123483"])
def test_2_1_authorization_by_a_bearer_token(ask, server, token):
    """A separate access token may authorize us, as in the RFC's first example."""
    says(server, {"active": False})
    ask(client_auth=BearerAuth(token))

    assert "Bearer 23410913-abewfq.123483" == only_request(server).headers["authorization"]


def test_2_1_never_in_a_url(ask, server):
    """A token in a URL would stand in logs; GET is not used at all (section 4)."""
    token = server.token(opaque=True)
    ask(token)

    assert not [r for r in server.requests() if token in r.path or r.method != "POST"]


def test_2_2_the_example(server):
    """The RFC's own answer, member for member."""
    says(server, EXAMPLE)
    verified = verifier(server, issuer="https://server.example.com/")
    who = verified.verify("mF_9.B5f-4.1JqM")
    verified.close()

    assert ("Z5O3upPC88QrAjx00dis", "https://server.example.com/") == (who.subject, who.issuer)
    assert frozenset({"read", "write", "dolphin"}) == who.scopes
    assert ("l238j323ds-23ij4", "jdoe") == (who.client_id, who.username)
    assert (1419356238, "twenty-seven") == (who.expires_at, who.claims["extension_field"])


@pytest.mark.parametrize("value", ["true", "True", 1, "1", None, [], {}, "active"])
def test_2_2_active_is_a_required_boolean(server, value):
    """Anything but JSON true or false, absence included, is no answer at all."""
    verified = verifier(server)
    for answer in (
        EXAMPLE | {"active": value},
        {k: v for k, v in EXAMPLE.items() if k != "active"},
    ):
        says(server, answer)
        with pytest.raises(AuthServiceUnavailable):
            verified.verify("token")
    verified.close()


def test_2_2_inactive_has_no_more_members(server):
    """``{"active": false}`` alone is a complete answer, and a refusal."""
    says(server, {"active": False})
    verified = verifier(server)
    with pytest.raises(InvalidToken) as caught:
        verified.verify("token")
    verified.close()

    assert "inactive" == caught.value.reason


@pytest.mark.parametrize("name", sorted(EXAMPLE.keys() - {"active", "aud", "sub"}))
def test_2_2_other_members_are_optional(server, name):
    """Every member but ``active`` may be missing; who it is and for whom must be said."""
    says(server, {k: v for k, v in EXAMPLE.items() if k != name})
    verified = verifier(server)
    who = verified.verify("token")
    verified.close()

    assert "Z5O3upPC88QrAjx00dis" == who.subject


@pytest.mark.parametrize(
    ("member", "value", "reason"),
    [
        ("exp", EXAMPLE["iat"], "expired"),
        ("nbf", EXAMPLE["exp"], "not_yet_valid"),
        ("iat", EXAMPLE["exp"], "issued_in_future"),
        ("aud", "https://other.example.net", "audience_mismatch"),
        ("iss", "https://server.example.com", "unknown_issuer"),
        ("token_type", "N_A", "wrong_type"),
    ],
)
def test_2_2_members_are_checked(server, member, value, reason):
    """The resource applies the members of the answer to its own policy."""
    says(server, EXAMPLE | {member: value})
    verified = verifier(server, issuer="https://server.example.com/")
    with pytest.raises(InvalidToken) as caught:
        verified.verify("token")
    verified.close()

    assert reason == caught.value.reason


def test_2_2_only_application_json(server):
    """Another content type is no introspection answer."""
    verified = verifier(server)
    for content_type in ("text/plain", "application/token-introspection+jwt"):
        says(server, EXAMPLE, headers={"Content-Type": content_type})
        with pytest.raises(AuthServiceUnavailable):
            verified.verify("token")
    verified.close()


def test_2_3_refused_credentials_are_no_verdict(ask, server):
    """401 means that *we* are not authorized; the token may well be good."""
    with pytest.raises(AuthServiceUnavailable) as caught:
        ask(client_auth=ClientSecretBasic(server.client_id, "wrong"))

    assert "client_refused" == caught.value.reason


@pytest.mark.parametrize("status", [401, 403])
def test_2_3_refused_without_a_body(ask, server, status):
    """A server that says nothing beside the status is understood (RFC 6750, section 3)."""
    says(server, b"", status=status, headers={})
    with pytest.raises(AuthServiceUnavailable) as caught:
        ask()

    assert "client_refused" == caught.value.reason


def test_2_3_an_unknown_token_is_no_error(ask):
    """A token the server does not know is inactive, with status 200."""
    assert {"active": False} == dict(ask("unknown"))


@pytest.mark.parametrize(
    "endpoint",
    ["http://server.example.com/introspect", "http://10.0.0.1/introspect", "http://[::2]/i"],
)
def test_4_tls_is_required(endpoint):
    """Tokens and our secret travel over TLS only, loopback apart."""
    with pytest.raises(ConfigurationError):
        IntrospectionClient(endpoint, client_auth=ClientSecretBasic("a", "b"))


def test_4_a_cached_answer_ends_with_the_token(server):
    """An answer with ``exp`` is never cached beyond it."""
    clock = FakeClock(EXAMPLE["exp"] - 10)
    says(server, EXAMPLE)
    verified = verifier(server, clock=clock, ttl=3_600)
    verified.verify("token")
    clock.advance(9.9)
    verified.verify("token")
    clock.advance(0.1)
    with pytest.raises(InvalidToken):
        verified.verify("token")
    verified.close()

    assert 2 == len(server.requests())


def test_4_caching_can_be_turned_off(server):
    """Where a stale answer is not acceptable, every request asks."""
    says(server, EXAMPLE, times=2)
    verified = verifier(server, ttl=0, negative_ttl=0)
    verified.verify("token")
    verified.verify("token")
    with pytest.raises(InvalidToken):
        verified.verify("unknown")
    with pytest.raises(InvalidToken):
        verified.verify("unknown")
    verified.close()

    assert 4 == len(server.requests())


def test_4_redirects_leak_nothing(ask, server):
    """A redirect would carry the token to a place nobody configured."""
    says(server, b"", status=302, headers={"Location": server.issuer + "/.well-known/jwks.json"})
    with pytest.raises(AuthServiceUnavailable):
        ask()

    assert 1 == len(server.requests())
