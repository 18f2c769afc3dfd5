from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward import _jose
from tokenward.errors import (
    ConfigurationError,
    InvalidClaim,
    InvalidSignature,
    InvalidToken,
    TokenExpired,
)
from tokenward.keys import KeyRing
from tokenward.schemas import TokenPayload
from tokenward.tokens import create_access_token, get_jwt_payload

KEYS = KeyRing.generate()
NOW = 1_700_000_000
ISSUER, AUDIENCE = "https://auth.example", "orders"


def clock():
    return NOW + 0.75


def make(data=None, expires_delta=None, **options):
    options = {"keys": KEYS, "clock": clock, **options}
    return create_access_token({"sub": "u1"} if data is None else data, expires_delta, **options)


def payload(token, **options):
    return get_jwt_payload(token, **{"keys": KEYS, "clock": clock, **options})


def forged(claims, typ="at+jwt", keys=KEYS):
    """Sign any claims with the ring's key."""
    return _jose.sign(claims, keys.current, typ=typ)


# --- made ----------------------------------------------------------------------------------------


def test_makes_an_access_token_with_the_current_key():
    """The header names type, algorithm and key; PyJWT verifies it with what is published."""
    token = make()
    assert jwt.get_unverified_header(token) == {
        "alg": "ES256",
        "typ": "at+jwt",
        "kid": KEYS.current.kid,
    }
    key = jwt.PyJWKSet.from_dict(KEYS.public_jwks())[KEYS.current.kid]
    options = {"verify_exp": False}
    assert jwt.decode(token, key, algorithms=["ES256"], options=options)["sub"] == "u1"


def test_times_are_whole_seconds_and_the_life_is_a_quarter_of_an_hour():
    """``iat`` is now, ``exp`` 900 seconds later, both integers."""
    claims = _jose.parse(make()).claims
    assert (claims["iat"], claims["exp"]) == (NOW, NOW + 900)
    assert {type(claims["iat"]), type(claims["exp"])} == {int}


def test_expires_delta_is_the_life():
    """Another life is another ``exp``."""
    assert _jose.parse(make(None, timedelta(hours=2))).claims["exp"] == NOW + 7_200


def test_claims_of_ones_own_are_kept():
    """What else the data holds is in the token."""
    data = {"sub": "u1", "scope": "a b", "roles": ["x"], "ver": 3, "deep": {"n": [1, None]}}
    claims = _jose.parse(make(data)).claims
    assert {name: claims[name] for name in data} == data


def test_the_data_is_not_changed():
    """The caller's mapping stays the caller's."""
    data = {"sub": "u1"}
    make(data)
    assert data == {"sub": "u1"}


def test_every_token_has_its_own_unguessable_id():
    """128 random bits in base64url, never the same."""
    ids = {_jose.parse(make()).claims["jti"] for _ in range(50)}
    assert len(ids) == 50
    assert {len(_jose.decode(jti.encode())) for jti in ids} == {16}


def test_none_means_minted_without():
    """Without issuer and audience there is neither claim."""
    assert set(_jose.parse(make()).claims) == {"sub", "iat", "exp", "jti"}


@pytest.mark.parametrize("audience", ["orders", ["orders", "stock"], ("orders",)])
def test_issuer_and_audience_are_claims(audience):
    """A string stays a string, several are a list."""
    claims = _jose.parse(make(issuer=ISSUER, audience=audience)).claims
    assert claims["iss"] == ISSUER
    assert claims["aud"] == (audience if isinstance(audience, str) else list(audience))


@pytest.mark.parametrize("name", ["exp", "iat", "iss", "aud", "jti"])
def test_claims_that_are_made_here_cannot_be_brought(name):
    """The error names the claim and what to use instead; it is a ValueError."""
    with pytest.raises(ConfigurationError, match=f"{name}.*expires_delta") as caught:
        make({"sub": "u1", name: 1})
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("data", [{}, {"sub": ""}, {"sub": None}, {"sub": 7}, {"sub": ["u1"]}])
def test_the_subject_is_a_string(data):
    """No subject, no token."""
    with pytest.raises(ConfigurationError, match="'sub'"):
        make(data)


@pytest.mark.parametrize("seconds", [0, -1, 0.5])
def test_a_life_has_at_least_a_second(seconds):
    """A token that never was good is not made."""
    with pytest.raises(ConfigurationError, match="expires_delta"):
        make(None, timedelta(seconds=seconds))


@pytest.mark.parametrize(
    "options", [{"issuer": ""}, {"audience": ""}, {"audience": []}, {"audience": ["a", ""]}]
)
def test_empty_is_not_none(options):
    """An empty issuer or audience would verify nowhere."""
    with pytest.raises(ConfigurationError, match="None"):
        make(**options)


DEEP = {}
for _ in range(40):
    DEEP = {"a": DEEP}
