"""RFC 9701, JWT Response for OAuth Token Introspection, from the side of the protected resource.

Tests are named after the sections they hold. A signed answer that is not what it should be is an
outage: never "inactive", and never kept.
"""

import json
import logging
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sites import Site, down, said

from tokenward import _jose
from tokenward.client_auth import BearerAuth, ClientSecretBasic
from tokenward.errors import AuthServiceUnavailable, ConfigurationError, InvalidToken
from tokenward.introspection import IntrospectionClient, IntrospectionVerifier, _replies, signed
from tokenward.metadata import issuer as issuer_module
from tokenward.protocols import Response
from tokenward.testing import FakeClock

ISSUER = "https://as.example.com"
METADATA = f"{ISSUER}/.well-known/oauth-authorization-server"
ENDPOINT = f"{ISSUER}/introspect"
JWKS = f"{ISSUER}/jwks"
CLIENT_ID = "https://protected.example.net/resource"
TYPE = "application/token-introspection+jwt"
NOW = 1_514_797_942
KEY, OTHER = (_jose.generate_key("ES256") for _ in range(2))
RSA = _jose.generate_key("RS256")

# Section 5's example, without the members that say nothing here.
EXAMPLE = {
    "active": True,
    "iss": ISSUER,
    "aud": CLIENT_ID,
    "iat": NOW - 120,
    "exp": NOW + 58,
    "client_id": "paiB2goo0a",
    "scope": "read write dolphin",
    "sub": "Z5O3upPC88QrAjx00dis",
    "extension_field": "twenty-seven",
}


def claims(**members):
    """Return the claims of a good answer; ``...`` leaves a member out."""
    known = {"iss": ISSUER, "aud": CLIENT_ID, "iat": NOW, "token_introspection": EXAMPLE}
    return {name: value for name, value in (known | members).items() if value is not ...}


def answer(key=KEY, *, typ="token-introspection+jwt", content_type=TYPE, headers=(), **members):
    """Return a signed answer."""
    body = _jose.sign(claims(**members), key, typ=typ).encode()
    return Response(200, {"content-type": content_type, **dict(headers)}, body)


def with_header(**members):
    """Return an answer whose header has other members, and whose signature is good all the same."""
    header = {"alg": "ES256", "typ": "token-introspection+jwt", "kid": KEY.kid, **members}
    header = {name: value for name, value in header.items() if value is not ...}
    first, second = (_jose.encode(json.dumps(part).encode()) for part in (header, claims()))
    signer = _jose.algorithms.ALGORITHMS["ES256"]
    signature = _jose.encode(signer.sign(f"{first}.{second}".encode(), KEY.private))
    return Response(200, {"content-type": TYPE}, f"{first}.{second}.{signature}".encode())


def with_payload(payload, *, content_type=TYPE, header=b"", typ="token-introspection+jwt"):
    """Return an answer with these bytes for claims, signed all the same."""
    start = json.dumps({"alg": "ES256", "typ": typ, "kid": KEY.kid})[:-1].encode()
    text = f"{_jose.encode(start + header + b'}')}.{_jose.encode(payload)}"
    signature = _jose.algorithms.ALGORITHMS["ES256"].sign(text.encode(), KEY.private)
    return Response(
        200, {"content-type": content_type}, f"{text}.{_jose.encode(signature)}".encode()
    )


def holding_also(value):
    """Return the payload of a good answer, with one more claim about the token."""
    told = json.dumps(claims(token_introspection=EXAMPLE | {"nickname": "?"}))
    return told.encode().replace(b'"?"', value)


LONE_SURROGATE = holding_also(rb'"\ud800"')


@pytest.fixture
def clock():
    return FakeClock(NOW)


@pytest.fixture
def site():
    """Return a server that signs its answers."""
    published = {"issuer": ISSUER, "introspection_endpoint": ENDPOINT, "jwks_uri": JWKS}
    keys = {"keys": [_jose.public_jwk(KEY), _jose.public_jwk(RSA)]}
    return Site(**{METADATA: published, ENDPOINT: answer(), JWKS: keys})


@pytest.fixture
def make(site, clock):
    """Return a function that makes a client which demands signed answers."""

    def make(**options):
        known = {
            "client_auth": ClientSecretBasic(CLIENT_ID, "secret"),
            "signed_response_alg": "ES256",
            "transport": site,
            "clock": clock,
        }
        return IntrospectionClient.from_issuer(ISSUER, **known | options)

    return make


