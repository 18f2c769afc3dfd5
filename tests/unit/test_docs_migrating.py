"""docs/migrating: the code is run, and what the pages say of both libraries is so.

The tokens of flask-jwt-extended and of simplejwt are built by hand, in the shape that these make.
"""

import asyncio
import inspect
import json
import re
import sys
import time
import types
import uuid

import jwt
import pytest
from authlib.oauth2.rfc6749 import TokenValidator
from authlib.oauth2.rfc6750 import InvalidTokenError
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from doc_pages import DOCS, Page, principal_of, settings, slugs, subject_of
from joserfc.jwk import KeySet

import tokenward
from tokenward import AuthError, AuthServiceUnavailable, InvalidToken, JWKSVerifier
from tokenward.authenticator import Requirement
from tokenward.config.settings import JWKSEntry, SharedSecretEntry
from tokenward.flask import Tokenward, login_required, scopes_required
from tokenward.testing import FakeAuthorizationServer

NAMES = sorted(path.stem for path in (DOCS / "migrating").glob("*.md"))
PAGES = {name: Page(f"migrating/{name}.md") for name in NAMES}
AUTH_JWKS = PAGES["from-auth-jwks"]
PYJWT = PAGES["from-pyjwkclient"]
AUTHLIB = PAGES["from-authlib"]
FLASK = PAGES["from-flask-jwt-extended"]
SIMPLE = PAGES["from-simplejwt"]

SECRET = "f3a9c1e07b5d4826-of-a-test-and-long-enough"
ISSUER, OLD = "https://login.example", "https://shop.example"


@pytest.fixture
def server():
    """Run the issuer of the pages."""
    with FakeAuthorizationServer(audience="orders") as server:
        yield server


