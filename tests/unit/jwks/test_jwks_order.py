"""What comes before what: nothing is fetched for a token that cannot be ours (RULES 5, 8, 14)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sites import Site, down

from tokenward import _jose
from tokenward.errors import (
    AuthError,
    AuthServiceUnavailable,
    InvalidClaim,
    InvalidSignature,
    InvalidToken,
    TokenExpired,
)
from tokenward.jwks import JWKSVerifier

ISSUER = "https://as.example"
NOW = 1_700_000_000
KEY, STRANGER = _jose.generate_key("ES256"), _jose.generate_key("ES256")
GOOD = {"iss": ISSUER, "sub": "u1", "aud": "orders", "exp": NOW + 300}


def segment(value):
    return _jose.encode(value if isinstance(value, bytes) else json.dumps(value).encode())


def forged(header=None, claims=None, signature=b"x" * 64):
    """Return a token with any header and claims, and no signature of anybody's."""
    head = {"alg": "ES256", "typ": "at+jwt", "kid": KEY.kid} if header is None else header
    return f"{segment(head)}.{segment(GOOD if claims is None else claims)}.{segment(signature)}"


def without(name):
    return {k: v for k, v in GOOD.items() if k != name}


def refused(verifier, token, reason):
    """Assert that a token is refused for a reason."""
    with pytest.raises(InvalidToken) as caught:
        verifier.verify(token)
    assert reason == caught.value.reason
    return caught.value