@pytest.fixture
def client(make):
    return make()


@pytest.fixture(autouse=True)
def _every_line_is_logged(monkeypatch):
    """Start each test with a log that has said nothing this minute."""
    for module in (_replies, issuer_module):
        monkeypatch.setattr(module._seldom, "_last", {})


def outage(client, reason="bad_response"):
    """Assert that an answer is none; return the error."""
    with pytest.raises(AuthServiceUnavailable) as caught:
        client.introspect("2YotnFZFEjr1zCsicMWpAA")
    assert reason == caught.value.reason
    assert "2YotnFZFEjr1zCsicMWpAA" not in caught.value.hint
    return caught.value


# --- 4: the request


def test_4_signed_answers_are_asked_for(site, client):
    """``Accept`` names the type, and only it: a plain answer would be refused."""
    client.introspect("token")
    (asked,) = [request for request in site.sent if request.url == ENDPOINT]

    assert {"Accept": TYPE} == {k: v for k, v in asked.headers.items() if k == "Accept"}
    assert ("POST", ISSUER) == (asked.method, asked.issuer)


def test_4_plain_answers_are_asked_for_otherwise(site, make):
    """Who demands nothing gets what RFC 7662 says."""
    site[ENDPOINT] = said({"active": False})

    assert {"active": False} == make(signed_response_alg=None).introspect("token")
    assert "application/json" == site.sent[-1].headers["Accept"]


# --- 5: the answer


def test_5_the_example(client):
    """The member token_introspection is what the plain answer would have been."""
    assert EXAMPLE == client.introspect("token")


def test_5_inactive(site, client):
    """``active: false`` is an answer like any other."""
    site[ENDPOINT] = answer(token_introspection={"active": False})

    assert {"active": False} == client.introspect("token")


@pytest.mark.parametrize(
    "content_type", [TYPE.upper(), f"{TYPE}; charset=utf-8", "application/Token-Introspection+JWT"]
)
def test_5_content_type_in_any_case(site, client, content_type):
    """A media type is compared as one (RFC 9110, section 8.3.1)."""
    site[ENDPOINT] = answer(content_type=content_type)

    assert EXAMPLE == client.introspect("token")


@pytest.mark.parametrize(
    "content_type", ["application/jwt", "application/at+jwt", "text/plain", "", f"x{TYPE}"]
)
def test_5_other_content_types(site, client, content_type):
    """Whatever the body is."""
    site[ENDPOINT] = answer(content_type=content_type)

    assert TYPE in outage(client).hint


@pytest.mark.parametrize("said_of_it", [EXAMPLE, {"active": False}, {}])
def test_5_a_plain_answer_is_refused(site, client, caplog, said_of_it):
    """It may be anybody's; what to do stands in the hint and once a minute in the log."""
    site[ENDPOINT] = said(said_of_it)
    with caplog.at_level(logging.DEBUG, "tokenward"):
        errors = [outage(client, "unsigned_response") for _ in range(2)]

    assert "introspection_signed_response_alg" in errors[0].hint
    assert [logging.ERROR] == [record.levelno for record in caplog.records]


@pytest.mark.parametrize(
    "typ",
    [
        "token-introspection+jwt",
        "TOKEN-Introspection+JWT",
        "application/token-introspection+jwt",
        "Application/Token-Introspection+JWT",
    ],
)
def test_5_typ(site, client, typ):
    """With and without ``application/``, in any case (RFC 7515, section 4.1.9)."""
    site[ENDPOINT] = answer(typ=typ)

    assert EXAMPLE == client.introspect("token")


@pytest.mark.parametrize(
    "typ", ["JWT", "at+jwt", "", "x/token-introspection+jwt", "token-introspection", 1, None, ...]
)
def test_5_other_typ(site, client, typ):
    """An access token, or any other JWT of the issuer's, is no answer (section 8.1)."""
    site[ENDPOINT] = with_header(typ=typ)

    assert "typ" in outage(client).hint