@pytest.fixture(autouse=True)
def _secrets(monkeypatch):
    for name in ("JWT_SECRET_KEY", "DJANGO_SECRET_KEY"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("SHORT_SECRET", "short")


@pytest.fixture
def run(server):
    """Run the one block of a page that has some text, with its issuer at a loopback address."""

    def one(page, text, **names):
        return page.run(page.block(text).replace(ISSUER, server.issuer), names)

    return one


@pytest.fixture
def mapping(server):
    """A page's mapping, with its issuer at a loopback address."""

    def of(page, nth=0):
        return json.loads(json.dumps(page.mappings()[nth]).replace(ISSUER, server.issuer))

    return of


@pytest.fixture
def myapp(monkeypatch):
    """A module ``myapp.auth`` with some names."""

    def with_names(names):
        module = types.ModuleType("myapp.auth")
        module.__dict__.update(names)
        monkeypatch.setitem(sys.modules, "myapp", types.ModuleType("myapp"))
        monkeypatch.setitem(sys.modules, "myapp.auth", module)

    return with_names


def reason_of(mapping, token):
    """Return why a token is refused."""
    with pytest.raises(AuthError) as refused:
        subject_of(mapping, token)
    return refused.value.reason


# --- every page


@pytest.mark.parametrize("name", NAMES)
def test_mappings_and_toml_are_configurations(name):
    """Each of a page, whatever it is about."""
    page = PAGES[name]
    for written in (*page.mappings(), *page.tomls()):
        if "credentials" in written:
            assert settings(written)
    assert all(compile(block, name, "exec") for block in page.blocks)


@pytest.mark.parametrize("name", NAMES)
def test_every_option_named_is_one(name):
    """What the right side of a table calls `name=` is an argument, or a setting, of ours."""
    known = {
        *inspect.signature(JWKSVerifier).parameters,
        *inspect.signature(tokenward.ClaimsPolicy).parameters,
        *JWKSEntry.model_fields,
        *SharedSecretEntry.model_fields,
        *inspect.signature(login_required).parameters,
        *inspect.signature(scopes_required).parameters,
        *inspect.signature(Tokenward.require).parameters,
    }
    cells = re.findall(r"^\|[^|]*\|([^|]*)\|", PAGES[name].text, re.MULTILINE)
    named = {n for cell in cells for s in slugs(cell) for n in re.findall(r"\b(\w+) ?=", s)}
    assert named - known - {"auth", "TOKENWARD_ENV"} == set()


@pytest.mark.parametrize("name", NAMES)
def test_every_method_of_the_verifier_named_is_one(name):
    """`verifier.…` in a page exists."""
    named = set(re.findall(r"verifier\.(\w+)\(", PAGES[name].text))
    assert {n for n in named if not callable(getattr(JWKSVerifier, n, None))} == set()


# --- auth-jwks


def test_auth_jwks_takes_the_tokens_it_took(run, mapping, server):
    """ID tokens too, with or without the scheme; and wants the claims that it wanted."""
    names = run(AUTH_JWKS, "def claims_of")
    token = server.token(sub="alice", typ="JWT", at_hash="x")
    assert (
        "alice" == names["claims_of"](f"Bearer {token}")["sub"] == names["claims_of"](token)["sub"]
    )
    assert "alice" == subject_of(mapping(AUTH_JWKS), token)
    assert "claim_missing" == reason_of(mapping(AUTH_JWKS), server.token(iat=None))


def test_auth_jwks_in_an_asyncio_application(run, server):
    """A thread does the waiting."""
    names = run(AUTH_JWKS, "async def verify", **run(AUTH_JWKS, "def claims_of"))
    assert "user-1" == asyncio.run(names["verify"](server.token()))["sub"]


def test_auth_jwks_users_get_a_503_for_an_outage(run, server):
    """And not a bad token; a document of somebody else's is one, too."""
    for path in ("oauth-authorization-server", "openid-configuration"):
        server.fail(
            f"/.well-known/{path}",
            status=200,
            headers={"Content-Type": "application/json"},
            body=b'{"issuer": "https://other.example"}',
            times=5,
        )
    with pytest.raises(AuthServiceUnavailable) as outage:
        run(AUTH_JWKS, "def claims_of")["claims_of"](server.token())
    assert (503, "issuer_mismatch") == (outage.value.status_code, outage.value.reason)


# --- PyJWKClient


@pytest.fixture
def both(run):
    """The old code, the new code, and the code that runs both."""
    names = run(PYJWT, "def old")
    for text in ("def new", "def both"):
        names |= run(PYJWT, text, **names)
    return names


def test_pyjwkclient_and_tokenward_agree(both, mapping, server, caplog):
    """The same claims from both, and nothing to log; what only PyJWT takes is logged."""
    token = server.token(sub="alice")
    assert both["old"](token) == both["new"](token) == both["both"](token)
    assert "alice" == subject_of(mapping(PYJWT), token)
    assert not caplog.messages
    both["both"](server.token(token_use="id"))
    assert any("wrong_type" in message for message in caplog.messages)


def tampered(token, nth, **changes):
    """Return a token with another header or payload."""
    parts = token.split(".")
    said = json.loads(jwt.utils.base64url_decode(parts[nth])) | changes
    parts[nth] = jwt.utils.base64url_encode(json.dumps(said).encode()).decode()
    return ".".join(parts)


PYJWT_CASES = [
    (jwt.ExpiredSignatureError, "expired", lambda s: s.token(expires_in=-60)),
    (jwt.ImmatureSignatureError, "not_yet_valid", lambda s: s.token(nbf=4_000_000_000)),
    (jwt.ImmatureSignatureError, "issued_in_future", lambda s: s.token(iat=4_000_000_000)),
    (jwt.InvalidAudienceError, "audience_mismatch", lambda s: s.token(aud="billing")),
    (jwt.InvalidIssuerError, "unknown_issuer", lambda s: s.token(iss=ISSUER)),
    (jwt.InvalidSignatureError, "bad_signature", lambda s: tampered(s.token(), 1, sub="x")),
    (jwt.DecodeError, "malformed", lambda s: "opaque"),
    (jwt.PyJWKClientError, "unknown_key", lambda s: tampered(s.token(), 0, kid="other")),
    (jwt.InvalidAlgorithmError, "algorithm", lambda s: tampered(s.token(), 0, alg="ES384")),
]


@pytest.mark.parametrize(("error", "reason", "make"), PYJWT_CASES)
def test_an_error_of_pyjwt_has_the_reason_of_the_table(both, server, error, reason, make):
    """The same token, both ways."""
    token = make(server)
    with pytest.raises(error):
        both["old"](token)
    with pytest.raises(InvalidToken) as refused:
        both["new"](token)
    assert reason == refused.value.reason
    rows = {slug: slugs(row[2]) for row in PYJWT.rows("Errors") for slug in slugs(row[0])}
    assert reason in rows[error.__name__]


def test_a_missing_claim_is_one_for_both(run, server):
    """The one error of the table that needs an option."""
    token = server.token(jti=None)
    keys = run(PYJWT, "def old")["keys"]
    with pytest.raises(jwt.MissingRequiredClaimError):
        jwt.decode(
            token,
            keys.get_signing_key_from_jwt(token),
            algorithms=["ES256"],
            audience="orders",
            options={"require": ["jti"]},
        )
    verifier = JWKSVerifier(server.issuer, audience="orders", required=["exp", "jti"])
    with pytest.raises(InvalidToken) as refused:
        verifier.verify(token)
    assert "claim_missing" == refused.value.reason


def test_an_outage_is_no_invalid_token_for_either(run, server):
    """PyJWKClient's is no `InvalidTokenError`; ours says 503."""
    names = run(PYJWT, "def old") | run(PYJWT, "def new")
    server.fail(server.jwks_uri, times=5)
    token = server.token()
    with pytest.raises(jwt.PyJWKClientConnectionError) as failed:
        names["old"](token)
    assert not isinstance(failed.value, jwt.InvalidTokenError)
    with pytest.raises(AuthServiceUnavailable):
        names["new"](token)


def test_pyjwkclient_has_the_options_of_the_table():
    """With the defaults that the page says."""
    found = inspect.signature(jwt.PyJWKClient).parameters
    expected = {"lifespan": 300, "timeout": 30, "cooldown_duration": 30}
    assert expected == {name: found[name].default for name in expected}
    assert all(f"| `{name}={default}` |" in PYJWT.text for name, default in expected.items())
    ours = inspect.signature(JWKSVerifier).parameters
    for option in ("ttl", "cooldown", "timeout", "leeway"):
        assert re.search(rf"`{option}={ours[option].default:g}`", PYJWT.text)


# --- Authlib


def test_authlib_example_is_an_application():
    """An RFC 9068 token with the scope passes; without, 403 that names it; `JWT` is refused."""
    with FakeAuthorizationServer(audience="https://orders.example") as server:
        text = json.dumps(AUTHLIB.mappings()[0]).replace(ISSUER, server.issuer)
        names = AUTHLIB.run(AUTHLIB.block("Tokenward(app)\n"), {"TOKENWARD": json.loads(text)})
        client = names["app"].test_client()
        got = {
            name: client.get("/orders", headers={"Authorization": f"Bearer {token}"})
            for name, token in {
                "good": server.token(sub="alice", scope="orders:read"),
                "poor": server.token(),
                "jwt": server.token(typ="JWT", scope="orders:read"),
                "bare": server.token(jti=None, scope="orders:read"),
            }.items()
        }
    assert {"good": 200, "poor": 403, "jwt": 401, "bare": 401} == {
        name: answer.status_code for name, answer in got.items()
    }
    assert {"for": "alice"} == got["good"].json
    assert 'scope="orders:read"' in got["poor"].headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("asked", "requirement", "row"),
    [
        (
            ["a b"],
            Requirement.of_scopes(("a", "b"), ()),
            '| `@require_oauth("a b")` | `@scopes_required("a", "b")` |',
        ),
        (
            ["a", "b"],
            Requirement.of_scopes((), ("a", "b")),
            '(["a", "b"])`, **one** of them | `@scopes_required(any_of=["a", "b"])` |',
        ),
    ],
)
@pytest.mark.parametrize("granted", ["", "a", "b", "a b", "a b c"])
def test_scopes_of_authlib_are_those_of_the_table(asked, requirement, row, granted):
    """One string is all of them; a list is one of them."""
    assert row in AUTHLIB.text
    principal = tokenward.Principal("x", scopes=granted.split())
    try:
        requirement.check(principal)
        ours = True
    except tokenward.InsufficientScope:
        ours = False
    assert ours is not TokenValidator.scope_insufficient(granted, asked)


