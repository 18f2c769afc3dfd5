"""What `JWKSVerifier` takes: one source of keys, an issuer, and no number that makes no sense."""

import copy
import json
import logging
import pickle
from types import MappingProxyType

import pytest

from tokenward import _jose
from tokenward.errors import ConfigurationError, InvalidClaim
from tokenward.jwks import JWKSVerifier
from tokenward.protocols import CachingVerifier, TokenVerifier, serves_live

ISSUER = "https://as.example"
DISCOVERY = f"{ISSUER}/.well-known/oauth-authorization-server"
KEY = _jose.generate_key("ES256")
SECRET = _jose.generate_key("HS256")
OCT = {"kty": "oct", "k": _jose.encode(SECRET.private), "alg": "HS256", "kid": SECRET.kid}
PINNED = {"keys": [_jose.public_jwk(KEY)]}


def refused(make, *args, **options):
    """Assert that a verifier is not made; return what it says."""
    with pytest.raises(ConfigurationError) as caught:
        make(*args, **options)
    return str(caught.value)


def test_it_is_a_verifier(make):
    """By the public protocols; and it has nobody to ask live unless one is given."""
    made = make()
    assert isinstance(made, TokenVerifier)
    assert isinstance(made, CachingVerifier)
    assert (False, False) == (made.serves_live, serves_live(made))


# --- one source, and whose tokens


@pytest.mark.parametrize("issuer", [{}, {"issuer": None}], ids=["left out", "none"])
def test_without_any_source(issuer):
    """What to write is said."""
    said = refused(JWKSVerifier, audience="orders", **issuer)

    assert all(name in said for name in ("issuer", "discovery_url", "jwks_uri", "jwks"))


@pytest.mark.parametrize(
    "given",
    [
        {"discovery_url": DISCOVERY, "jwks_uri": f"{ISSUER}/keys"},
        {"discovery_url": DISCOVERY, "jwks": PINNED},
        {"jwks_uri": f"{ISSUER}/keys", "jwks": PINNED},
        {"discovery_url": DISCOVERY, "jwks_uri": f"{ISSUER}/keys", "jwks": PINNED},
    ],
    ids="+".join,
)
def test_several_sources(make, given):
    """Keys come from one place; the message names those that were given."""
    said = refused(make, **given)

    assert all(name in said for name in given)


@pytest.mark.parametrize("given", [{"jwks_uri": f"{ISSUER}/keys"}, {"jwks": PINNED}], ids=str)
def test_keys_without_an_issuer_must_say_so(given):
    """Nothing is left open by omission (RULES 11)."""
    said = refused(JWKSVerifier, audience="orders", **given)
    assert "issuer=None" in said

    JWKSVerifier(None, audience="orders", **given)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({}, ISSUER),
        ({"discovery_url": f"{ISSUER}/elsewhere.json"}, ISSUER),
        ({"jwks_uri": f"{ISSUER}/keys"}, ISSUER),
        ({"jwks": PINNED}, ISSUER),
    ],
    ids=["discovery", "discovery_url", "jwks_uri", "jwks"],
)
def test_an_issuer_with_each_source(make, issuer, site, given, name):
    """It names the verifier and is compared, wherever the keys come from."""
    issuer.publish(KEY)
    site[f"{ISSUER}/elsewhere.json"] = {"issuer": ISSUER, "jwks_uri": issuer.jwks_uri}
    made = make(ISSUER, **given)
    assert (name, "u1") == (made.issuer, made.verify(issuer.token(KEY)).subject)
    with pytest.raises(InvalidClaim) as caught:
        made.verify(issuer.token(KEY, iss=f"{ISSUER}/"))

    assert "unknown_issuer" == caught.value.reason


@pytest.mark.parametrize(
    ("given", "name"),
    [({"jwks_uri": f"{ISSUER}/keys?key=private"}, f"{ISSUER}/keys"), ({"jwks": PINNED}, "jwks")],
    ids=["jwks_uri", "jwks"],
)
def test_no_issuer_takes_anybodys_tokens(make, issuer, site, given, name):
    """The place of the keys stands in where a token names nobody; no query is in a name."""
    issuer.publish(KEY)
    site[f"{ISSUER}/keys?key=private"] = site.pages[issuer.jwks_uri]
    made = make(None, **given)

    assert name == made.issuer
    assert "https://other" == made.verify(issuer.token(KEY, iss="https://other")).issuer
    assert name == made.verify(issuer.token(KEY, iss=None)).issuer


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (DISCOVERY, ISSUER),
        (f"{ISSUER}/.well-known/openid-configuration", ISSUER),
        (f"{ISSUER}/t1/.well-known/openid-configuration", f"{ISSUER}/t1"),
        (f"{ISSUER}/.well-known/oauth-authorization-server/t1", f"{ISSUER}/t1"),
    ],
)
def test_a_discovery_url_alone_names_the_issuer(make, issuer, site, url, name):
    """What stands before /.well-known/; the document must say the same (RULES 15)."""
    site[url] = {"issuer": name, "jwks_uri": issuer.jwks_uri}
    made = make(None, discovery_url=url)
    assert name == made.issuer
    assert name == made.verify(issuer.token(iss=name)).issuer
    with pytest.raises(InvalidClaim):
        made.verify(issuer.token(iss="https://other.example"))

    assert [url, issuer.jwks_uri] == site.asked