@pytest.mark.parametrize(
    "iss", ["https://as.example.com/", "https://AS.example.com", "", None, ..., [ISSUER], 1]
)
def test_5_iss(site, client, iss):
    """Exactly the configured issuer."""
    site[ENDPOINT] = answer(iss=iss)

    assert "issuer" in outage(client).hint


def test_5_aud_may_be_a_list(site, client):
    """One of several is us."""
    site[ENDPOINT] = answer(aud=["https://other.example", CLIENT_ID])

    assert EXAMPLE == client.introspect("token")


@pytest.mark.parametrize(
    "aud",
    [
        *("https://other.example", CLIENT_ID[:-1], CLIENT_ID + "/x", CLIENT_ID.upper(), ""),
        *(None, ..., [], {}, 1, [[CLIENT_ID]], {CLIENT_ID: CLIENT_ID}, [CLIENT_ID + "/x"]),
    ],
    ids=str,
)
def test_5_aud(site, client, aud):
    """An answer that was made for another resource server is not ours (section 8.2)."""
    site[ENDPOINT] = answer(aud=aud)

    assert CLIENT_ID in outage(client).hint


OLDEST = signed.MAX_ANSWER_AGE + signed.CLOCK_LEEWAY


@pytest.mark.parametrize("iat", [NOW, NOW - 0.5, NOW - OLDEST, NOW + signed.CLOCK_LEEWAY])
def test_5_iat(site, client, iat):
    """Recent, as clocks go."""
    site[ENDPOINT] = answer(iat=iat)

    assert EXAMPLE == client.introspect("token")


@pytest.mark.parametrize(
    "iat",
    [
        *(NOW - OLDEST - 1, NOW + signed.CLOCK_LEEWAY + 1, 0, -1, 10**60, -(10**60), 1e60),
        *(..., None, str(NOW), True, [NOW]),
    ],
    ids=str,
)
def test_5_iat_that_is_not_recent(site, client, iat):
    """An answer from earlier may be played back when the token has long been revoked."""
    site[ENDPOINT] = answer(iat=iat)
    outage(client)


@pytest.mark.parametrize(
    ("times", "good"),
    [
        ({"exp": NOW + 1}, True),
        ({"exp": NOW - 29}, True),
        ({"exp": NOW - 30}, False),
        ({"exp": str(NOW)}, False),
        ({"exp": True}, False),
        ({"nbf": NOW + 30}, True),
        ({"nbf": NOW + 31}, False),
        ({"nbf": "soon"}, False),
        ({"nbf": True}, False),
        ({"exp": None, "nbf": None}, True),
    ],
    ids=str,
)
def test_5_exp_and_nbf_are_honoured(site, client, times, good):
    """They need not be there, and mean what they always mean."""
    site[ENDPOINT] = answer(**times)
    if good:
        assert EXAMPLE == client.introspect("token")
    else:
        outage(client)


@pytest.mark.parametrize(
    "said_of_it",
    [
        *(..., None, [], "active", True, {}),
        *({"active": value} for value in ("true", 1, 0, None, "false", [True])),
    ],
    ids=str,
)
def test_5_token_introspection(site, client, said_of_it):
    """An object with ``active``, a JSON true or false (RFC 7662, section 2.2)."""
    site[ENDPOINT] = answer(token_introspection=said_of_it, active=True)
    outage(client)


def test_5_active_beside_it_counts_for_nothing(site, client):
    """The answer is the member, and never the JWT around it."""
    site[ENDPOINT] = answer(token_introspection={"active": False}, active=True, sub="x")

    assert {"active": False} == client.introspect("token")


@pytest.mark.parametrize("status", [201, 202, 400, 401, 403, 500])
def test_5_only_a_200_is_an_answer(site, client, status):
    """Whatever its body says."""
    good = answer()
    site[ENDPOINT] = Response(status, good.headers, good.body)
    with pytest.raises(AuthServiceUnavailable):
        client.introspect("token")


# --- 8: signatures


def test_8_another_key(site, client):
    """The signature of a key that the issuer does not publish."""
    site[ENDPOINT] = answer(OTHER)

    assert "not signed" in outage(client).hint


