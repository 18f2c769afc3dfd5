"""What must hold of `JWKSVerifier` for any token, any key set, any claims and any metadata."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from types import SimpleNamespace as Namespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sites import Site

from tokenward import _jose
from tokenward.errors import AuthServiceUnavailable, ConfigurationError, InvalidToken
from tokenward.jwks import JWKSVerifier
from tokenward.principal import Principal
from tokenward.protocols import Response
from tokenward.testing import FakeClock

NOW = 1_700_000_000
ISSUER = "https://issuer.example"
AUDIENCE = "orders"
JWKS_URI = f"{ISSUER}/jwks"
KEYS_ELSEWHERE = "https://keys.example/jwks"
WELL_KNOWN = f"{ISSUER}/.well-known/oauth-authorization-server"
LEEWAY = 30
CLAIMS = {"iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 300, "sub": "alice"}

FAMILIES = ["HS256", "RS256", "PS256", "ES256", "ES512", "EdDSA"]
KEYS = {alg: replace(_jose.generate_key(alg), kid=f"the {alg} key") for alg in FAMILIES}
KEY = KEYS["ES256"]
OTHER = replace(_jose.generate_key("ES256"), kid=KEY.kid)


def published(key):
    """Return a key as its issuer writes it down; a secret, as an administrator does."""
    if key.kty == "oct":
        return {"kty": "oct", "k": _jose.encode(key.private), "kid": key.kid, "alg": key.algorithm}
    return _jose.public_jwk(key)


def pinned(alg="ES256", **options):
    """Return a verifier that knows the key of a family."""
    options = {"jwks": {"keys": [published(KEYS[alg])]}, "clock": FakeClock(NOW)} | options
    return JWKSVerifier(ISSUER, audience=AUDIENCE, algorithms=[alg], **options)


def fetching(site, **options):
    """Return a verifier that fetches its keys from a site."""
    options = {"jwks_uri": JWKS_URI, "clock": FakeClock(NOW)} | options
    return JWKSVerifier(ISSUER, audience=AUDIENCE, algorithms=["ES256"], transport=site, **options)


def signed(header, claims, key=KEY):
    """Return a token of any header and any claims, under a good signature."""
    text = ".".join(
        _jose.encode(part if isinstance(part, bytes) else json.dumps(part).encode())
        for part in (header, claims)
    )
    signature = _jose.algorithms.ALGORITHMS[key.algorithm].sign(text.encode(), key.private)
    return f"{text}.{_jose.encode(signature)}"


def accepted(verifier, token):
    """Return the principal, or ``None`` for a token that is refused; nothing else may happen."""
    try:
        principal = verifier.verify(token)
    except InvalidToken:
        return None
    assert isinstance(principal, Principal)
    return principal


GOOD = _jose.sign(CLAIMS, KEY)
BY_OTHER = _jose.sign(CLAIMS, OTHER)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12),
    lambda child: (
        st.lists(child, max_size=3) | st.dictionaries(st.text(max_size=6), child, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def often(draw, usual, rare):
    """Three times the usual, once what is rare."""
    return draw(rare if draw(st.integers(0, 3)) == 0 else usual)


@st.composite
def some_of(draw, members):
    """Up to three of these members: with more, hardly any token would be good."""
    names = draw(st.lists(st.sampled_from(sorted(members)), max_size=3, unique=True))
    return {name: draw(members[name]) for name in names}


# --- one byte ------------------------------------------------------------------------------------

VERIFIERS = {alg: pinned(alg) for alg in FAMILIES}
TOKENS = {alg: _jose.sign(CLAIMS | {"scope": "read"}, KEYS[alg]) for alg in FAMILIES}
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def edits(token):
    """Yield the token with each of its bytes changed, removed, doubled and swapped."""
    for n, byte in enumerate(token):
        # Its neighbour in the alphabet: where a last character has spare bits, only these change.
        near = ALPHABET[ALPHABET.find(byte) ^ 1] if byte != "." else "A"
        yield token[:n] + near + token[n + 1 :]
        yield token[:n] + chr(ord(byte) ^ 0x20) + token[n + 1 :]
        yield token[:n] + token[n + 1 :]
        yield token[:n] + byte + token[n:]
        yield token[:n] + token[n + 1 : n + 2] + byte + token[n + 2 :]


@pytest.mark.parametrize("alg", FAMILIES)
def test_each_byte_counts(alg):
    """Wherever a byte is changed, removed, doubled or swapped with the next, the token is bad."""
    verifier, token = VERIFIERS[alg], TOKENS[alg]
    assert "alice" == verifier.verify(token).subject
    passed = [edit for edit in edits(token) if edit != token and accepted(verifier, edit)]

    assert [] == passed


@given(
    st.sampled_from(FAMILIES),
    st.sampled_from(["change", "remove", "insert", "swap"]),
    st.integers(0, 10_000),
    st.integers(0, 10_000),
    st.characters(codec="ascii") | st.characters(),
)
def test_no_edit_of_one_byte_passes(alg, edit, first, second, byte):
    """Any byte, anywhere; and the good token still passes afterwards."""
    verifier, token = VERIFIERS[alg], TOKENS[alg]
    one, two = sorted((first % len(token), second % len(token)))
    edited = {
        "change": token[:one] + byte + token[one + 1 :],
        "remove": token[:one] + token[one + 1 :],
        "insert": token[:one] + byte + token[one:],
        "swap": (
            token[:one] + token[two] + token[one + 1 : two] + token[one] + token[two + 1 :]
            if one < two
            else token
        ),
    }[edit]
    if edited != token:
        assert accepted(verifier, edited) is None
        assert verifier.cached(edited) is None
    assert "alice" == verifier.verify(token).subject


# --- any key set ---------------------------------------------------------------------------------

JWK_NAMES = st.sampled_from(
    ["kty", "crv", "x", "y", "n", "e", "k", "d", "alg", "use", "key_ops", "kid", "x5c", "x5u"]
)
JWK_VALUES = JSON | st.sampled_from(
    [
        *("RSA", "EC", "OKP", "oct", "P-256", "P-384", "Ed25519", "ES256", "RS256", "none"),
        *("sig", "enc", ["verify"], ["sign"], KEY.kid, "AQAB", _jose.encode(bytes(32)), "A" * 43),
    ]
)
PUBLIC = [_jose.public_jwk(key) for key in [OTHER, *KEYS.values()] if key.kty != "oct"]


@st.composite
def entries(draw):
    """An entry of a set: a key with a few of its members changed or gone, or anything."""
    entry = dict(draw(st.sampled_from(PUBLIC)))
    for name in draw(st.lists(st.sampled_from(sorted(entry)), max_size=2)):
        entry.pop(name, None)
    return entry | draw(st.dictionaries(JWK_NAMES, JWK_VALUES, max_size=2))


SETS = st.fixed_dictionaries({"keys": st.lists(entries() | JSON, max_size=6) | JSON})
BODIES = (
    (SETS | JSON).map(lambda document: json.dumps(document).encode())
    | st.binary(max_size=80)
    | SETS.map(lambda document: b'{"keys":[],' + json.dumps(document).encode()[1:])
)
HEADERS = st.fixed_dictionaries(
    {
        "content-type": st.sampled_from(
            ["application/json", "application/jwk-set+json; charset=utf-8", "text/html", ""]
        )
    },
    optional={
        "cache-control": st.sampled_from(["max-age=0", "max-age=-1", "max-age=" + "9" * 90])
        | st.text(alphabet='max-ge=0123456789, "\t', max_size=20)
    },
)


def objects_in(body):
    """Return those entries of a set that are objects."""
    try:
        keys = json.loads(body)["keys"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return []
    return [entry for entry in keys if isinstance(entry, dict)] if isinstance(keys, list) else []


def holds(body, key):
    """Tell whether a key is somewhere in a body: whose coordinates they are, in one entry."""
    jwk = _jose.public_jwk(key)
    return any(
        (entry.get("x"), entry.get("y")) == (jwk["x"], jwk["y"]) for entry in objects_in(body)
    )


@given(BODIES, HEADERS)
def test_any_key_set(body, headers):
    """It verifies what its own keys signed, or nothing; no other error leaves."""
    site = Site(**{JWKS_URI: Response(200, headers, body)})
    verifier = fetching(site)
    for token, key in [(GOOD, KEY), (BY_OTHER, OTHER)]:
        try:
            passed = accepted(verifier, token) is not None
        except AuthServiceUnavailable:
            passed = False
        assert not passed or holds(body, key)
    assert verifier.warm_up() in (True, False)
    try:
        shown = verifier.jwks()["keys"]
    except AuthServiceUnavailable:
        assert verifier.keys_age() is None
    else:
        assert not [entry for entry in shown if {"d", "k", "p", "q"} & set(entry)]
    assert {JWKS_URI} == set(site.asked)


@given(st.lists(entries() | JSON, max_size=6), st.lists(entries() | JSON, max_size=6))
def test_a_good_key_between_any_others(before, after):
    """Bad neighbours take nothing along, and lend nothing."""
    neighbours = [
        entry
        for entry in before + after
        if not (isinstance(entry, dict) and (KEY.kid == entry.get("kid") or "kid" not in entry))
    ]
    good = _jose.public_jwk(KEY)
    keys = [*neighbours[: len(before)], good, *neighbours[len(before) :]]
    verifier = fetching(Site(**{JWKS_URI: {"keys": keys}}))

    assert "alice" == verifier.verify(GOOD).subject
    assert accepted(verifier, BY_OTHER) is None


@given(BODIES, st.sampled_from([200, 204, 301, 304, 400, 404, 500, 503]))
def test_any_key_set_after_a_good_one(body, status):
    """What was fetched before serves on, unless the new set is a good one without the key."""
    site = Site(**{JWKS_URI: {"keys": [_jose.public_jwk(KEY)]}})
    clock = FakeClock(NOW)
    verifier = fetching(site, clock=clock)
    verifier.verify(GOOD)
    site[JWKS_URI] = Response(status, {"content-type": "application/json"}, body)
    clock.advance(901)
    later, by_other = (_jose.sign(CLAIMS | {"exp": NOW + 10_000}, key) for key in (KEY, OTHER))
    passed = accepted(verifier, later) is not None

    assert 2 == len(site.sent)
    usable = [entry for entry in objects_in(body) if entry.get("kty") in ("RSA", "EC", "OKP")]
    assert passed or (status == 200 and usable)
    assert accepted(verifier, by_other) is None or holds(body, OTHER)


@given(SETS | JSON.filter(lambda value: value is not None) | st.text(max_size=30) | BODIES)
@example({"keys": [b"bytes"]})
@example({"keys": {1, 2}})
@example({("keys",): []})
@example({"keys": [{"kty": "EC", "x": math.nan}]})
def test_any_configured_key_set(jwks):
    """Start-up ends with a clear error or with a verifier; no other error leaves."""
    try:
        verifier = pinned(jwks=jwks)
    except ConfigurationError as error:
        assert "jwks" in str(error)  # noqa: PT017 - or no error at all
        return
    text = jwks.encode() if isinstance(jwks, str) else json.dumps(jwks)
    for token, key in [(GOOD, KEY), (BY_OTHER, OTHER)]:
        assert accepted(verifier, token) is None or holds(text, key)


# --- any token -----------------------------------------------------------------------------------

SITE = Site(**{JWKS_URI: {"keys": [_jose.public_jwk(KEY)]}})
COLD = fetching(SITE, max_token_bytes=1_000)
SEGMENTS = (
    st.binary(max_size=40).map(_jose.encode)
    | JSON.map(lambda value: _jose.encode(json.dumps(value).encode()))
    | st.sampled_from([*GOOD.split("."), "e30", ""])
    | st.text(alphabet=ALPHABET + "+/=. \n", max_size=20)
)
OBJECTS = st.sampled_from(
    [None, 0, 1.5, True, b"", GOOD.encode(), [GOOD], (GOOD,), {GOOD: 1}, object()]
)


@given(
    st.text(max_size=60)
    | st.text(st.characters(categories=["Cs", "Lu"]), max_size=5)
    | st.binary(max_size=60)
    | st.lists(SEGMENTS, min_size=1, max_size=6)
    .map(".".join)
    .filter(lambda token: not token.startswith(GOOD.rpartition(".")[0]))
    | OBJECTS
)
@example(f"{GOOD.split('.')[0]}.{_jose.encode(b'{}')}.{GOOD.split('.')[2]}")
@example(GOOD + "." + GOOD)
@example(GOOD + "\n")
@example("Bearer " + GOOD)
def test_any_token_is_refused_without_asking_anybody(token):
    """Only `InvalidToken`, and nothing is fetched for what cannot be a token of ours."""
    for ask in (COLD.verify, COLD.verify_token, lambda it: COLD.verify(it, live=False)):
        if ask == COLD.verify_token and isinstance(token, str):
            continue  # it reads "Bearer" and white space around a token
        with pytest.raises(InvalidToken) as caught:
            ask(token)
        assert caught.value.reason
    assert [] == SITE.sent


@pytest.mark.parametrize(
    "thing", [None, 0, [GOOD], {GOOD: 1}, "", "\ud800", "a.b", b"", GOOD.encode(), object()]
)
def test_revoking_what_is_no_token(thing):
    """Never raises, and revokes nothing else."""
    verifier = pinned()
    verifier.invalidate(thing)

    assert "alice" == verifier.verify(GOOD).subject


@pytest.mark.parametrize(
    "thing", [str, json.JSONEncoder(), Namespace(encode=lambda: "text")], ids=type
)
def test_a_thing_that_has_a_method_encode(thing):
    """Is refused as anything else that is no string is."""
    for ask in (COLD.verify, COLD.cached, COLD.verify_token):
        with pytest.raises(InvalidToken):
            ask(thing)


@given(
    st.sampled_from([GOOD, "A.A.A", "é", "\ud800", GOOD.replace(".", "")]),
    st.integers(1_001, 20_000),
    st.sampled_from(["A", ".", "=", "\n"]),
)
def test_a_longer_token_is_not_read(token, length, filling):
    """Whatever it holds, its size is all that is said of it."""
    with pytest.raises(InvalidToken) as caught:
        COLD.verify(token + filling * (length - len(token)))

    assert ("too_large" if token.isascii() else "malformed") == caught.value.reason
    assert [] == SITE.sent


@given(st.integers(-3, 3))
def test_the_largest_token(over):
    """A good token is read up to the last byte of the bound, and not beyond."""
    bound = 2_000
    size = len(signed({"alg": "ES256"}, CLAIMS | {"pad": ""}))
    # Four characters for three bytes: a few lengths cannot be had.
    padded = signed({"alg": "ES256"}, CLAIMS | {"pad": "x" * ((bound + over - size) * 3 // 4)})
    verifier = pinned(max_token_bytes=bound)

    assert (len(padded) <= bound) == (accepted(verifier, padded) is not None)


# --- any claims ----------------------------------------------------------------------------------

NUMBERS = (
    st.sampled_from(
        [NOW + LEEWAY + d for d in (-1, -0.5, 0, 0.5, 1)]
        + [NOW - LEEWAY + d for d in (-1, -0.5, 0, 0.5, 1)]
        + [0, -1, 1e308, -1e308, 10**60, -(10**60), 2**63]
    )
    | st.integers(NOW - 100, NOW + 100)
    | st.floats(allow_nan=False, allow_infinity=False)
)
TIMES = often(NUMBERS, st.booleans() | st.none() | st.sampled_from([str(NOW + 60), "", []]) | JSON)
NAMES = st.sampled_from([ISSUER, ISSUER + "/", ISSUER.upper(), AUDIENCE, "Orders", "", None]) | JSON
KINDS = (
    st.sampled_from(
        ["ID", "id", "Refresh", "OFFLINE", "logout", "Bearer", "JWT", "access", "Access", None]
    )
    | JSON
)
ANY_CLAIMS = some_of(
    {
        "exp": TIMES,
        "nbf": TIMES,
        "iat": TIMES,
        "iss": NAMES,
        "aud": NAMES | st.lists(NAMES, max_size=3),
        "typ": KINDS,
        "token_use": KINDS,
        "token_type": KINDS,
        "type": KINDS,
        "cnf": JSON | st.just({"jkt": "x"}),
        "events": JSON,
        "at_hash": JSON,
        "c_hash": JSON,
        "s_hash": JSON,
        "sub": JSON,
        "client_id": JSON,
        "azp": JSON,
        "username": JSON,
        "common_name": JSON,
        "scope": st.sampled_from(["read write", "", " read"]) | JSON | st.lists(JSON, max_size=3),
        "scp": st.sampled_from(["read write", ""]) | JSON | st.lists(JSON, max_size=3),
        "roles": JSON | st.lists(st.text(max_size=4), max_size=3),
        "realm_access": JSON | st.fixed_dictionaries({"roles": JSON}),
        "email": JSON,
        "email_verified": JSON,
    },
)


def is_number(value):
    """A JSON number; a boolean is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_text(value):
    return isinstance(value, str) and value != ""