def test_a_discovery_url_that_names_nobody(make):
    """Then the issuer has to be written."""
    said = refused(make, None, discovery_url=f"{ISSUER}/metadata.json")

    assert "issuer" in said


@pytest.mark.parametrize("issuer_value", ["", 7, b"https://as.example", ["https://as.example"]])
@pytest.mark.parametrize("given", [{}, {"jwks": PINNED}], ids=["discovery", "jwks"])
def test_an_issuer_that_is_no_string(make, issuer_value, given):
    """One issuer, as a string."""
    assert "issuer" in refused(make, issuer_value, **given)


@pytest.mark.parametrize(
    ("issuer_value", "given"),
    [
        ("http://as.example", {}),
        ("https://as.example?x=1", {}),
        ("https://user:pw@as.example", {}),
        (ISSUER, {"discovery_url": "http://as.example/.well-known/openid-configuration"}),
        (ISSUER, {"discovery_url": "file:///etc/passwd"}),
        (ISSUER, {"jwks_uri": "http://as.example/keys"}),
        (ISSUER, {"jwks_uri": "http://127.0.0.1.evil.example/keys"}),
        (ISSUER, {"jwks_uri": 7}),
        (ISSUER, {"verify_tls": False}),
        (ISSUER, {"jwks_uri": f"{ISSUER}/keys", "verify_tls": False}),
        (ISSUER, {"discovery_url": DISCOVERY, "verify_tls": False}),
        (None, {"discovery_url": DISCOVERY, "verify_tls": False}),
    ],
    ids=str,
)
def test_urls_that_must_not_be_called(make, issuer, issuer_value, given):
    """They stop start-up, and nothing is asked (RULES 15, 22)."""
    refused(make, issuer_value, **given)

    assert [] == issuer.site.asked


def test_any_string_is_an_issuer_of_pinned_keys(make, issuer):
    """What is only compared need not be a URL."""
    made = make("urn:partner", jwks=PINNED)

    assert "urn:partner" == made.verify(issuer.token(KEY, iss="urn:partner")).issuer


def test_without_an_audience_nothing_starts():
    """Leaving a check out takes a None that is written."""
    with pytest.raises(TypeError, match="audience"):
        JWKSVerifier(ISSUER)


# --- algorithms


@pytest.mark.parametrize(
    ("algorithms", "said"),
    [
        ([], "at least one"),
        (["none"], "none"),
        (["None", "RS256"], "None"),
        (["rs256"], "rs256"),
        (["RS256", "HS256"], "HS"),
        (["RS256", ""], "choose from"),
        ("RS256", "['RS256']"),
    ],
    ids=str,
)
def test_algorithms_that_cannot_be_meant(make, algorithms, said):
    """Empty, unknown, mixed, or a string (RULES 1, 2)."""
    assert said in refused(make, algorithms=algorithms, jwks={"keys": [OCT, *PINNED["keys"]]})


@pytest.mark.parametrize(
    "given", [{}, {"discovery_url": DISCOVERY}, {"jwks_uri": f"{ISSUER}/keys"}], ids=str
)
def test_secrets_are_never_fetched(make, given):
    """HS* takes pinned keys (RULES 2, 3)."""
    said = refused(make, algorithms=["HS256"], **given)

    assert "jwks" in said


@pytest.mark.parametrize(
    ("jwks", "algorithms"),
    [
        ({"keys": [OCT]}, ["RS256", "ES256"]),
        (PINNED, ["HS256"]),
        (PINNED, ["RS256"]),
        ({"keys": [OCT]}, ["HS512"]),
        ({"keys": []}, ["ES256"]),
        ({"keys": [{**OCT, "k": "c2hvcnQ"}]}, ["HS256"]),
        ({"keys": [{**PINNED["keys"][0], "d": "AAAA"}]}, ["ES256"]),
        ({"keys": [{**PINNED["keys"][0], "use": "enc"}]}, ["ES256"]),
    ],
    ids=[
        *("oct-for-signatures", "public-for-hmac", "another-kind", "another-hmac"),
        *("empty", "short", "private", "encryption"),
    ],
)
def test_pinned_keys_that_fit_no_algorithm(make, jwks, algorithms):
    """A verifier that could accept nothing does not start; no key material is in the message."""
    said = refused(make, jwks=jwks, algorithms=algorithms)

    assert "algorithms" in said
    assert OCT["k"] not in said


def test_a_pinned_key_that_is_not_used_is_logged(make, caplog):
    """The others serve; the line says why, without the key."""
    enc = {**PINNED["keys"][0], "use": "enc", "kid": "e"}
    with caplog.at_level(logging.WARNING, "tokenward.jwks"):
        made = make(jwks={"keys": [{**OCT, "kid": "m"}, enc, *PINNED["keys"]]})

    assert PINNED == made.jwks()
    assert ["entry 0", "entry 1"] == [r.getMessage().split(": ")[1][:7] for r in caplog.records]
    assert OCT["k"] not in caplog.text