def test_8_another_content(site, client):
    """One claim changed after signing."""
    first, second = (
        answer(token_introspection={"active": a}).body.split(b".") for a in (True, False)
    )
    site[ENDPOINT] = Response(
        200, {"content-type": TYPE}, b".".join([first[0], first[1], second[2]])
    )
    outage(client)


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "RS256"},
        {"alg": "ES384"},
        {"alg": "es256"},
        {"alg": ...},
        {"crit": ["exp"]},
        {"b64": False},
        {"kid": 1},
        {"kid": "unknown"},
        {"kid": RSA.kid},
    ],
    ids=str,
)
def test_8_header(site, client, header):
    """RFC 8725: the algorithm is ours to choose, and one key has one."""
    site[ENDPOINT] = with_header(**header)
    outage(client)

    # For what is refused by its looks no key is fetched.
    assert ("kid" in header and header["kid"] != 1) == (JWKS in site.asked)


@pytest.mark.parametrize("name", ["jwk", "jku", "x5c", "x5u"])
def test_8_keys_come_from_the_issuer_alone(site, client, name):
    """Whatever the header carries or points to."""
    body = _jose.sign(claims(), OTHER, typ="token-introspection+jwt")
    first, rest = body.split(".", 1)
    header = json.loads(_jose.decode(first.encode())) | {name: _jose.public_jwk(OTHER)}
    forged = _jose.encode(json.dumps(header).encode()) + "." + rest
    site[ENDPOINT] = Response(200, {"content-type": TYPE}, forged.encode())
    outage(client)

    assert {METADATA, ENDPOINT, JWKS} == set(site.asked)


def test_8_several_algorithms(site, make):
    """One of those that are configured, whichever the server prefers."""
    client = make(signed_response_alg=("ES256", "RS256"))
    for key in (KEY, RSA):
        site[ENDPOINT] = answer(key)
        assert EXAMPLE == client.introspect("token")
    site[ENDPOINT] = answer(RSA)
    outage(make(signed_response_alg=["ES256"]))


@pytest.mark.parametrize(
    "body",
    [b"", b".", b"..", b"a.b.c", b"\xff\xfe.e30.e30", answer().body + b"\n", b" " + answer().body],
    ids=str,
)
def test_8_what_is_no_jwt(site, client, body):
    """Read as strictly as a token (RULES 8)."""
    site[ENDPOINT] = Response(200, {"content-type": TYPE}, body)
    outage(client)


def test_8_duplicate_members(site, client):
    """The strict reader reads answers too (RULES 9)."""
    header, _, _ = answer().body.split(b".")
    payload = json.dumps(claims())[:-1] + ', "iss": "x"}'
    text = header.decode() + "." + _jose.encode(payload.encode())
    signature = _jose.algorithms.ALGORITHMS["ES256"].sign(text.encode(), KEY.private)
    site[ENDPOINT] = Response(
        200, {"content-type": TYPE}, f"{text}.{_jose.encode(signature)}".encode()
    )

    assert "repeated" in outage(client).hint


def test_8_encrypted_answers(site, client):
    """Not read; the hint says what to register."""
    site[ENDPOINT] = Response(200, {"content-type": TYPE}, b"e30.AA.AA.AA.AA")

    assert "introspection_encrypted_response_alg" in outage(client).hint


def test_8_a_rotated_key(site, client):
    """The answer of a new key is read at once: an unknown kid is a reason to fetch."""
    client.introspect("token")
    site[JWKS] = {"keys": [_jose.public_jwk(OTHER)]}
    site[ENDPOINT] = answer(OTHER)

    assert EXAMPLE == client.introspect("token")
    site[ENDPOINT] = answer(KEY)
    outage(client)


def test_8_no_keys_no_answer(site, client):
    """An outage of the keys is one of the answers; the reason is theirs."""
    site[JWKS] = down("deadline", hint="keys are slow")
    error = outage(client, "deadline")

    assert "keys are slow" == error.hint
    assert [] == site.unreadable


def test_8_unreadable_answers_count_for_the_breaker(site, client):
    """As plain ones do (RULES 25)."""
    site[ENDPOINT] = answer(OTHER)
    outage(client)

    assert [ENDPOINT] == site.unreadable