def is_one_of(value, *words):
    """A string that is one of these in any case."""
    return isinstance(value, str) and value.lower() in words


def is_ours(claims):
    """The rules, once more: for us, for now, an access token, of somebody."""
    exp, nbf, iat = (claims.get(name) for name in ("exp", "nbf", "iat"))
    aud = claims.get("aud")
    audiences = [aud] if isinstance(aud, str) else aud
    return (
        is_number(exp)
        and exp + LEEWAY > NOW
        and (nbf is None or (is_number(nbf) and nbf <= NOW + LEEWAY))
        and (iat is None or (is_number(iat) and iat <= NOW + LEEWAY))
        and claims.get("iss") == ISSUER
        and isinstance(audiences, list)
        and all(isinstance(one, str) for one in audiences)
        and AUDIENCE in audiences
        and claims.get("cnf") is None
        and not is_one_of(claims.get("typ"), "id", "refresh", "offline", "logout")
        and claims.get("token_use") in (None, "access")
        and not is_one_of(claims.get("token_type"), "refresh")
        and not is_one_of(claims.get("type"), "refresh")
        and {"events", "at_hash", "c_hash", "s_hash"}.isdisjoint(claims)
        and any(
            is_text(claims.get(name))
            for name in ("sub", "client_id", "azp", "username", "common_name")
        )
    )


