"""RFC 9068, JWT Profile for OAuth 2.0 Access Tokens."""

from __future__ import annotations

from dataclasses import replace

import pytest
from service_callers import STOCK, Caller, basic, make_service
from sites import Site

from tokenward import _jose
from tokenward.errors import InvalidSignature, InvalidToken, TokenExpired
from tokenward.jwks import JWKSVerifier
from tokenward.keys import KeyRing
from tokenward.testing import FakeClock
from tokenward.tokens import LocalVerifier, create_access_token

KEYS = KeyRing.generate()
NOW = 1_700_000_000
ISSUER, AUDIENCE = "https://auth.example", "https://orders.example"
DATA = {"sub": "5ba552d67", "client_id": "s6BhdRkqt3", "scope": "openid profile reademail"}


def clock():
    return NOW


def token(keys=KEYS):
    return create_access_token(DATA, keys=keys, issuer=ISSUER, audience=AUDIENCE, clock=clock)


def verify(text, *, keys=KEYS, issuer=ISSUER, audience=AUDIENCE, now=NOW):
    verifier = LocalVerifier(
        keys, issuer=issuer, audience=audience, users=None, tokens=None, clock=lambda: now
    )
    return verifier.verify(text)


def changed(header=None, **claims):
    """Return the token with other claims, or another type, under a good signature."""
    signed = _jose.parse(token()).claims | claims
    signed = {name: value for name, value in signed.items() if value is not ...}
    return _jose.sign(signed, KEYS.current, typ=header or "at+jwt")


def reason(text, **options):
    with pytest.raises(InvalidToken) as caught:
        verify(text, **options)
    return caught.value.reason


def test_2_1_the_header():
    """Signed, of type at+jwt."""
    header = _jose.parse(token()).header
    assert (header["typ"], header["alg"]) == ("at+jwt", "ES256")


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "PS256", "EdDSA"])
def test_2_1_rs256_and_others_are_supported(algorithm):
    """RS256 must be; ``none`` cannot be."""
    keys = KeyRing.generate(algorithm)
    assert verify(token(keys), keys=keys).subject == "5ba552d67"


def test_2_2_the_required_claims():
    """Each of iss, exp, aud, sub, client_id, iat and jti is there."""
    claims = _jose.parse(token()).claims
    assert {"iss", "exp", "aud", "sub", "client_id", "iat", "jti"} <= set(claims)


def test_2_2_the_claims_make_the_principal():
    """Subject, issuer, client and scopes are what the token says."""
    principal = verify(token())
    assert (principal.subject, principal.issuer, principal.client_id) == (
        "5ba552d67",
        ISSUER,
        "s6BhdRkqt3",
    )
    assert principal.scopes == {"openid", "profile", "reademail"}
    assert principal.expires_at == NOW + 900


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt"])
def test_4_the_type_in_its_spellings(typ):
    """With and without application/, in any case."""
    assert verify(changed(typ)).subject == "5ba552d67"


@pytest.mark.parametrize("typ", ["JWT", "id+jwt", "logout+jwt", "at+jwt+x", "+"])
def test_4_another_type_is_refused(typ):
    """An ID token, or anything else our key signed, is no access token."""
    assert reason(changed(typ)) == "wrong_type"


@pytest.mark.parametrize("iss", ["https://auth.example/", "https://AUTH.example", "x", 7, ...])
def test_4_the_issuer_matches_exactly(iss):
    """A slash, another case, another type, none: refused."""
    assert reason(changed(iss=iss)) == "unknown_issuer"


@pytest.mark.parametrize("aud", ["https://other.example", [], ["x"], 7, [AUDIENCE, 7], ...])
def test_4_the_audience_names_us(aud):
    """A token for others, or for nobody, is refused."""
    assert reason(changed(aud=aud)) == "audience_mismatch"


def test_4_the_audience_may_name_others_too():
    """One of several will do."""
    assert verify(changed(aud=["https://other.example", AUDIENCE])).subject == "5ba552d67"


def test_4_the_signature_is_checked():
    """A token by another issuer's key is refused whatever it says."""
    assert reason(token(KeyRing.generate())) == "unknown_key"