@pytest.mark.parametrize(
    "value",
    [rb'"\ud800"', b'{"a":1,"a":2}', b"9" * 10_000, b"NaN", b"[" * 40 + b"]" * 40, b'"\x01"'],
    ids=lambda value: value[:8],
)
def test_8_claims_that_somebody_chose_do_not_count(site, client, value):
    """An outage for this token; the next answer but one would else be nobody's (RULES 25)."""
    site[ENDPOINT] = with_payload(holding_also(value))
    outage(client)
    assert [] == site.unreadable

    site[ENDPOINT] = with_payload(holding_also(b'"fine"'))
    assert "fine" == client.introspect("token")["nickname"]


@pytest.mark.parametrize(
    "bad",
    [
        with_payload(holding_also(b'"\xff"')),
        with_payload(b"no JSON"),
        with_payload(b"[" + LONE_SURROGATE + b"]"),
        with_payload(LONE_SURROGATE, content_type="application/jwt"),
        with_payload(LONE_SURROGATE, typ="at+jwt"),
        with_payload(LONE_SURROGATE, header=b',"alg":"ES256"'),
        with_payload(LONE_SURROGATE, header=b',"crit":["exp"]'),
        Response(200, {"content-type": TYPE}, with_payload(LONE_SURROGATE).body + b".AA.AA"),
        Response(200, {"content-type": TYPE}, with_payload(LONE_SURROGATE).body + b"\n"),
        answer(iss="https://other.example"),
        answer(token_introspection={"active": "true"}),
    ],
    ids=[
        *("invalid UTF-8", "no JSON", "array", "content type", "typ", "repeated in the header"),
        *("crit", "five segments", "line feed", "readable, iss", "readable, active"),
    ],
)
def test_8_what_nobody_but_the_server_makes_counts(site, client, bad):
    """Whatever else the claims hold."""
    site[ENDPOINT] = bad
    outage(client)

    assert [ENDPOINT] == site.unreadable


@pytest.mark.parametrize(
    "bad", [answer(OTHER), said(EXAMPLE), answer(iat=NOW - 3_600), answer(aud="x")], ids=str
)
def test_8_nothing_bad_is_kept(site, client, clock, bad):
    """Neither as a verdict nor in place of one: the next good answer counts."""
    site[ENDPOINT] = bad
    verifier = IntrospectionVerifier(client, audience=CLIENT_ID, clock=clock)
    for _ in range(2):
        with pytest.raises(AuthServiceUnavailable):
            verifier.verify("token")
    site[ENDPOINT] = answer()

    assert EXAMPLE["sub"] == verifier.verify("token").subject
    site[ENDPOINT] = answer(token_introspection={"active": False})
    verifier.invalidate("token")
    with pytest.raises(InvalidToken):
        verifier.verify("token")


@pytest.mark.parametrize("control", ["no-store", "private, NO-STORE"])
def test_8_no_store_is_honoured(site, client, control):
    """As for plain answers (RULES 23)."""
    site[ENDPOINT] = answer(headers={"cache-control": control})
    assert not client.ask("token").storable
    site[ENDPOINT] = answer()
    assert client.ask("token").storable


# --- 7: metadata


@pytest.mark.parametrize(
    ("offered", "fits"), [(["ES256", "RS256"], True), (["RS256"], False), ([], False), (..., True)]
)
def test_7_signing_algorithms_are_compared(site, client, caplog, offered, fits):
    """``introspection_signing_alg_values_supported``, before the token is sent anywhere."""
    if offered is not ...:
        site[METADATA] = site.pages[METADATA] | {
            "introspection_signing_alg_values_supported": offered
        }
    if fits:
        assert EXAMPLE == client.introspect("token")
        return
    with caplog.at_level(logging.ERROR, "tokenward"):
        hint = outage(client, "algorithm_unsupported").hint

    assert "ES256" in hint
    assert [METADATA] == site.asked
    assert 1 == len(caplog.records)


def test_7_metadata_without_keys(site, client):
    """Seen before the token is sent anywhere."""
    site[METADATA] = {"issuer": ISSUER, "introspection_endpoint": ENDPOINT}

    assert "jwks_uri" in outage(client, "endpoint_missing").hint
    assert [METADATA] == site.asked


def test_configured_keys(site, make):
    """``jwks_uri`` beside the issuer: what the metadata says of keys is not looked at."""
    pinned = "https://keys.example/jwks"
    site[pinned] = {"keys": [_jose.public_jwk(OTHER)]}
    site[METADATA] = {"issuer": ISSUER, "introspection_endpoint": ENDPOINT}
    client = make(jwks_uri=pinned)
    site[ENDPOINT] = answer(OTHER)
    assert EXAMPLE == client.introspect("token")
    site[ENDPOINT] = answer(KEY)
    outage(client)

    assert JWKS not in site.asked