def words(value):
    """The strings of a claim that is a list, or a string with spaces between them."""
    parts = value.split() if isinstance(value, str) else value
    return {part for part in parts if is_text(part)} if isinstance(parts, list) else set()


PINNED = pinned(cache_entries=0)
CACHING = pinned(cache_entries=50)


@given(ANY_CLAIMS)
@example({})
@example({"exp": True})
@example({"exp": NOW - 30})
@example({"exp": NOW - 29.5})
@example({"exp": -1e308})
@example({"nbf": NOW + 30, "iat": NOW + 30})
@example({"nbf": NOW + 30.5})
@example({"iat": NOW + 30.5})
@example({"iat": 10**60})
@example({"iat": str(NOW)})
@example({"aud": [AUDIENCE, 7]})
@example({"aud": f"{AUDIENCE} others"})
@example({"scope": "", "scp": "read"})
@example({"scope": None, "scp": ["read", "", 7]})
@example({"aud": {AUDIENCE: 1}})
@example({"at_hash": None})
def test_any_claims(changes):
    """A principal exactly where the rules say so, each time; every other time `InvalidToken`."""
    claims = CLAIMS | changes
    token = signed({"alg": "ES256"}, claims)
    principal = accepted(PINNED, token)

    assert is_ours(claims) == (principal is not None)
    assert [principal, principal] == [accepted(CACHING, token), accepted(CACHING, token)]
    if principal is None:
        assert CACHING.cached(token) is None
        return
    scope = claims["scope"] if claims.get("scope") is not None else claims.get("scp")
    assert words(scope) == principal.scopes
    assert int(claims["exp"]) == principal.expires_at
    assert principal.subject
    verified = claims.get("email_verified")
    assert (verified if isinstance(verified, bool) else None) is principal.email_verified


