"""Several entries at one place: told apart by their issuers, or not at all."""

import sys

import jwt
import pytest
from configurations import (
    HMAC_SECRET,
    ISSUER,
    cloudflare,
    custom,
    introspection,
    jwks,
    parsed,
    service,
    shared_secret,
)

from tokenward import _jose
from tokenward.by_issuer import ByIssuer, Unreserved
from tokenward.config import Settings, build_authenticator, build_service
from tokenward.errors import ConfigurationError, InvalidToken
from tokenward.schemas import RegisterRequest
from tokenward.tokens import create_access_token

LOGIN, OLD, PARTNER = "https://login.example", "https://old.example", "https://partner.example"
KEY, OTHER_KEY = _jose.generate_key("ES256"), _jose.generate_key("ES256")
FAR = 2**33

MODULE = f"""
from tokenward.principal import Principal

class Verifier:
    def verify(self, token, /, *, live=False):
        return Principal("partner", issuer="{PARTNER}")

make = Verifier
"""


@pytest.fixture(autouse=True)
def shop(tmp_path, monkeypatch):
    (tmp_path / "partner_shop.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("partner_shop", None)


def keys(key=KEY):
    return {"keys": [_jose.public_jwk(key)]}


def signed(iss=LOGIN, key=KEY, **claims):
    return _jose.sign({"iss": iss, "sub": "ada", "aud": "orders", "exp": FAR, **claims}, key)


def with_secret(iss=OLD):
    said = {"iss": iss, "sub": "ada", "aud": "orders", "exp": FAR}
    return jwt.encode(said, HMAC_SECRET, "HS256")


def asked(server, **changes):
    auth = {
        "method": "client_secret_basic",
        "client_id": server.client_id,
        "client_secret": server.client_secret,
    }
    known = {"introspection_endpoint": server.introspection_endpoint, "client_auth": auth}
    return introspection(**known | changes)


def at_one_place(*entries, **sections):
    (credential,) = build_authenticator(parsed(*entries, **sections)).credentials
    return credential.verifier


def refused(*entries, **sections):
    with pytest.raises(ConfigurationError) as caught:
        build_authenticator(parsed(*entries, **sections))
    return str(caught.value)


# --- told apart


def test_each_token_goes_to_its_issuer(server, read):
    """Signed ones by what they name, opaque ones to the server, and others to nobody."""
    settings = read(
        jwks(jwks=keys()),
        shared_secret(),
        custom(issuer=PARTNER),
        {"type": "local"},
        asked(server),
        service=service(),
    )
    ours = build_service(settings)
    (credential,) = build_authenticator(settings, service=ours).credentials
    joined = credential.verifier
    user = ours.register_user(
        RegisterRequest(username="ada", email="ada@example.org", password="lantern-9")
    )
    own = create_access_token(
        {"sub": user.id, "ver": 0}, keys=ours.keys, issuer=ISSUER, audience="orders"
    )

    assert ByIssuer is type(joined)
    issuers = [joined.verify(t).issuer for t in (signed(), with_secret(), signed(PARTNER), own)]
    assert [LOGIN, OLD, PARTNER, ISSUER] == issuers
    assert "user-1" == joined.verify(server.token(opaque=True, iss=None)).subject
    assert 1 == len(server.requests("/introspect"))
    with pytest.raises(InvalidToken) as caught:
        joined.verify(signed("https://nobody.example"))
    assert "unknown_issuer" == caught.value.reason
    assert 1 == len(server.requests("/introspect"))


def test_the_key_of_one_issuer_verifies_nothing_of_another():
    """Each has its own (RULES 11)."""
    other = jwks(issuer="https://other.example", jwks=keys(OTHER_KEY))
    joined = at_one_place(jwks(jwks=keys()), other)
    assert LOGIN == joined.verify(signed()).issuer
    with pytest.raises(InvalidToken):
        joined.verify(signed("https://other.example", KEY))


def test_issuers_that_are_found_by_discovery(server, other, read):
    """Two servers behind one header."""
    settings = read(*(jwks(issuer=one.issuer) for one in (server, other)))
    (credential,) = build_authenticator(settings).credentials
    for one in (server, other):
        assert one.issuer == credential.verifier.verify(one.token()).issuer


def test_introspection_takes_the_jwts_of_its_own_issuer(server):
    """And what is not a JWT."""
    joined = at_one_place(jwks(jwks=keys()), asked(server, issuer=server.issuer))
    for token in (server.token(), server.token(opaque=True)):
        assert server.issuer == joined.verify(token).issuer
    assert LOGIN == joined.verify(signed()).issuer


def test_a_server_cannot_name_an_issuer_that_has_keys_of_its_own(server):
    """An answer about an opaque token makes nobody of another issuer's."""
    joined = at_one_place(jwks(jwks=keys()), asked(server))
    with pytest.raises(InvalidToken) as caught:
        joined.verify(server.token(opaque=True, iss=LOGIN))
    assert "unknown_issuer" == caught.value.reason


@pytest.mark.parametrize(
    "entry",
    [
        jwks(issuer=None, jwks=keys(OTHER_KEY), source="header:X-Token"),
        shared_secret(issuer=None, source="header:X-Token"),
    ],
    ids=["jwks", "shared_secret"],
)
def test_keys_of_anybody_cannot_name_an_issuer_that_is_configured_elsewhere(entry):
    """At another place, where they are alone."""
    made = build_authenticator(parsed(jwks(jwks=keys()), entry)).credentials[1].verifier
    sign = {"jwks": lambda iss: signed(iss, OTHER_KEY), "shared_secret": with_secret}[entry["type"]]
    assert Unreserved is type(made)
    assert "https://x.example" == made.verify(sign("https://x.example")).issuer
    with pytest.raises(InvalidToken) as caught:
        made.verify(sign(LOGIN))
    assert "unknown_issuer" == caught.value.reason


def test_alone_it_names_whom_it_likes():
    """There is nobody to be taken for."""
    entry = jwks(issuer=None, jwks=keys())
    assert "https://x.example" == at_one_place(entry).verify(signed("https://x.example")).issuer


def test_live_is_served_where_every_entry_serves_it():
    """One that cannot is enough."""
    section = introspection(type=..., audience=...)
    can = jwks(issuer="https://b.example", jwks=keys(), live=section)
    assert True is at_one_place(can, introspection()).serves_live
    assert False is at_one_place(can, jwks(jwks=keys())).serves_live


def test_the_sign_in_cookie_is_verified_as_the_header_is():
    """By all entries there."""
    settings = parsed(jwks(jwks=keys()), shared_secret(), pages={"cookie": "shop"})
    made = build_authenticator(settings)
    for token in (signed(), with_secret()):
        headers = {"Cookie": f"__Host-shop={token}"}
        assert "ada" == made.authenticate(headers).principal.subject


# --- not told apart


@pytest.mark.parametrize(
    ("entries", "named", "advice"),
    [
        (
            [introspection(), introspection(issuer="https://b.example")],
            "credentials[0] ('introspection') and credentials[1] ('introspection') both read",
            "opaque tokens do not say which server they are of: give one of them another 'source'",
        ),
        (
            [{"type": "local"}, {"type": "local"}],
            "credentials[0] ('local') and credentials[1] ('local') both read 'authorization' and",
            "keep one, or give one of them another 'source'",
        ),
        (
            [{"type": "local"}, introspection(issuer=ISSUER)],
            f"take tokens of the issuer {ISSUER!r}",
            "keep one",
        ),
        (
            [
                introspection(source="header:X-Token"),
                cloudflare(),
                introspection(source="header:x-token"),
            ],
            (
                "credentials[0] ('introspection') and credentials[2] ('introspection') both read "
                "'header:x-token'"
            ),
            "another 'source'",
        ),
        (
            [jwks(), introspection(issuer=LOGIN)],
            "credentials[0] ('jwks') and credentials[1] ('introspection') both read",
            "write what credentials[1] says as the 'live' of credentials[0]",
        ),
        (
            [introspection(issuer=LOGIN), shared_secret(), jwks()],
            "credentials[0] ('introspection') and credentials[2] ('jwks') both read",
            "write what credentials[0] says as the 'live' of credentials[2]",
        ),
        (
            [jwks(), jwks(audience="other")],
            f"both read 'authorization' and take tokens of the issuer {LOGIN!r}",
            "keep one",
        ),
        (
            [jwks(), shared_secret(issuer=LOGIN)],
            "credentials[0] ('jwks') and credentials[1] ('shared_secret')",
            "another 'source'",
        ),
        (
            [jwks(), jwks(issuer=..., discovery_url=f"{LOGIN}/.well-known/openid-configuration")],
            f"take tokens of the issuer {LOGIN!r}",
            "keep one",
        ),
        (
            [custom(issuer=LOGIN), jwks()],
            "credentials[0] ('custom') and credentials[1] ('jwks')",
            "another 'source'",
        ),
        (
            [jwks(), jwks(issuer=None, jwks=keys())],
            "credentials[1] ('jwks') takes tokens of any issuer, and credentials[0] ('jwks')",
            "write the 'issuer' of credentials[1], or give one of them another 'source'",
        ),
        (
            [custom(), introspection()],
            "credentials[0] ('custom') takes tokens of any issuer, and credentials[1]",
            "write the 'issuer' of credentials[0]",
        ),
        (
            [introspection(), shared_secret(issuer=None)],
            "credentials[1] ('shared_secret') takes tokens of any issuer, and credentials[0]",
            "write the 'issuer' of credentials[1]",
        ),
        (
            [custom(source="cookie:CF_Authorization"), cloudflare(cookie=True)],
            "credentials[0] ('custom') takes tokens of any issuer",
            "credentials[1] ('cloudflare') reads 'cookie:CF_Authorization' too",
        ),
    ],
)
def test_entries_that_cannot_be_told_apart(entries, named, advice):
    """Nothing in the token would say which is meant: both are named, and what to do."""
    told = refused(*entries, service=service())
    assert named in told
    assert advice in told


def test_a_long_token_is_taken_where_its_entry_takes_it():
    """The largest bound is that of the place; each entry keeps its own."""
    joined = at_one_place(
        jwks(jwks=keys(), max_token_bytes=60_000),
        jwks(issuer="https://b.example", jwks=keys(OTHER_KEY), max_token_bytes=20_000),
        custom(issuer=PARTNER),
    )
    assert LOGIN == joined.verify(signed(groups="x" * 30_000)).issuer
    for token in (
        signed("https://b.example", OTHER_KEY, groups="x" * 30_000),
        signed(groups="x" * 60_000),
    ):
        with pytest.raises(InvalidToken) as caught:
            joined.verify(token)
        assert "too_large" == caught.value.reason


def test_an_entry_without_a_bound_of_its_own_has_the_default():
    """Others at the place may be told to read less."""
    joined = at_one_place(jwks(jwks=keys(), max_token_bytes=2_000), custom(issuer=PARTNER))
    assert PARTNER == joined.verify(signed(PARTNER, groups="x" * 8_000)).issuer
    for iss, size in ((LOGIN, 8_000), (PARTNER, 16_384)):
        with pytest.raises(InvalidToken) as caught:
            joined.verify(signed(iss, groups="x" * size))
        assert "too_large" == caught.value.reason


def test_at_different_places_they_need_not_be():
    """The same issuer may have a header and a cookie, and anybody a header of their own."""
    made = build_authenticator(
        parsed(jwks(), jwks(source="cookie:shop"), custom(source="header:X-Partner"), cloudflare())
    )
    assert 4 == len(made.credentials)


# --- the whole


def test_every_type_in_one_mapping(monkeypatch, tmp_path):
    """As an application may have written it, in the course of years."""
    (tmp_path / "cache").write_text(HMAC_SECRET)
    (tmp_path / "cache").chmod(0o600)
    for name in ("AS_SECRET", "OLD", "KEYS_SECRET", "ORDERS_SECRET"):
        monkeypatch.setenv(name, HMAC_SECRET)
    client = {
        "method": "client_secret_basic",
        "client_id": "orders",
        "client_secret": {"env": "AS_SECRET"},
    }
    settings = Settings.model_validate(
        {
            "realm": "orders",
            "default_access": "allow",
            "public": ["/health", "/docs/*", "POST /webhook"],
            "origins": ["https://shop.example"],
            "credentials": [
                {"type": "jwks", "issuer": LOGIN, "audience": "orders"},
                {
                    "type": "introspection",
                    "introspection_endpoint": "https://as.example/introspect",
                    "client_auth": client,
                    "audience": "orders",
                    "ttl": 60,
                },
                {"type": "cloudflare", "team": "acme", "audience": "4f1c"},
                {"type": "local"},
                {
                    "type": "shared_secret",
                    "secret": {"env": "OLD"},
                    "issuer": OLD,
                    "audience": None,
                },
                {
                    "type": "custom",
                    "factory": "partner_shop:make",
                    "source": "header:X-Partner-Token",
                },
            ],
            "shared_cache": {
                "url": "redis://127.0.0.1:1/0",
                "secrets": [{"file": str(tmp_path / "cache")}],
            },
            "pages": {"cookie": "tokenward", "login_view": "auth.login", "samesite": "Lax"},
            "service": {
                "issuer": ISSUER,
                "audience": "orders",
                "store": "memory://",
                "registration": "closed",
                "keys": {"algorithm": "ES256", "secrets": [{"env": "KEYS_SECRET"}]},
                "password": {"min_length": 6, "bcrypt_cost": 12},
                "clients": [
                    {
                        "client_id": "orders",
                        "client_secret": {"env": "ORDERS_SECRET"},
                        "scopes": [],
                        "grants": [],
                        "audiences": ["orders"],
                    }
                ],
                "access_token_lifetime": 900,
            },
        }
    )
    made = build_authenticator(settings)

    assert [
        "authorization",
        "header:cf-access-jwt-assertion",
        "header:x-partner-token",
        "cookie:__Host-tokenward",
    ] == [credential.source.place for credential in made.credentials]
    team = "https://acme.cloudflareaccess.com"
    assert (LOGIN, None, team, ISSUER, OLD) == settings.issuers
    assert HMAC_SECRET not in f"{settings!r} {made!r}"