def test_a_missing_role_is_a_401_in_authlib(server):
    """And a 403 here, as the page says; an unknown `kid` is a 401 there."""

    class Validator(JWTBearerTokenValidator):
        def get_jwks(self):
            return KeySet.import_key_set(JWKSVerifier(server.issuer, audience="orders").jwks())

    validator = Validator(server.issuer, "orders")
    found = validator.authenticate_token(server.token(roles=["buyer"]))
    with pytest.raises(InvalidTokenError):
        validator.validate_token(found, None, None, roles=["admin"])
    with pytest.raises(InvalidTokenError):
        validator.authenticate_token(tampered(server.token(), 0, kid="other"))
    with pytest.raises(tokenward.InsufficientScope):
        Requirement.of_roles(("admin",), ()).check(tokenward.Principal("x", roles={"buyer"}))


# --- flask-jwt-extended


def of_flask_jwt_extended(identity="17", kind="access", *, secret=SECRET, header=None, **changes):
    """Return a token as `create_access_token` and `create_refresh_token` of 4.7 make it."""
    now = int(time.time())
    claims = {
        "fresh": False,
        "iat": now,
        "jti": str(uuid.uuid4()),
        "type": kind,
        "sub": identity,
        "nbf": now,
        "csrf": str(uuid.uuid4()),
        "exp": now + 900,
    } | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, secret, "HS256", headers=header)


