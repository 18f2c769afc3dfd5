"""Entries that name no issuer: nobody of theirs is anybody of another's, wherever they read."""

import sys

import jwt
import pytest
from configurations import (
    HMAC_SECRET,
    ISSUER,
    custom,
    introspection,
    jwks,
    parsed,
    service,
    shared_secret,
)

from tokenward import _jose
from tokenward.by_issuer import Unreserved
from tokenward.config import build_authenticator
from tokenward.errors import ConfigurationError, InvalidToken

KEY = _jose.generate_key("ES256")
KEYS = {"keys": [_jose.public_jwk(KEY)]}
ENDPOINT, KEYS_AT = "https://as.example/introspect", "https://keys.example/jwks"
ELSEWHERE = {"source": "header:X-Partner", "ambient": False}
FAR = 2**33

MODULE = """
from tokenward.principal import Principal

class Verifier:
    def __init__(self, issuer):
        self.issuer = issuer

    def verify(self, token, /, *, live=False):
        return Principal("ada", issuer=token)

class Other(Verifier):
    pass
"""


@pytest.fixture(autouse=True)
def shop(tmp_path, monkeypatch):
    (tmp_path / "partner_shop.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("partner_shop", None)


def partners(iss=None):
    said = {"sub": "ada", "aud": "orders", "exp": FAR} | ({} if iss is None else {"iss": iss})
    return jwt.encode(said, HMAC_SECRET, "HS256")


def nameless(kind, **changes):
    made = {
        "jwks_uri": jwks(issuer=None, jwks_uri=KEYS_AT),
        "jwks": jwks(issuer=None, jwks=KEYS),
        "shared_secret": shared_secret(issuer=None),
        "introspection": introspection(introspection_endpoint=ENDPOINT),
        "custom": custom(factory="partner_shop:Verifier", options={"issuer": "partner-shop"}),
    }
    return made[kind] | changes


STANDS_IN = {"jwks_uri": KEYS_AT, "introspection": ENDPOINT, "custom": "partner-shop"}


@pytest.mark.parametrize(("kind", "name"), STANDS_IN.items(), ids=STANDS_IN)
def test_a_token_cannot_name_what_stands_for_anothers_issuer(kind, name):
    """It would make somebody of whom the other's tokens name without an issuer."""
    made = build_authenticator(parsed(nameless(kind), nameless("shared_secret", **ELSEWHERE)))
    for iss in (None, "https://x.example", "jwks"):
        found = made.authenticate({"X-Partner": partners(iss)}).principal
        assert (iss or "jwks", "ada") == (found.issuer, found.subject)
    with pytest.raises(InvalidToken) as caught:
        made.authenticate({"X-Partner": partners(name)})
    assert "unknown_issuer" == caught.value.reason


def test_nor_the_service_that_people_sign_in_at():
    """Whether or not its tokens are taken here."""
    entries = [jwks(jwks=KEYS), nameless("shared_secret", **ELSEWHERE)]
    made = build_authenticator(parsed(*entries, service=service()))
    with pytest.raises(InvalidToken) as caught:
        made.authenticate({"X-Partner": partners(ISSUER)})
    assert "unknown_issuer" == caught.value.reason


@pytest.mark.parametrize("kind", ["jwks", "custom"])
def test_nor_what_stands_for_a_pinned_sets_issuer(kind):
    """Which is nothing but a word."""
    entry = nameless(kind, **ELSEWHERE)
    other = nameless("jwks_uri") if kind == "jwks" else nameless("shared_secret")
    made = build_authenticator(parsed(other, entry))
    token = "jwks"
    if kind == "jwks":
        claims = {"iss": KEYS_AT, "sub": "ada", "aud": "orders", "exp": FAR}
        token = _jose.sign(claims, KEY)
    with pytest.raises(InvalidToken) as caught:
        made.authenticate({"X-Partner": token})
    assert "unknown_issuer" == caught.value.reason


def test_its_own_name_it_may_have():
    """What the verifier itself makes of a token without an issuer."""
    made = build_authenticator(parsed(nameless("custom"), nameless("shared_secret", **ELSEWHERE)))
    assert {Unreserved} == {type(c.verifier) for c in made.credentials}
    found = made.authenticate({"Authorization": "Bearer partner-shop"}).principal
    assert "partner-shop" == found.issuer
    for token in (partners(), partners("jwks")):
        assert "jwks" == made.authenticate({"X-Partner": token}).principal.issuer


@pytest.mark.parametrize(
    ("entries", "name"),
    [
        ([nameless("shared_secret"), nameless("shared_secret", **ELSEWHERE)], "jwks"),
        ([nameless("shared_secret"), nameless("jwks", **ELSEWHERE)], "jwks"),
        ([nameless("jwks"), nameless("jwks", **ELSEWHERE)], "jwks"),
        (
            [
                nameless("jwks_uri", jwks_uri=f"{KEYS_AT}?tenant=1"),
                nameless("jwks_uri", jwks_uri=f"{KEYS_AT}?tenant=2", **ELSEWHERE),
            ],
            KEYS_AT,
        ),
        (
            [
                nameless("introspection", introspection_endpoint=f"{ENDPOINT}?tenant=1"),
                nameless("introspection", **ELSEWHERE),
            ],
            ENDPOINT,
        ),
        (
            [
                nameless("jwks_uri", jwks_uri=ENDPOINT),
                nameless("introspection", **ELSEWHERE),
            ],
            ENDPOINT,
        ),
        (
            [
                nameless("custom"),
                nameless("custom", factory="partner_shop:Other", **ELSEWHERE),
            ],
            "partner-shop",
        ),
        ([jwks(issuer=KEYS_AT, jwks=KEYS), nameless("jwks_uri", **ELSEWHERE)], KEYS_AT),
    ],
)
def test_two_of_one_name_are_not_built(entries, name):
    """The person 17 of one would be the person 17 of the other: the later one needs an issuer."""
    with pytest.raises(ConfigurationError) as caught:
        build_authenticator(parsed(*entries))
    told = str(caught.value)
    one, other = (f"credentials[{at}] ({entries[at]['type']!r})" for at in (1, 0))
    assert f"{one} names no issuer, so its people would be those of {name!r}" in told
    assert f"as those of {other} are" in told
    assert "write the 'issuer' of credentials[1]" in told
    entries = [entries[0], entries[1] | {"issuer": "https://other.example"}]
    assert 2 == len(build_authenticator(parsed(*entries)).credentials)


def test_the_entry_without_an_issuer_is_the_one_to_change():
    """Whichever stands first."""
    with pytest.raises(ConfigurationError) as caught:
        build_authenticator(
            parsed(nameless("jwks_uri"), jwks(issuer=KEYS_AT, jwks=KEYS, **ELSEWHERE))
        )
    assert str(caught.value).startswith("credentials[0] ('jwks') names no issuer")
    assert str(caught.value).endswith("write the 'issuer' of credentials[0]")


def test_one_server_may_be_asked_from_two_places(server):
    """By the very same URL it is the same people, in the header or the cookie."""
    auth = {
        "method": "client_secret_basic",
        "client_id": server.client_id,
        "client_secret": server.client_secret,
    }
    asked = introspection(introspection_endpoint=server.introspection_endpoint, client_auth=auth)
    keys = jwks(issuer=None, jwks_uri=server.jwks_uri)
    for entry, token, name in (
        (asked, server.token(opaque=True, iss=None), server.introspection_endpoint),
        (keys, server.token(iss=None), server.jwks_uri),
    ):
        made = build_authenticator(parsed(entry, entry | {"source": "cookie:shop"}))
        for headers in ({"Authorization": f"Bearer {token}"}, {"Cookie": f"shop={token}"}):
            assert name == made.authenticate(headers).principal.issuer


def test_one_verifier_of_yours_may_read_two_places():
    """Made by the same function with the same options."""
    made = build_authenticator(parsed(nameless("custom"), nameless("custom", source="cookie:shop")))
    for headers in ({"Authorization": "Bearer x"}, {"Cookie": "shop=x"}):
        assert "x" == made.authenticate(headers).principal.issuer
    with pytest.raises(ConfigurationError):
        build_authenticator(
            parsed(
                nameless("custom", factory="partner_shop:Other"),
                nameless("custom", source="cookie:shop"),
            )
        )


def test_issuers_that_are_written_may_be_read_at_two_places():
    """They are the same issuer's."""
    entries = [jwks(jwks=KEYS), jwks(jwks=KEYS, source="cookie:shop"), shared_secret(**ELSEWHERE)]
    made = build_authenticator(parsed(*entries))
    assert 3 == len(made.credentials)