@given(ANY_CLAIMS, st.sets(st.sampled_from(["exp", "iat", "nbf", "sub", "scope", "azp"])))
def test_claims_that_are_there(changes, left_out):
    """Without any of them, ``required`` decides and nothing breaks."""
    claims = {n: v for n, v in (CLAIMS | changes).items() if n not in left_out}
    token = signed({"alg": "ES256"}, claims)
    timeless = pinned(required=(), cache_entries=0)
    strict = pinned(required=("exp", "sub", "scope"), cache_entries=0)

    eternal = claims if claims.get("exp") is not None else claims | {"exp": NOW}
    assert is_ours(eternal) == (accepted(timeless, token) is not None)
    there = all(claims.get(name) is not None for name in ("sub", "scope"))
    assert (is_ours(claims) and there) == (accepted(strict, token) is not None)


@given(ANY_CLAIMS)
def test_claims_that_are_not_ours_ask_nobody(changes):
    """Issuer, audience, time and kind are looked at before any key is fetched."""
    site = Site(**{JWKS_URI: {"keys": [_jose.public_jwk(KEY)]}})
    claims = CLAIMS | changes
    accepted(fetching(site), signed({"alg": "ES256"}, claims))

    # Who the claims are about is read last.
    assert is_ours(claims | {"sub": "alice"}) == (site.sent != [])