def test_4_the_signature_comes_before_the_claims():
    """A refusal over a claim says that the signature was good."""
    assert reason(token(KeyRing.generate()), now=NOW + 10_000) == "unknown_key"


def test_4_the_time_is_checked():
    """At ``exp`` and the leeway the token is over."""
    assert verify(token(), now=NOW + 929).subject == "5ba552d67"
    with pytest.raises(TokenExpired):
        verify(token(), now=NOW + 930)


@pytest.mark.parametrize("name", ["exp", "iat", "jti"])
def test_4_required_claims_are_required(name):
    """A token without one of them is refused."""
    assert reason(changed(**{name: ...})) == "claim_missing"


# --- another authorization server's tokens: section 4, as a resource server performs it


AS = "https://authorization-server.example.com/"
RS = "https://rs.example.com/"
JWKS_URI = "https://authorization-server.example.com/jwks"
AS_KEY = replace(_jose.generate_key("RS256"), kid="RjEwOwOA")
EXAMPLE = {
    "iss": AS,
    "sub": "5ba552d67",
    "aud": RS,
    "exp": 1_639_528_912,
    "iat": 1_618_354_090,
    "jti": "dbe39bf3a3ba4238a513f51d6e1691c4",
    "client_id": "s6BhdRkqt3",
    "scope": "openid profile reademail",
}
PROFILE = {
    "token_types": ("at+jwt",),
    "required": ("exp", "iat", "jti", "sub", "client_id"),
}


@pytest.fixture
def site():
    """The authorization server, which publishes its keys."""
    return Site(**{JWKS_URI: {"keys": [_jose.public_jwk(AS_KEY)]}})


@pytest.fixture
def resource_server(site):
    """Return a function that verifies a token as a resource server does that knows RFC 9068."""

    def verify_there(text, *, now=EXAMPLE["iat"] + 1, **options):
        options = {"audience": RS} | PROFILE | options
        verifier = JWKSVerifier(
            AS, jwks_uri=JWKS_URI, transport=site, clock=FakeClock(now), **options
        )
        return verifier.verify(text)

    return verify_there


def example(key=AS_KEY, *, header_typ="at+JWT", **claims):
    """Return the token of section 3, or another one like it; ``...`` leaves a claim out."""
    changed = {name: value for name, value in (EXAMPLE | claims).items() if value is not ...}
    return _jose.sign(changed, key, typ=header_typ)


def refused(verify_there, text, **options):
    with pytest.raises(InvalidToken) as caught:
        verify_there(text, **options)
    return caught.value.reason


def test_3_the_example(resource_server):
    """Header and claims as section 3 shows them."""
    text = example()
    assert {"typ": "at+JWT", "alg": "RS256", "kid": "RjEwOwOA"} == _jose.parse(text).header

    principal = resource_server(text)
    assert ("5ba552d67", AS, "s6BhdRkqt3") == (
        principal.subject,
        principal.issuer,
        principal.client_id,
    )
    assert {"openid", "profile", "reademail"} == principal.scopes
    assert ("user", 1_639_528_912) == (principal.kind, principal.expires_at)


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"])
def test_4_typ_at_a_resource_server(resource_server, typ):
    """Step 1, the two values in any case (RFC 7515, section 4.1.9)."""
    assert "5ba552d67" == resource_server(example(header_typ=typ)).subject


@pytest.mark.parametrize(
    "typ",
    [
        *(
            "JWT",
            "application/jwt",
            "at+jwt ",
            "at+jwt+x",
            "x/at+jwt",
            "at-jwt",
            "",
            "id_token+jwt",
        ),
        *("dpop+jwt", "logout+jwt", "secevent+jwt", "token-introspection+jwt", "rt+jwt"),
    ],
)
def test_4_another_typ_at_a_resource_server(resource_server, site, typ):
    """Step 1, any other value MUST be refused; nobody need be asked for keys."""
    assert "wrong_type" == refused(resource_server, example(header_typ=typ))
    assert [] == site.asked