@pytest.mark.parametrize(
    "jwks",
    [
        *("", "{", "[]", "null", '{"keys": NaN}', '{"keys": [], "keys": []}', "\ud800", b"{}"),
        *({}, {"keys": None}, {"keys": {}}, [], 7, {"keys": [object()]}, {"keys": float("nan")}),
        {"keys": [{**PINNED["keys"][0], "note": object()}]},
    ],
    ids=lambda jwks: ascii(jwks)[:20],
)
def test_what_is_no_key_set(make, jwks):
    """It stops start-up; what is written there is in no message."""
    refused(make, jwks=jwks)


# --- numbers


@pytest.mark.parametrize("name", ["ttl", "cooldown", "timeout", "connect_timeout"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "5", None])
def test_seconds_that_must_be_more_than_zero(issuer, name, value):
    """The message names the argument."""
    said = refused(JWKSVerifier, ISSUER, audience="orders", **{name: value})

    assert name in said


@pytest.mark.parametrize("name", ["refresh_ahead", "stale_for", "leeway"])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "5", None, True])
def test_seconds_that_may_be_zero(make, name, value):
    """Zero is a number too."""
    assert name in refused(make, **{name: value})
    make(**{name: 0})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("cache_entries", v) for v in (-1, 1.5, True, "1", None)),
        *(("max_token_bytes", v) for v in (0, -1, 1.5, True, "1", None)),
        *(("retries", v) for v in (-1, 1.5)),
    ],
)
def test_counts_that_make_no_sense(name, value):
    """Whole numbers, not too small."""
    assert name in refused(JWKSVerifier, ISSUER, audience="orders", **{name: value})


@pytest.mark.parametrize(
    "given",
    [
        *({"audience": v} for v in ("", [], [""], 7)),
        *({"token_types": v} for v in ([], [""], 7)),
        *({"required": v} for v in ([""], 7)),
        *({"roles_claim": v} for v in ([""], 7)),
    ],
    ids=str,
)
def test_claims_that_cannot_be_meant(make, given):
    """See `ClaimsPolicy`; the message names the argument."""
    assert next(iter(given)) in refused(make, **given)


# --- pinned keys, and what is shown of them


@pytest.mark.parametrize(
    "form",
    [
        json.dumps,
        dict,
        MappingProxyType,
        lambda jwks: {"keys": tuple(jwks["keys"]), "note": "x"},
    ],
    ids=["text", "dict", "mapping", "tuple"],
)
def test_pinned_keys_in_any_form(make, issuer, site, form):
    """Text or a mapping; nothing is fetched."""
    made = make(jwks=form(PINNED))
    assert "u1" == made.verify(issuer.token(KEY)).subject
    assert ([], PINNED, True, None) == (site.asked, made.jwks(), made.warm_up(), made.keys_age())
    made.refresh()

    assert ([], 0) == (site.asked, made.stats().upstream_calls)


def test_what_was_given_may_change(make, issuer):
    """The keys are those of the moment at which they were given; so is what is handed out."""
    given = copy.deepcopy(PINNED)
    made = make(jwks=given)
    given["keys"].clear()
    made.jwks()["keys"].clear()

    assert ("u1", PINNED) == (made.verify(issuer.token(KEY)).subject, made.jwks())


def test_no_secret_is_shown(make):
    """Neither by `jwks`, nor by a repr, nor in a pickle (RULES 44, 47)."""
    made = make(algorithms=["HS256"], jwks={"keys": [OCT]})
    shown = [repr(made), str(made), repr(vars(made)), repr(made._keys), repr(made._keys.known)]

    assert {"keys": []} == made.jwks()
    assert not [text for text in shown if OCT["k"] in text or repr(SECRET.private) in text]
    for copier in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="JWKSVerifier"):
            copier(made)


def test_nothing_is_asked_before_the_first_token(make, site):
    """A server that is down stops no start-up (RULES 50)."""
    made = make()

    assert ([], None, 0) == (site.asked, made.keys_age(), made.stats().misses)


@pytest.mark.parametrize("secret", [b"a" * 32, b"changeme" * 4, b"\0" * 32, b"secret" * 6])
def test_a_secret_that_can_be_guessed_stops_the_start(secret):
    """RULES 44: as long as it has to be, and no secret."""
    jwks = {"keys": [{"kty": "oct", "k": _jose.encode(secret)}]}
    with pytest.raises(ConfigurationError, match="a secret in jwks") as caught:
        JWKSVerifier(None, audience="orders", jwks=jwks, algorithms=["HS256"])
    assert secret.decode("latin-1") not in str(caught.value)


def test_random_bytes_are_no_placeholder():
    """Whatever they would be as text: here letters are rare, and some of them spell a word."""
    secret = bytes.fromhex("ec7f0d08b123754d29bed3a3891c7da586b6a09204d82d7d031b9dec1ead1e7c")
    jwks = {"keys": [{"kty": "oct", "k": _jose.encode(secret)}]}

    JWKSVerifier(None, audience="orders", jwks=jwks, algorithms=["HS256"])