NESTED = st.recursive(
    st.none() | st.text(alphabet="xyz", max_size=2) | st.lists(JSON, max_size=2),
    lambda child: st.dictionaries(st.text(alphabet="ab.", max_size=3), child, max_size=3),
    max_leaves=8,
)
TREES = st.dictionaries(st.text(alphabet="ab.", max_size=3), NESTED, max_size=4)


def ways(path):
    """Yield the names that a path may be made of, those with the longest first name first."""
    yield [path]
    for cut in range(len(path) - 1, -1, -1):
        if path[cut] == ".":
            for rest in ways(path[cut + 1 :]):
                yield [path[:cut], *rest]


def at(claims, names):
    """Return what stands there, or ``None``."""
    for name in names:
        claims = claims.get(name) if isinstance(claims, dict) else None
    return claims


@given(st.text(alphabet="ab.", max_size=6) | st.text(max_size=6), TREES)
@example("a.b", {"a": {"b": ["x"]}})
@example("a.b", {"a": {"b": ["x"]}, "a.b": ["y"]})
@example("a.b.c", {"a": {"b.c": "x", "b": {"c": "y"}}, "a.b": {"d": "z"}})
@example("a.b", {"a": {"b": {"c": 1}}})
@example("a.b", {"a": "b"})
@example("a", {"a": ["", "x", 7, ["y"], None]})
def test_any_path_of_roles(path, tree):
    """What stands there as a string or a list of strings, and nothing else; or no start-up."""
    claims = tree | CLAIMS
    try:
        verifier = pinned(roles_claim=path)
    except ConfigurationError:
        assert path == ""
        return
    found = next((at(claims, names) for names in ways(path) if at(claims, names) is not None), None)
    texts = [found] if isinstance(found, str) else found
    expected = {text for text in texts if is_text(text)} if isinstance(texts, list) else set()

    assert expected == verifier.verify(signed({"alg": "ES256"}, claims)).roles