@pytest.mark.parametrize("header", ['{"alg":"RS256"}', '{"alg":"RS256","typ":null}'])
def test_4_no_typ_at_a_resource_server(resource_server, site, header):
    """Step 1, a header that says nothing is not enough, though the signature be good."""
    payload = example().split(".")[1]
    text = f"{_jose.encode(header.encode())}.{payload}"
    signature = _jose.algorithms.ALGORITHMS["RS256"].sign(text.encode(), AS_KEY.private)
    text = f"{text}.{_jose.encode(signature)}"

    assert "wrong_type" == refused(resource_server, text)
    assert [] == site.asked
    assert "5ba552d67" == resource_server(text, token_types=None).subject


def test_4_encrypted_at_a_resource_server(resource_server, site):
    """Step 2, no encryption was ever agreed on: what is encrypted cannot be for us."""
    header = _jose.encode(b'{"alg":"RSA-OAEP","enc":"A128GCM","typ":"at+jwt"}')

    assert "malformed" == refused(resource_server, f"{header}.AA.AA.AA.AA")
    assert [] == site.asked


@pytest.mark.parametrize("iss", [AS[:-1], AS.upper(), "https://other.example/", [AS], None, ...])
def test_4_issuer_at_a_resource_server(resource_server, site, iss):
    """Step 3, exactly the identifier of the authorization server."""
    assert "unknown_issuer" == refused(resource_server, example(iss=iss))
    assert [] == site.asked


@pytest.mark.parametrize("aud", [RS[:-1], "s6BhdRkqt3", [], [RS, None], {"aud": RS}, None, ...])
def test_4_audience_at_a_resource_server(resource_server, site, aud):
    """Step 4, an identifier that the resource server expects for itself."""
    assert "audience_mismatch" == refused(resource_server, example(aud=aud))
    assert [] == site.asked


def test_4_audience_of_several_at_a_resource_server(resource_server):
    """Step 4, among others it will do; and a resource server may have several names."""
    several = ["https://other.example/", RS]
    assert "5ba552d67" == resource_server(example(aud=several)).subject
    assert "5ba552d67" == resource_server(example(), audience=several).subject


def test_4_signature_at_a_resource_server(resource_server, site):
    """Step 5, by the authorization server's key, with its algorithm; never without any."""
    other = replace(_jose.generate_key("RS256"), kid=AS_KEY.kid)
    with pytest.raises(InvalidSignature):
        resource_server(example(other))
    assert [JWKS_URI] == site.asked
    assert "unknown_key" == refused(resource_server, example(replace(AS_KEY, kid="another")))
    pss = replace(_jose.from_pem(_jose.to_pem(AS_KEY), "PS256"), kid=AS_KEY.kid)
    assert "algorithm" == refused(resource_server, example(pss))
    assert "algorithm" == refused(resource_server, example(pss), algorithms=["PS256"])


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE"])
def test_4_unsigned_at_a_resource_server(resource_server, site, alg):
    """Step 5, ``none`` MUST be refused, with a signature or without."""
    _, payload, signature = example().split(".")
    header = _jose.encode(f'{{"typ":"at+jwt","alg":"{alg}","kid":"RjEwOwOA"}}'.encode())
    for end in ("", signature):
        assert "algorithm" == refused(resource_server, f"{header}.{payload}.{end}")
    assert [] == site.asked


def test_4_time_at_a_resource_server(resource_server, site):
    """Step 6, before ``exp``, give or take what clocks may differ by."""
    exp = EXAMPLE["exp"]
    for now, leeway in [(exp + 29, 30), (exp - 1, 0)]:
        assert "5ba552d67" == resource_server(example(), now=now, leeway=leeway).subject
    asked = len(site.asked)
    for now, leeway in [(exp + 30, 30), (exp, 0), (exp + 86_400, 30)]:
        with pytest.raises(TokenExpired):
            resource_server(example(), now=now, leeway=leeway)
    assert asked == len(site.asked)


@pytest.mark.parametrize("name", ["exp", "iat", "jti", "sub", "client_id"])
@pytest.mark.parametrize("value", [..., None])
def test_2_2_required_claims_at_a_resource_server(resource_server, site, name, value):
    """Each is REQUIRED; null is not there."""
    assert "claim_missing" == refused(resource_server, example(**{name: value}))
    assert [] == site.asked