def test_the_flask_example_takes_the_tokens_there_are(mapping):
    """A view behind the new decorator, and a token of the old extension."""
    names = FLASK.run(FLASK.block("@login_required"), {"TOKENWARD": mapping(FLASK)})
    client = names["app"].test_client()
    token = of_flask_jwt_extended()
    assert {"for": "17"} == client.get("/orders", headers={"Authorization": f"Bearer {token}"}).json
    answer = client.get("/orders", headers={"Authorization": f"Bearer {token[:-4]}AAAA"})
    assert (401, "invalid_token") == (answer.status_code, answer.json["error"])


def test_claims_of_flask_jwt_extended_are_there(mapping):
    """`fresh`, `csrf`, and additional ones."""
    found = principal_of(mapping(FLASK), of_flask_jwt_extended(fresh=True, plan="gold"))
    assert (True, "gold", True) == (
        found.claims["fresh"],
        found.claims["plan"],
        "csrf" in found.claims,
    )


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (lambda: of_flask_jwt_extended(kind="refresh"), "wrong_type"),
        (lambda: with_a_number(), "no_subject"),  # noqa: PLW0108 - it is defined below
        (lambda: of_flask_jwt_extended(sub=None, user="17"), "claim_missing"),
        (lambda: of_flask_jwt_extended(exp=None), "claim_missing"),
    ],
)
def test_what_is_said_to_other_tokens_of_flask_jwt_extended(mapping, token, reason):
    """The rows of the page's table."""
    assert reason == reason_of(mapping(FLASK), token())
    text = "\n".join(" ".join(row) for row in FLASK.rows(FLASK_TABLE))
    assert f"`{reason}`" in text


FLASK_TABLE = "First: the same tokens, other decorators"


def with_a_number():
    """Return a token whose subject is a number, as old versions made it."""
    claims = {"sub": 17, "type": "access", "jti": "j", "exp": int(time.time()) + 900}
    # PyJWT does not let a number through as `sub`; its signing does not look.
    return jwt.api_jws.encode(json.dumps(claims).encode(), SECRET, "HS256")


@pytest.mark.parametrize("page", [FLASK, SIMPLE])
def test_a_short_secret_stops_the_program(page, monkeypatch):
    """With a sentence that says how long it must be."""
    for name in ("JWT_SECRET_KEY", "DJANGO_SECRET_KEY"):
        monkeypatch.setenv(name, "kD93-fmQ7!x20pLs9aWe")
    with pytest.raises(ValueError, match="HS256 needs 32"):
        settings(page.mappings()[0])


def test_a_longer_secret_by_its_name(run):
    """The two callbacks of the page: new tokens name the new secret, old ones name none."""
    names = run(FLASK, "def headers_for")
    old = of_flask_jwt_extended(secret="short" * 7)
    new = of_flask_jwt_extended(header=names["headers_for"](None))
    header = jwt.get_unverified_header
    assert ["short", SECRET] == [names["key_for"](header(t), {}) for t in (old, new)]


def test_both_issuers_of_a_flask_application(mapping, server):
    """Old tokens that name their issuer, and new ones; old ones that name none are refused."""
    both = mapping(FLASK, 1)
    assert "17" == subject_of(both, of_flask_jwt_extended(iss=OLD))
    assert "alice" == subject_of(both, server.token(sub="alice"))
    assert "unknown_issuer" == reason_of(both, of_flask_jwt_extended())
    assert "wrong_type" == reason_of(both, of_flask_jwt_extended(iss=OLD, kind="refresh"))
    (toml,) = FLASK.tomls()
    assert settings(toml) == settings(FLASK.mappings()[1])


def test_a_cookie_of_flask_jwt_extended_is_a_source(mapping):
    """`source`, as the table of settings says; an unsafe request proves its site."""
    from tokenward.config import build_authenticator

    entry = mapping(FLASK)["credentials"][0] | {"source": "cookie:access_token_cookie"}
    authenticator = build_authenticator(settings({"credentials": [entry]}))
    headers = {"Cookie": f"access_token_cookie={of_flask_jwt_extended()}"}
    assert "17" == authenticator.authenticate(headers).principal.subject
    with pytest.raises(tokenward.CrossSiteRequest):
        authenticator.authenticate(headers, method="POST")
    same = headers | {"Sec-Fetch-Site": "same-origin"}
    assert "17" == authenticator.authenticate(same, method="POST").principal.subject