JWE = ".".join([segment({"alg": "RSA-OAEP", "enc": "A256GCM"}), *["YQ"] * 4])
IMPOSSIBLE = {
    "too large": ("a" * 20_000, "too_large"),
    "empty": ("", "malformed"),
    "opaque": ("2YotnFZFEjr1zCsicMWpAA", "malformed"),
    "with scheme": (f"Bearer {forged()}", "malformed"),
    "two segments": (forged().rpartition(".")[0], "malformed"),
    "encrypted": (JWE, "malformed"),
    "JSON form": (json.dumps({"payload": "e30", "signatures": []}), "malformed"),
    "padding": (forged() + "=", "malformed"),
    "new line": (forged() + "\n", "malformed"),
    "not ASCII": (forged() + "é", "malformed"),
    "surrogate": ("\udc00", "malformed"),
    "bytes": (forged().encode(), "malformed"),
    "none": (None, "malformed"),
    "no signature": (forged(signature=b""), "malformed"),
    "doubled member": (forged(claims=b'{"iss":"a","iss":"b"}'), "malformed"),
    "claims no object": (forged(claims=[1]), "malformed"),
    "alg none": (forged({"alg": "none"}), "algorithm"),
    "alg HS256": (forged({"alg": "HS256"}), "algorithm"),
    "alg in lower case": (forged({"alg": "es256"}), "algorithm"),
    "alg missing": (forged({"typ": "JWT"}), "algorithm"),
    "crit": (forged({"alg": "ES256", "crit": ["x"], "x": 1}), "critical_header"),
    "b64": (forged({"alg": "ES256", "b64": False}), "critical_header"),
    "kid no string": (forged({"alg": "ES256", "kid": 7}), "malformed"),
    "kid too long": (forged({"alg": "ES256", "kid": "k" * 2_000}), "malformed"),
    "typ": (forged({"alg": "ES256", "typ": "dpop+jwt"}), "wrong_type"),
    "typ no string": (forged({"alg": "ES256", "typ": 7}), "wrong_type"),
    "ID token": (forged(claims={**GOOD, "at_hash": "x"}), "wrong_type"),
    "logout token": (forged(claims={**GOOD, "events": {}}), "wrong_type"),
    "refresh token": (forged(claims={**GOOD, "typ": "Refresh"}), "wrong_type"),
    "iss": (forged(claims={**GOOD, "iss": f"{ISSUER}/"}), "unknown_issuer"),
    "iss missing": (forged(claims=without("iss")), "unknown_issuer"),
    "iss a list": (forged(claims={**GOOD, "iss": [ISSUER]}), "unknown_issuer"),
    "aud": (forged(claims={**GOOD, "aud": "other"}), "audience_mismatch"),
    "aud missing": (forged(claims=without("aud")), "audience_mismatch"),
    "exp": (forged(claims={**GOOD, "exp": NOW - 30}), "expired"),
    "exp missing": (forged(claims=without("exp")), "claim_missing"),
    "exp a string": (forged(claims={**GOOD, "exp": str(NOW + 300)}), "invalid_time"),
    "exp a boolean": (forged(claims={**GOOD, "exp": True}), "invalid_time"),
    "nbf": (forged(claims={**GOOD, "nbf": NOW + 31}), "not_yet_valid"),
    "iat": (forged(claims={**GOOD, "iat": NOW + 31}), "issued_in_future"),
    "cnf": (forged(claims={**GOOD, "cnf": {"jkt": "x"}}), "sender_constrained"),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_nothing_is_fetched_for_what_cannot_be_ours(make, site, name):
    """Whoever makes tokens up cannot make us ask, nor ask what only you know (RULES 14)."""
    token, reason = IMPOSSIBLE[name]
    asked = []
    refused(make(check=asked.append), token, reason)

    assert ([], []) == (site.asked, asked)


@pytest.mark.parametrize("claim", ["jti", "client_id"])
def test_nothing_is_fetched_where_a_claim_is_missing(make, site, claim):
    """What is required is there before anybody is asked."""
    refused(make(required=["exp", claim]), forged(), "claim_missing")

    assert [] == site.asked


def test_within_the_leeway_times_are_good(make, issuer):
    """Clocks differ by that much."""
    late = issuer.token(exp=NOW - 29, nbf=NOW + 30, iat=NOW + 30)

    assert "u1" == make().verify(late).subject
    refused(make(leeway=0), late, "expired")


def test_the_size_is_yours(make, issuer):
    """The bound itself is good, one byte more is not."""
    token = issuer.token()
    assert "u1" == make(max_token_bytes=len(token)).verify(token).subject

    refused(make(max_token_bytes=len(token) - 1), token, "too_large")


def test_a_key_in_the_header_is_no_key(make, issuer, site):
    """Nor a place to fetch one from (RULES 5)."""
    jwk = _jose.public_jwk(STRANGER)
    header = {
        "alg": "ES256",
        "typ": "at+jwt",
        "kid": STRANGER.kid,
        "jwk": jwk,
        "jku": "https://evil.example/k",
        "x5u": "https://evil.example/x",
        "x5c": ["AAAA"],
    }
    signed = f"{segment(header)}.{segment(GOOD)}"
    signature = _jose.sign(GOOD, STRANGER).rpartition(".")[2]

    refused(make(), f"{signed}.{signature}", "unknown_key")
    assert not [url for url in site.asked if "evil" in url]


# --- check


def test_check_comes_after_the_signature(make, issuer):
    """A claim that nobody signed is nothing to ask about."""
    asked = []
    verifier = make(check=asked.append)
    with pytest.raises(InvalidSignature):
        verifier.verify(issuer.token().rpartition(".")[0] + f".{segment(b'x' * 64)}")

    assert [] == asked
    verifier.verify(issuer.token())
    assert 1 == len(asked)


def test_check_gets_plain_json_of_its_own(make, issuer):
    """Lists and dicts; what it does to them reaches nobody."""
    seen = []

    def check(claims):
        seen.append(json.loads(json.dumps(claims)))
        assert (dict, list) == (type(claims["realm"]), type(claims["realm"]["roles"]))
        claims["realm"]["roles"].clear()
        claims["sub"] = "admin"

    principal = make(check=check, roles_claim="realm.roles").verify(
        issuer.token(realm={"roles": ["a"]})
    )
    assert ("u1", {"a"}) == (principal.subject, principal.roles)
    assert ["a"] == seen[0]["realm"]["roles"]


def test_check_is_called_once_for_a_cached_token(make, issuer, clock):
    """Also when the keys were looked at again, as long as they are the same."""
    asked = []
    verifier = make(check=asked.append)
    token = issuer.token()
    for _ in range(5):
        verifier.verify(token)
        clock.advance(500)
    assert (1, 3) == (len(asked), issuer.fetches)

    uncached = make(check=asked.append, cache_entries=0)
    for _ in range(3):
        uncached.verify(token)
    assert 4 == len(asked)


@pytest.mark.parametrize(
    ("failure", "kind", "reason"),
    [
        (InvalidClaim("tenant", reason="invalid_claim"), InvalidClaim, "invalid_claim"),
        (AuthServiceUnavailable("?", reason="unavailable"), AuthServiceUnavailable, "unavailable"),
        (KeyError("tenant"), InvalidClaim, "check_failed"),
    ],
    ids=["refused", "unknown", "broken"],
)
def test_what_check_raises(make, issuer, failure, kind, reason):
    """A refusal, an outage, or a refusal because nobody can tell; and nothing is kept of it."""
    answers = [failure, None]

    def check(_claims):
        answer = answers.pop(0)
        if answer is not None:
            raise answer

    verifier = make(check=check)
    with pytest.raises(kind) as caught:
        verifier.verify(issuer.token())
    assert reason == caught.value.reason

    assert "u1" == verifier.verify(issuer.token()).subject


def test_a_subject_is_needed(make, issuer):
    """Signed or not, a token that names nobody is refused."""
    refused(make(), issuer.token(sub=None), "no_subject")


# --- whatever comes


@given(st.text() | st.from_regex(r"\A[A-Za-z0-9_-]{0,40}(\.[A-Za-z0-9_-]{0,40}){0,5}\Z"))
def test_any_string_touches_no_socket(text):
    """Only our own errors leave, and nothing is asked (RULES 14)."""
    site = Site()
    verifier = JWKSVerifier(ISSUER, audience="orders", transport=site)
    for use in (verifier.verify, verifier.verify_token, verifier.cached, verifier.invalidate):
        try:
            assert use(text) is None
        except AuthError as error:
            assert isinstance(error, InvalidToken)  # noqa: PT017
    assert [] == site.asked


TOKEN = _jose.sign(GOOD, KEY, typ="at+jwt")
VERIFIER = JWKSVerifier(
    ISSUER,
    audience="orders",
    jwks={"keys": [_jose.public_jwk(KEY)]},
    cache_entries=0,
    clock=lambda: NOW,
)


@given(st.integers(0, len(TOKEN) - 1), st.integers(1, 127))
def test_a_token_with_one_character_changed(position, change):
    """It never passes, wherever and whatever it is."""
    other = chr(ord(TOKEN[position]) ^ change)
    assert "u1" == VERIFIER.verify(TOKEN).subject
    with pytest.raises(InvalidToken):
        VERIFIER.verify(TOKEN[:position] + other + TOKEN[position + 1 :])


def test_no_token_is_in_an_error(make, issuer):
    """Nor in the chain of causes, nor in the frames of a copy (RULES 14, 44)."""
    token = issuer.token(secret="hush-hush")
    signature = token.rpartition(".")[2]
    for page in (None, down()):
        if page is not None:
            issuer.fail(page)
        with pytest.raises(AuthError) as caught:
            make().verify(token if page is not None else token[:-4] + "AAAA")
        said = f"{caught.value!r} {caught.value} {caught.value.hint} {caught.value.__dict__}"
        assert signature[:20] not in said
        assert token.split(".")[1][:40] not in said
        assert caught.value.__cause__ is None


def test_an_expired_token_is_expired_whatever_the_keys_are(make, issuer):
    """The caller can act on that; an outage would send it away to try again."""
    issuer.fail(down())
    with pytest.raises(TokenExpired):
        make().verify(issuer.token(exp=NOW - 31))