def configured(site, clock, **options):
    """Return a client whose endpoint is configured."""
    known = {
        "client_auth": ClientSecretBasic(CLIENT_ID, "secret"),
        "transport": site,
        "clock": clock,
        "issuer": ISSUER,
        "signed_response_alg": "ES256",
    }
    return IntrospectionClient(ENDPOINT, **known | options)


def test_a_configured_endpoint(site, clock):
    """The metadata is asked for the keys only, and its endpoint is not used."""
    site[METADATA] = {
        "issuer": ISSUER,
        "introspection_endpoint": "https://x.example",
        "jwks_uri": JWKS,
    }

    assert EXAMPLE == configured(site, clock).introspect("token")
    assert [METADATA, ENDPOINT, JWKS] == site.asked


def test_everything_configured(site, clock):
    """No metadata is asked for."""
    client = configured(site, clock, jwks_uri=JWKS)

    assert EXAMPLE == client.introspect("token")
    assert [ENDPOINT, JWKS] == site.asked


@pytest.mark.parametrize(
    "options",
    [
        *(
            {"signed_response_alg": alg}
            for alg in ("HS256", "none", "es256", "", [], (), 5, [None])
        ),
        {"signed_response_alg": ["ES256", "HS256"]},
        {"client_auth": BearerAuth("token")},
        {"issuer": None},
        {"issuer": None, "jwks_uri": JWKS},
        {"signed_response_alg": None, "jwks_uri": JWKS},
        {"jwks_uri": "http://as.example.com/jwks"},
        {"issuer": "http://as.example.com"},
        {"issuer": f"{ISSUER}?x=1"},
    ],
    ids=str,
)
def test_what_cannot_work_stops_start_up(site, clock, options):
    """With a text that says what to write."""
    with pytest.raises(ConfigurationError) as caught:
        configured(site, clock, **options)

    assert re.search(r"issuer|signed_response_alg|jwks_uri", str(caught.value))


def test_keys_elsewhere_are_never_fetched_unverified():
    """``verify_tls=False`` is for this machine, whatever it is that is fetched."""
    here = "http://127.0.0.1:8080"
    with pytest.raises(ConfigurationError, match="jwks_uri is not on this machine"):
        IntrospectionClient(
            f"{here}/introspect",
            client_auth=ClientSecretBasic(CLIENT_ID, "secret"),
            issuer=here,
            signed_response_alg="ES256",
            jwks_uri=JWKS,
            verify_tls=False,
        )


@given(st.binary(max_size=60) | st.text(alphabet="eyJ.ab0_-", max_size=60).map(str.encode))
def test_any_body_is_an_outage(body):
    """Nothing foreign escapes, whatever comes."""
    published = {"issuer": ISSUER, "introspection_endpoint": ENDPOINT, "jwks_uri": JWKS}
    site = Site(**{METADATA: published, JWKS: {"keys": [_jose.public_jwk(KEY)]}})
    site[ENDPOINT] = Response(200, {"content-type": TYPE}, body)
    outage(configured(site, FakeClock(NOW)))


MEMBERS = st.sampled_from(["iss", "aud", "iat", "exp", "nbf", "token_introspection", "sub"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda child: st.lists(child, max_size=3) | st.dictionaries(st.text(), child, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(MEMBERS, VALUES))
def test_any_claims_are_an_answer_or_an_outage(members):
    """Signed nonsense is nonsense; the answer is whole or there is none."""
    published = {"issuer": ISSUER, "introspection_endpoint": ENDPOINT, "jwks_uri": JWKS}
    site = Site(**{METADATA: published, JWKS: {"keys": [_jose.public_jwk(KEY)]}})
    try:
        site[ENDPOINT] = answer(**members)
    except ValueError:
        return  # cannot be signed: a lone surrogate, infinity
    try:
        said_of_it = configured(site, FakeClock(NOW)).introspect("token")
    except AuthServiceUnavailable as error:
        assert error.hint  # noqa: PT017
    else:
        assert said_of_it["active"] in (True, False)