# --- simplejwt


def of_simplejwt(kind="access", **changes):
    """Return a token as simplejwt 5.5 makes it."""
    now = int(time.time())
    claims = {
        "token_type": kind,
        "exp": now + 300,
        "iat": now,
        "jti": uuid.uuid4().hex,
        "user_id": "17",
    } | changes
    return jwt.encode(claims, SECRET, "HS256")


@pytest.fixture
def with_subject(monkeypatch):
    """The claims that the page's serializer writes, on top of the library's."""

    class TokenObtainPairSerializer:
        @classmethod
        def get_token(cls, user):
            return {"user_id": str(user.pk)}

    module = types.ModuleType("rest_framework_simplejwt.serializers")
    module.TokenObtainPairSerializer = TokenObtainPairSerializer
    monkeypatch.setitem(sys.modules, "rest_framework_simplejwt", types.ModuleType("simplejwt"))
    monkeypatch.setitem(sys.modules, "rest_framework_simplejwt.serializers", module)
    names = SIMPLE.run(SIMPLE.block("class WithSubject"), {})
    return names["WithSubject"].get_token(types.SimpleNamespace(pk=17))


def test_tokens_of_simplejwt_with_a_subject_are_taken(mapping, server, with_subject):
    """Beside the new issuer's; access and sliding ones, and no refresh token."""
    both = mapping(SIMPLE)
    assert "17" == subject_of(both, of_simplejwt(**with_subject))
    assert "17" == subject_of(both, of_simplejwt("sliding", **with_subject))
    assert "alice" == subject_of(both, server.token(sub="alice"))
    assert "wrong_type" == reason_of(both, of_simplejwt("refresh", **with_subject))


def test_tokens_of_simplejwt_as_they_are(mapping):
    """Without an issuer they are nobody's; alone at their place they name nobody."""
    both = mapping(SIMPLE)
    assert "unknown_issuer" == reason_of(both, of_simplejwt())
    alone = {"credentials": [both["credentials"][0] | {"issuer": None, "required": ["exp"]}]}
    assert "no_subject" == reason_of(alone, of_simplejwt())


def test_a_verifier_of_your_own_takes_them_as_they_are(run, mapping, myapp, server):
    """The page's last resort, and what it refuses."""
    myapp(run(SIMPLE, "class SimpleJWT"))
    custom = mapping(SIMPLE, 1)
    found = principal_of(custom, of_simplejwt())
    assert ("17", OLD, "user") == (found.subject, found.issuer, found.kind)
    assert "alice" == subject_of(custom, server.token(sub="alice"))
    forged = jwt.encode({"user_id": "17", "token_type": "access"}, SECRET[::-1], "HS256")
    for token, reason in {
        of_simplejwt("refresh"): "wrong_type",
        of_simplejwt("sliding"): "wrong_type",
        of_simplejwt(exp=1): "bad_signature",
        forged: "bad_signature",
        of_simplejwt(iss=server.issuer): "algorithm",
        server.token(iss=None): "bad_signature",
        "opaque": "malformed",
    }.items():
        assert reason == reason_of(custom, token)


@pytest.mark.django_db
def test_subjects_of_simplejwt_are_the_rows_they_were(run, mapping, settings):
    """After `link`, a token of user 17 is user 17, and nobody gets a new row."""
    from django.contrib.auth.models import User

    from tokenward.django.users import user_for

    before = User.objects.create_user("alice")
    link = run(SIMPLE, "def link")["link"]
    link(OLD)
    link(OLD)
    settings.TOKENWARD = mapping(SIMPLE)
    token = of_simplejwt(user_id=str(before.pk), sub=str(before.pk), iss=OLD)
    assert before == user_for(principal_of(mapping(SIMPLE), token))
    assert 1 == User.objects.count()


def test_the_django_settings_of_the_page_name_what_there_is():
    """The classes can be imported."""
    from django.utils.module_loading import import_string

    names = SIMPLE.run(SIMPLE.block("INSTALLED_APPS +="), {"INSTALLED_APPS": [], "MIDDLEWARE": []})
    for path in (*names["MIDDLEWARE"], *names["REST_FRAMEWORK"].popitem()[1]):
        assert import_string(path)
    assert ["tokenward.django"] == names["INSTALLED_APPS"]