def test_2_2_a_client_of_its_own(resource_server):
    """Without a resource owner ``sub`` names the client, and the principal is that client."""
    principal = resource_server(example(sub="s6BhdRkqt3"))

    assert ("client", "s6BhdRkqt3") == (principal.kind, principal.subject)


def test_2_2_1_authentication_information(resource_server):
    """``auth_time``, ``acr`` and ``amr`` are handed on as they are."""
    said = {
        "auth_time": 1_618_354_000,
        "acr": "urn:mace:incommon:iap:silver",
        "amr": ["pwd", "otp"],
    }
    claims = resource_server(example(**said)).claims

    assert said == {name: claims[name] for name in said} | {"amr": list(claims["amr"])}


def test_2_2_3_without_scope(resource_server):
    """Nobody asked for any: none are granted."""
    assert frozenset() == resource_server(example(scope=...)).scopes


def test_2_2_3_1_roles_groups_and_entitlements(resource_server):
    """Each is there under its own name; which of them are roles is the application's to say."""
    text = example(roles=["editor"], groups=["staff", "press"], entitlements="print")
    names = ("roles", "groups", "entitlements")

    assert {"editor"} == resource_server(text).roles
    assert {"staff", "press"} == resource_server(text, roles_claim="groups").roles
    joined = resource_server(text, roles_claim=names)
    assert {"editor", "staff", "press", "print"} == joined.roles
    assert frozenset() == resource_server(example(), roles_claim=names).roles


def test_2_2_3_1_scim_values_that_are_no_strings(resource_server):
    """A group as an object (RFC 7643, section 4.2) is in the claims, and is no role by itself."""
    groups = [{"value": "e9e30dba", "display": "admin"}, "staff"]
    principal = resource_server(example(groups=groups), roles_claim="groups")

    assert {"staff"} == principal.roles
    assert "admin" == principal.claims["groups"][0]["display"]


@pytest.mark.parametrize(
    "claims",
    [
        {"at_hash": "77QmUPtjPfzWtF2AnpK9RQ"},
        {"token_use": "id"},
        {"typ": "ID"},
        {"typ": "Refresh"},
        {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}},
    ],
    ids=str,
)
def test_5_other_tokens_of_the_same_key(resource_server, site, claims):
    """The header says which is which; where that is not asked for, the claims do."""
    assert "wrong_type" == refused(resource_server, example(header_typ="JWT", **claims))
    assert "wrong_type" == refused(
        resource_server, example(header_typ="JWT", **claims), token_types=("at+jwt", "JWT")
    )
    assert [] == site.asked


# --- what our token endpoint and our login hand out


@pytest.fixture(scope="module")
def caller():
    return Caller(make_service())


def test_2_of_a_client_itself(caller):
    """Section 2.2: sub is the client where no resource owner is involved, and equals client_id."""
    answer = caller.token(grant_type="client_credentials", scope="read", resource=STOCK)
    made = _jose.parse(answer.json["access_token"])
    assert made.header["typ"] == "at+jwt"
    assert {"iss", "exp", "aud", "sub", "client_id", "iat", "jti", "scope"} <= set(made.claims)
    assert made.claims["sub"] == made.claims["client_id"] == "shop"
    assert made.claims["iss"] == "https://auth.example"
    assert made.claims["scope"] == "read"
    assert made.claims["exp"] - made.claims["iat"] == answer.json["expires_in"] == 900
    assert "sid" not in made.claims


def test_2_of_a_person(caller):
    """With whom it speaks for, to which client, in which session, and as what."""
    service = caller.service
    service.set_roles("alice", ["admin"])
    granted = caller.login(authorization=basic())
    made = _jose.parse(granted["access_token"])
    assert made.header["typ"] == "at+jwt"
    assert made.claims["sub"] == granted["user"]["id"]
    assert (made.claims["client_id"], made.claims["aud"]) == ("shop", "orders")
    assert (made.claims["roles"], sorted(made.claims["scope"].split())) == (
        ["admin"],
        ["read", "write"],
    )
    assert isinstance(made.claims["sid"], str)