# --- any header ----------------------------------------------------------------------------------

ANY_HEADER = some_of(
    {
        "alg": st.sampled_from(["ES256", "es256", "none", "None", "HS256", "ES512", "RS256"])
        | JSON,
        "kid": st.sampled_from([KEY.kid, KEY.kid.upper(), KEY.kid + " ", "x" * 2_000]) | JSON,
        "typ": st.sampled_from(
            [
                *("JWT", "jwt", "AT+jwt", "application/at+jwt", "Application/JWT", "id_token+jwt"),
                *("logout+jwt", "secevent+jwt", "dpop+jwt", "at+jwt;v=1", "application/"),
            ]
        )
        | JSON,
        "cty": JSON,
        "crit": JSON,
        "b64": JSON,
        "zip": JSON,
        "enc": JSON,
        "jwk": JSON | st.just(_jose.public_jwk(OTHER)),
        "jku": JSON | st.just("https://attacker.example/jwks"),
        "x5u": JSON | st.just("https://attacker.example/cert"),
        "x5c": JSON,
    },
)


def is_readable(header):
    """The rules of a header, once more, for a verifier of ES256 with one key."""
    typ = header.get("typ")
    return (
        header.get("alg") == "ES256"
        and "crit" not in header
        and "b64" not in header
        and ("kid" not in header or header["kid"] == KEY.kid)
        and (
            typ is None or is_one_of(typ, "jwt", "at+jwt", "application/jwt", "application/at+jwt")
        )
    )