ENDLESS = {}
ENDLESS["a"] = ENDLESS


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {1, 2},
        b"bytes",
        float("nan"),
        float("inf"),
        "\ud800",
        10**70,
        "x" * 13_000,
        DEEP,
        ENDLESS,
        {1: "a", "1": "b"},
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_token_that_could_not_be_read_is_not_made(value):
    """What is no JSON, too deep, too long or ambiguous is refused when it is made."""
    with pytest.raises(ConfigurationError):
        make({"sub": "u1", "x": value})


# --- read back -----------------------------------------------------------------------------------


def test_reads_back_what_it_made():
    """The same arguments give the claims."""
    data = {"sub": "u1", "scope": "a b", "roles": ["x"], "ver": 3, "client_id": "c"}
    token = make(data, issuer=ISSUER, audience=AUDIENCE)
    read = payload(token, issuer=ISSUER, audience=AUDIENCE)
    assert isinstance(read, TokenPayload)
    assert (read.sub, read.scope, read.roles, read.ver, read.client_id) == (
        "u1",
        "a b",
        ("x",),
        3,
        "c",
    )
    assert (read.iss, read.aud, read.iat, read.exp) == (ISSUER, AUDIENCE, NOW, NOW + 900)


def test_none_means_verified_without():
    """A token without issuer and audience is read without them."""
    assert payload(make()).iss is None


@pytest.mark.parametrize(
    ("minted", "asked", "reason"),
    [
        ({"issuer": ISSUER}, {}, "unknown_issuer"),
        ({"audience": AUDIENCE}, {}, "audience_mismatch"),
        ({"audience": [AUDIENCE]}, {}, "audience_mismatch"),
        ({}, {"issuer": ISSUER}, "unknown_issuer"),
        ({}, {"audience": AUDIENCE}, "audience_mismatch"),
        ({"issuer": ISSUER}, {"issuer": ISSUER + "/"}, "unknown_issuer"),
        ({"audience": AUDIENCE}, {"audience": "stock"}, "audience_mismatch"),
    ],
)
def test_issuer_and_audience_are_those_it_was_made_with(minted, asked, reason):
    """There and not asked for, asked for and not there, and different are each refused."""
    with pytest.raises(InvalidClaim) as caught:
        payload(make(**minted), **asked)
    assert caught.value.reason == reason


def test_an_expired_token_is_refused():
    """Past ``exp`` and the leeway."""
    token = make(None, timedelta(seconds=10))
    assert payload(token, clock=lambda: NOW + 39).sub == "u1"
    with pytest.raises(TokenExpired):
        payload(token, clock=lambda: NOW + 40)


def test_the_token_of_another_ring_is_refused():
    """Somebody else's key is unknown; under the same name it does not fit."""
    other = KeyRing.generate()
    with pytest.raises(InvalidToken) as caught:
        payload(make(keys=other))
    assert caught.value.reason == "unknown_key"
    with pytest.raises(InvalidSignature):
        payload(make()[:-8] + "AAAAAAAA")


@pytest.mark.parametrize("typ", ["JWT", "dpop+jwt", "secevent+jwt", ""])
def test_another_type_of_token_is_refused(typ):
    """Our key signs access tokens; what it signed as something else is none."""
    claims = _jose.parse(make()).claims
    with pytest.raises(InvalidToken) as caught:
        payload(forged(claims, typ))
    assert caught.value.reason == "wrong_type"


@pytest.mark.parametrize("missing", ["sub", "exp", "iat", "jti"])
def test_a_token_without_what_we_always_write_is_refused(missing):
    """A required claim that is missing is a refusal."""
    claims = {name: v for name, v in _jose.parse(make()).claims.items() if name != missing}
    with pytest.raises(InvalidToken):
        payload(forged(claims))


@pytest.mark.parametrize("odd", [{"sub": 7}, {"jti": []}, {"ver": "x"}, {"roles": 5}, {"exp": "1"}])
def test_a_claim_of_another_type_is_refused(odd):
    """Only InvalidToken leaves, not the model's own error."""
    with pytest.raises(InvalidToken):
        payload(forged({**_jose.parse(make()).claims, **odd}))


@given(st.text())
def test_any_text_is_refused(text):
    """Only InvalidToken leaves, whatever the token."""
    with pytest.raises(InvalidToken):
        payload(text)


def test_making_and_verifying_loads_no_model():
    """Pydantic, a store's driver and a framework stay out until they are needed."""
    program = (
        "import sys; before = set(sys.modules);"
        "import tokenward.tokens as t, tokenward.keys as k;"
        "r = k.KeyRing.generate(); j = t.create_access_token({'sub': 'a'}, keys=r);"
        "v = t.LocalVerifier(r, issuer=None, audience=None, users=None, tokens=None);"
        "assert v.verify(j).subject == 'a';"
        "print(sorted({'pydantic', 'sqlite3', 'requests'} & (set(sys.modules) - before)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"