@given(ANY_HEADER)
@example({"typ": None})
@example({"kid": None})
@example({"kid": ""})
@example({"crit": []})
@example({"b64": True})
def test_any_header(changes):
    """A principal exactly where the rules say so; nobody but our own source is asked for keys."""
    header = {"alg": "ES256"} | changes
    site = Site(**{JWKS_URI: {"keys": [_jose.public_jwk(KEY)]}})
    verifier = fetching(site)
    token = signed(header, CLAIMS)

    assert is_readable(header) == (accepted(verifier, token) is not None)
    assert {JWKS_URI} >= set(site.asked)
    assert accepted(verifier, signed(header, CLAIMS, OTHER)) is None


# --- any metadata --------------------------------------------------------------------------------

URLS = st.sampled_from(
    [
        *(JWKS_URI, KEYS_ELSEWHERE, "http://issuer.example/jwks", "file:///etc/passwd", "/jwks"),
        *("https://10.0.0.1/jwks", "https://127.0.0.1/jwks", "https://[::1]/jwks", "https://"),
        *("https://localhost/jwks", "https://2130706433/jwks", "https://user:pass@keys.example/"),
        *("data:application/json,{}", "ftp://keys.example/jwks", f"{KEYS_ELSEWHERE}\n", ""),
    ]
)
ANY_METADATA = st.fixed_dictionaries(
    {"issuer": often(st.just(ISSUER), NAMES), "jwks_uri": often(URLS, JSON)},
    optional={"scopes_supported": JSON},
)


@given(
    ANY_METADATA.map(lambda document: json.dumps(document).encode())
    | JSON.map(lambda document: json.dumps(document).encode())
    | st.binary(max_size=40),
    st.sampled_from([200, 200, 200, 200, 204, 302, 404, 500]),
)
def test_any_metadata(body, status):
    """Keys come from where the issuer's own document says, or there are none."""
    page = Response(status, {"content-type": "application/json"}, body)
    keys = {"keys": [_jose.public_jwk(KEY)]}
    site = Site(**{WELL_KNOWN: page, JWKS_URI: keys, KEYS_ELSEWHERE: keys})
    verifier = fetching(site, jwks_uri=None)
    try:
        passed = accepted(verifier, GOOD) is not None
    except AuthServiceUnavailable:
        passed = False
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    named = document.get("jwks_uri") if isinstance(document, dict) else None
    good = (
        status == 200
        and isinstance(document, dict)
        and document.get("issuer") == ISSUER
        and named in (JWKS_URI, KEYS_ELSEWHERE)
    )

    assert good == passed
    elsewhere = [url for url in site.asked if "/.well-known/" not in url]
    assert ([named] if good else []) == elsewhere
