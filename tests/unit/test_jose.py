from __future__ import annotations

import base64
import hashlib
import hmac
import json
import pickle
from dataclasses import replace

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from tokenward import _jose
from tokenward.errors import AuthError, ConfigurationError, InvalidSignature, InvalidToken

CLAIMS = {"iss": "https://login.example", "sub": "248289761001", "scope": "read", "n": [1, {}]}
RSA_PEM = _jose.to_pem(_jose.generate_key("RS256"))  # one for all: RSA keys take long to make
KEYS = {
    algorithm: (
        _jose.from_pem(RSA_PEM, algorithm)
        if algorithm[:2] in {"RS", "PS"}
        else _jose.generate_key(algorithm)
    )
    for algorithm in sorted(_jose.SUPPORTED)
}
WEAK = rsa.generate_private_key(65_537, 1_024)  # noqa: S505 - to be refused
SETS = {algorithm: _jose.KeySet([key]) for algorithm, key in KEYS.items()}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(header, payload, secret=b"s" * 32):
    """Build a token of any header and payload, signed with HMAC-SHA-256."""
    first, second = (
        part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)
    )
    signing_input = f"{b64(first)}.{b64(second)}"
    mac = hmac.digest(secret, signing_input.encode(), hashlib.sha256)
    return f"{signing_input}.{b64(mac)}"


def refusal(token, key_set=SETS["ES256"], algorithms=_jose.SUPPORTED, **limits):
    """Return the reason for which a token is refused."""
    with pytest.raises(InvalidToken) as caught:
        _jose.verify(_jose.parse(token, **limits), key_set, algorithms=algorithms)
    return caught.value.reason


def accepted(token, key_set, algorithms=_jose.SUPPORTED):
    """Return the claims of a token that is accepted."""
    unverified = _jose.parse(token)
    _jose.verify(unverified, key_set, algorithms=algorithms)
    return unverified.claims


# --- good tokens ---------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", sorted(KEYS))
def test_signs_and_verifies(algorithm):
    """Each algorithm verifies what it signed, and the header says what it was."""
    token = _jose.sign(CLAIMS, KEYS[algorithm], typ="at+jwt")
    assert accepted(token, SETS[algorithm]) == CLAIMS
    header = {"alg": algorithm, "typ": "at+jwt", "kid": KEYS[algorithm].kid}
    assert _jose.parse(token).header == header


@pytest.mark.parametrize("algorithm", sorted(KEYS))
def test_reads_what_pyjwt_writes(algorithm):
    """A token that another implementation signed verifies."""
    key = KEYS[algorithm]
    token = jwt.encode(CLAIMS, key.private, algorithm, headers={"kid": key.kid})
    assert accepted(token, SETS[algorithm]) == CLAIMS


@pytest.mark.parametrize("algorithm", sorted(KEYS))
def test_writes_what_pyjwt_reads(algorithm):
    """A token that we signed verifies in another implementation."""
    token = _jose.sign(CLAIMS, KEYS[algorithm], typ="JWT")
    options = {"verify_iss": False}
    read = jwt.decode(token, KEYS[algorithm].verifying, algorithms=[algorithm], options=options)
    assert read == CLAIMS


def test_accepts_non_ascii_claims():
    """Text of any script survives."""
    token = _jose.sign({"name": "Жанна 🦊"}, KEYS["ES256"], typ="JWT")
    assert accepted(token, SETS["ES256"]) == {"name": "Жанна 🦊"}


# --- form ----------------------------------------------------------------------------------------

GOOD = _jose.sign(CLAIMS, replace(KEYS["ES256"], kid=None), typ="JWT")
HEADER, PAYLOAD, SIGNATURE = GOOD.split(".")


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b",
        f"{HEADER}.{PAYLOAD}",
        f"{HEADER}.{PAYLOAD}.",
        f"{HEADER}..{SIGNATURE}",
        f".{PAYLOAD}.{SIGNATURE}",
        f"{GOOD}.",
        f".{GOOD}",
        f"{GOOD}.{SIGNATURE}.{SIGNATURE}",
        f"{HEADER}.{PAYLOAD}.{SIGNATURE}\n",
        f" {GOOD}",
        f"{HEADER} .{PAYLOAD}.{SIGNATURE}",
        f"{HEADER}\n.{PAYLOAD}.{SIGNATURE}",
        f"{HEADER}.{PAYLOAD}.{SIGNATURE}==",
        f"{HEADER}=.{PAYLOAD}.{SIGNATURE}",
        f"{HEADER}.{PAYLOAD}.{SIGNATURE[:-1]}+",
        f"{HEADER}.{PAYLOAD}.{SIGNATURE[:-1]}/",
        f"{HEADER}.{PAYLOAD}.{SIGNATURE[:-1]}é",
        f"{HEADER}.{PAYLOAD}.{SIGNATURE}AAA",
        f"Bearer {GOOD}",
        "\ud800.\ud800.\ud800",
        '{"payload":"e30","signatures":[]}',
        None,
        17,
        b"a.b.c",
        GOOD.encode(),
        ["a", "b", "c"],
    ],
)
def test_refuses_what_is_not_compact_form(token):
    """Only three segments of canonical, unpadded, ASCII base64url are a token."""
    assert refusal(token) == "malformed"


def test_refuses_spare_bits_that_are_not_zero():
    """A last character that decodes to the same bytes is another token, and is refused."""
    last = SIGNATURE[-1]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = alphabet[alphabet.index(last) + 1]
    twin = f"{SIGNATURE[:-1]}{other}"
    assert base64.urlsafe_b64decode(twin + "==") == base64.urlsafe_b64decode(SIGNATURE + "==")
    assert refusal(f"{HEADER}.{PAYLOAD}.{twin}") == "malformed"


def test_names_an_encrypted_token():
    """Five segments are a JWE; the hint says so."""
    with pytest.raises(InvalidToken) as caught:
        _jose.parse("a.b.c.d.e")
    assert "encrypted" in caught.value.hint


def test_size_is_capped_before_anything_is_decoded():
    """The largest token is read; one byte more is refused whatever it holds."""
    assert _jose.parse(GOOD, max_bytes=len(GOOD)).alg == "ES256"
    assert refusal(GOOD, max_bytes=len(GOOD) - 1) == "too_large"
    assert refusal("!" * (_jose.MAX_TOKEN_BYTES + 1)) == "too_large"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"17",
        b"{",
        b"{} {}",
        b'{"sub":"a","sub":"b"}',
        b'{"a":{"sub":"a","sub":"b"}}',
        b'{"exp":NaN}',
        b'{"exp":Infinity}',
        b'{"exp":1e999}',
        b'{"exp":' + b"9" * 5_000 + b"}",
        b'{"a":"\\ud800"}',
        b'{"a":"\xff"}',
        b"\xef\xbb\xbf{}",
        b'{"a":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        b'{"a":' * 1_000 + b"1" + b"}" * 1_000,
    ],
)
def test_refuses_json_that_two_readers_could_read_differently(payload):
    """Header and payload pass the strict reader or the token is refused."""
    assert refusal(compact({"alg": "HS256"}, payload)) == "malformed"
    assert refusal(compact(payload, {})) == "malformed"


# --- header --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "alg",
    ["none", "None", "NONE", "nOnE", "hs256", "HS256 ", "ES256K", "ES521", "EdDsa", "RSA-OAEP", "",
     None, 0, True, [], ["HS256"], {}],
)  # fmt: skip
def test_refuses_an_alg_that_is_not_exactly_a_supported_one(alg):
    """``none`` in any case, another case, another type: refused."""
    assert refusal(compact({"alg": alg}, CLAIMS)) == "algorithm"


def test_refuses_a_header_without_alg():
    """No ``alg``, no token."""
    assert refusal(compact({"typ": "JWT"}, CLAIMS)) == "algorithm"


def test_refuses_an_alg_outside_the_allow_list():
    """A good signature does not help an algorithm that is not allowed, in either step."""
    allowed = _jose.check_algorithms(["RS256", "PS256"])
    assert refusal(GOOD, algorithms=allowed) == "algorithm"
    with pytest.raises(InvalidToken) as caught:
        _jose.parse(GOOD, algorithms=allowed)
    assert caught.value.reason == "algorithm"


@pytest.mark.parametrize(
    "extra",
    [
        {"crit": ["exp"], "exp": 1},
        {"crit": []},
        {"crit": None},
        {"crit": "exp"},
        {"crit": ["b64"], "b64": False},
        {"b64": False},
        {"b64": True},
    ],
)
def test_refuses_critical_headers(extra):
    """Nothing is understood, so every ``crit`` and every ``b64`` is refused."""
    assert refusal(compact({"alg": "HS256", **extra}, CLAIMS)) == "critical_header"


@pytest.mark.parametrize("kid", [None, 1, True, ["a"], {"a": 1}, "k" * 1_025])
def test_refuses_a_kid_that_is_no_short_string(kid):
    """A ``kid`` is a string of bounded length or the token is refused."""
    assert refusal(compact({"alg": "HS256", "kid": kid}, CLAIMS)) == "malformed"


@pytest.mark.parametrize("kid", ["../../etc/passwd", "' OR 1=1 --", "", "k" * 1_024, "\x00"])
def test_a_kid_is_only_compared(kid):
    """Whatever a ``kid`` says, it names a key of the set or none."""
    assert refusal(compact({"alg": "HS256", "kid": kid}, CLAIMS)) == "unknown_key"


def attackers_token(member):
    """A token by another's key, with a header that offers that key."""
    attacker = _jose.generate_key("ES256")
    jwk = _jose.public_jwk(attacker)
    offers = {
        "jwk": jwk,
        "jku": "https://attacker.example/jwks.json",
        "x5u": "https://attacker.example/cert.pem",
        "x5c": ["MIIB"],
    }
    return jwt.encode(CLAIMS, attacker.private, "ES256", headers={member: offers[member]})


@pytest.mark.parametrize("member", ["jwk", "jku", "x5u", "x5c"])
def test_never_uses_a_key_that_the_token_brings(member):
    """A key in the header is no reason to believe the token."""
    assert refusal(attackers_token(member)) == "bad_signature"


@pytest.mark.parametrize("member", ["jwk", "jku", "x5u", "x5c"])
def test_ignores_a_key_in_the_header_of_a_good_token(member):
    """A header that offers a key beside a good signature by ours is no reason to refuse."""
    key = KEYS["ES256"]
    token = jwt.encode(CLAIMS, key.private, "ES256", headers={member: "https://a.example"})
    assert accepted(token, SETS["ES256"]) == CLAIMS


def test_a_header_read_before_is_held_to_the_allow_list_of_now():
    """A header that one list allows is refused by the next, and the other way about."""
    allowed = _jose.check_algorithms(["RS256"])
    for _ in range(2):
        assert _jose.parse(GOOD).alg == "ES256"
        assert refusal(GOOD, algorithms=allowed) == "algorithm"
        with pytest.raises(InvalidToken):
            _jose.parse(GOOD, algorithms=allowed)


def test_a_header_cannot_be_changed():
    """It may be shared with the next token that begins alike."""
    with pytest.raises(TypeError):
        _jose.parse(GOOD).header["alg"] = "none"
    assert _jose.parse(GOOD).header["alg"] == "ES256"


# --- signatures ----------------------------------------------------------------------------------


def with_signature(signature):
    """Return the good ES256 token with another signature."""
    return f"{HEADER}.{PAYLOAD}.{b64(signature)}"


RAW = base64.urlsafe_b64decode(SIGNATURE + "==")


@pytest.mark.parametrize(
    "signature",
    [
        bytes(64),
        bytes(63) + b"\x01",
        b"\x01",
        RAW[:-1],
        RAW[:32],
        RAW + b"\x00",
        b"\x00" + RAW,
        RAW[32:] + RAW[:32],
        b"\x00" * 32 + RAW[32:],
        b"\xff" * 64,
    ],
    ids=lambda value: f"{len(value)}-{value[:2].hex()}-{value[-2:].hex()}",
)
def test_refuses_an_ecdsa_signature_that_is_not_r_and_s(signature):
    """Zeros, cut, lengthened, swapped and out-of-range signatures are refused."""
    assert refusal(with_signature(signature)) == "bad_signature"


def test_refuses_an_ecdsa_signature_in_der():
    """The form that other protocols use is not RFC 7518's."""
    der = KEYS["ES256"].private.sign(f"{HEADER}.{PAYLOAD}".encode(), ec.ECDSA(_sha256()))
    assert refusal(with_signature(der)) == "bad_signature"


@pytest.mark.parametrize("alg", ["PS256", "PS512", "RS256"])
def test_an_rsa_signature_has_one_spelling(alg):
    """RFC 8017, 8.1.2: OpenSSL takes a PSS signature without its leading zero octet too."""
    key = replace(KEYS["PS256"], algorithm=alg, algorithms=frozenset({alg}))
    key_set = _jose.KeySet([key])
    for n in range(20_000):
        token = _jose.sign({"n": n}, key)
        signed, _, last = token.rpartition(".")
        signature = _jose.decode(last.encode())
        if signature[0] == 0:
            break
    assert 0 == signature[0]

    assert accepted(token, key_set) == {"n": n}
    for other in (signature[1:], b"\0" + signature):
        assert "bad_signature" == refusal(f"{signed}.{_jose.encode(other)}", key_set)


def _sha256():
    from cryptography.hazmat.primitives.hashes import SHA256

    return SHA256()


@pytest.mark.parametrize("algorithm", sorted(KEYS))
def test_refuses_a_cut_signature(algorithm):
    """No algorithm takes a part of its signature."""
    head, _, tail = _jose.sign(CLAIMS, KEYS[algorithm], typ="JWT").rpartition(".")
    signature = base64.urlsafe_b64decode(tail + "==")
    for cut in (signature[:-1], signature[1:], signature[: len(signature) // 2]):
        assert refusal(f"{head}.{b64(cut)}", SETS[algorithm]) == "bad_signature"


@pytest.mark.parametrize("algorithm", sorted(KEYS))
def test_refuses_the_signature_of_another_key(algorithm):
    """A key of the same kind and the same name is still another key."""
    other = replace(_jose.generate_key(algorithm), kid=KEYS[algorithm].kid)
    assert refusal(_jose.sign(CLAIMS, other, typ="JWT"), SETS[algorithm]) == "bad_signature"


def test_a_public_key_is_no_mac_secret():
    """HS256 over the RSA public key, as PEM or DER, verifies nowhere."""
    key = KEYS["RS256"]
    for encoding in (Encoding.PEM, Encoding.DER):
        secret = key.public.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
        for header in ({"alg": "HS256"}, {"alg": "HS256", "kid": key.kid}):
            token = compact(header, CLAIMS, secret)
            assert refusal(token, SETS["RS256"]) in {"unknown_key", "algorithm"}
            allowed = _jose.check_algorithms(["RS256"])
            assert refusal(token, SETS["RS256"], allowed) == "algorithm"


@pytest.mark.parametrize(("signed", "claimed"), [("PS256", "RS256"), ("RS256", "RS384")])
def test_one_key_has_one_algorithm(signed, claimed):
    """A key whose JWK names an algorithm serves no other, though it could."""
    token = jwt.encode(CLAIMS, KEYS[signed].private, claimed, headers={"kid": KEYS[signed].kid})
    assert refusal(token, SETS[signed]) == "algorithm"


class Broken:
    """Stands for a key whose library fails in the middle."""

    def __init__(self, error):
        self.error = error
        self.key_size = 2_048

    def verify(self, *_args):
        raise self.error


@pytest.mark.parametrize(
    "error", [ValueError, TypeError, OverflowError, MemoryError, RecursionError]
)
def test_a_failing_library_is_a_refusal(error):
    """What cryptography raises over a signature never accepts and never escapes."""
    key = _jose.Key("RSA", frozenset({"RS256"}), Broken(error))
    token = jwt.encode(CLAIMS, KEYS["RS256"].private, "RS256")
    assert refusal(token, _jose.KeySet([key])) == "bad_signature"


@pytest.mark.parametrize("kind", [InvalidSignature, InvalidToken])
def test_errors_hold_nothing_of_the_token(kind):
    """Neither the message nor the hint quotes the token."""
    broken = GOOD[:-4] + "AAAA" if kind is InvalidSignature else GOOD + "!"
    with pytest.raises(kind) as caught:
        _jose.verify(_jose.parse(broken), SETS["ES256"], algorithms=_jose.SUPPORTED)
    said = f"{caught.value} {caught.value.hint} {caught.value!r}"
    assert not any(part in said for part in (HEADER, PAYLOAD, SIGNATURE[:20]))


def test_what_was_parsed_shows_nothing():
    """The repr of a parsed token holds neither claims nor signature."""
    assert repr(_jose.parse(GOOD)) == "Unverified(alg='ES256')"


# --- whatever comes ------------------------------------------------------------------------------


@given(position=st.integers(0, len(GOOD) - 1), byte=st.integers(0, 255))
def test_a_token_with_any_byte_changed_never_passes(position, byte):
    """There is one spelling of a signed token."""
    changed = GOOD[:position] + chr(byte) + GOOD[position + 1 :]
    if changed == GOOD:
        assert accepted(changed, SETS["ES256"]) == CLAIMS
    else:
        refusal(changed)


@given(st.text())
def test_any_text_is_refused_and_nothing_else(text):
    """Only InvalidToken leaves the parser."""
    refusal(text)


@given(st.lists(st.binary(max_size=60), min_size=3, max_size=3))
def test_any_three_segments_are_refused_and_nothing_else(segments):
    """Only InvalidToken leaves the parser when the base64url is right."""
    refusal(".".join(map(b64, segments)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
HEADERS = st.fixed_dictionaries(
    {"alg": st.sampled_from(sorted(_jose.SUPPORTED)) | JSON},
    optional=dict.fromkeys(("kid", "typ", "crit", "b64", "jwk", "cty", "zip"), JSON),
)


@given(HEADERS, st.dictionaries(st.text(), JSON, max_size=3))
def test_any_header_over_a_wrong_signature_is_refused(header, payload):
    """Only InvalidToken leaves, whatever the header says."""
    for key_set in (SETS["ES256"], SETS["HS256"], SETS["RS256"]):
        refusal(compact(header, payload, b"not the key" * 4), key_set)


# --- key sets ------------------------------------------------------------------------------------


def jwk_of(algorithm, **members):
    """Return a public JWK; a member that is None is left out."""
    jwk = _jose.public_jwk(KEYS[algorithm]) | members
    return {name: value for name, value in jwk.items() if value is not None}


def skipped(entry, **options):
    """Return why an entry is skipped, and see that a good neighbour serves."""
    key_set = _jose.parse_key_set({"keys": [entry, jwk_of("ES256")]}, **options)
    assert [key.kid for key in key_set.keys] == [KEYS["ES256"].kid]
    assert [one.position for one in key_set.skipped] == [0]
    return key_set.skipped[0].reason


@pytest.mark.parametrize("algorithm", sorted(_jose.ASYMMETRIC))
def test_reads_a_public_key_of_every_kind(algorithm):
    """What we publish is what others read, and it verifies."""
    key_set = _jose.parse_key_set({"keys": [_jose.public_jwk(KEYS[algorithm])]})
    assert key_set.skipped == ()
    token = _jose.sign(CLAIMS, KEYS[algorithm], typ="JWT")
    assert accepted(token, key_set) == CLAIMS


@pytest.mark.parametrize(
    ("algorithm", "fitting"),
    [
        ("RS512", {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
        ("ES256", {"ES256"}),
        ("ES384", {"ES384"}),
        ("ES512", {"ES512"}),
        ("EdDSA", {"EdDSA"}),
    ],
)
def test_a_key_without_alg_serves_what_fits_it(algorithm, fitting):
    """Many issuers publish keys without ``alg``; kind and curve say what they are for."""
    key = _jose.key_from_jwk(jwk_of(algorithm, alg=None))
    assert (key.algorithm, key.algorithms) == (None, fitting)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (None, "not an object"),
        ("key", "not an object"),
        ([], "not an object"),
        ({}, "kty None"),
        ({"kty": 1}, "kty 1"),
        ({"kty": ["RSA"]}, "kty"),
        ({"kty": "rsa"}, "kty rsa"),
        (jwk_of("RS256", use="enc"), "use is enc"),
        (jwk_of("RS256", use=["sig"]), "use is"),
        (jwk_of("RS256", key_ops=["sign"]), "key_ops"),
        (jwk_of("RS256", key_ops=[]), "key_ops"),
        (jwk_of("RS256", key_ops="verify"), "key_ops"),
        (jwk_of("RS256", kid=7), "kid"),
        (jwk_of("RS256", kid="k" * 1_025), "kid"),
        (jwk_of("RS256", d="AQAB"), "private"),
        (jwk_of("ES256", d="AQAB", kid="x"), "private"),
        (jwk_of("EdDSA", d="AQAB"), "private"),
        (jwk_of("RS256", k="AQAB"), "private"),
        ({"kty": "oct", "k": b64(b"k" * 64)}, "symmetric"),
        (jwk_of("RS256", alg="ES256"), "alg ES256"),
        (jwk_of("RS256", alg="RSA-OAEP"), "alg RSA-OAEP"),
        (jwk_of("RS256", alg="none"), "alg none"),
        (jwk_of("RS256", alg="HS256"), "alg HS256"),
        (jwk_of("RS256", alg=5), "alg 5"),
        (jwk_of("ES256", alg="ES384", kid="x"), "alg ES384"),
        (jwk_of("RS256", n=None), "n is not base64url"),
        (jwk_of("RS256", n=17), "n is not base64url"),
        (jwk_of("RS256", n=""), "n is not base64url"),
        (jwk_of("RS256", n="=="), "n is not base64url"),
        (jwk_of("RS256", n="AQ AB"), "n is not base64url"),
        (jwk_of("RS256", n="é"), "n is not base64url"),
        (jwk_of("RS256", e=b64(b"\xff" * 9)), "e has more than 64 bits"),
        (jwk_of("RS256", e=b64(b"\x02")), "no key of this kind"),
        (jwk_of("RS256", e=b64(b"\x01")), "no key of this kind"),
        (jwk_of("RS256", n=b64(b"\xff" * 1_100)), "n has more than 8192 bits"),
        (jwk_of("ES256", crv="P-384", kid="x"), "x has not the 48 bytes"),
        (jwk_of("ES256", crv="secp256k1", kid="x"), "crv secp256k1"),
        (jwk_of("ES256", crv=None, kid="x"), "crv None"),
        (jwk_of("ES256", crv=["P-256"], kid="x"), "crv"),
        (jwk_of("ES256", x=b64(b"\x01" * 31), kid="x"), "x has not the 32 bytes"),
        (jwk_of("ES256", y=b64(b"\x01" * 32), kid="x"), "off its curve"),
        (jwk_of("ES256", x=b64(b"\xff" * 32), kid="x"), "off its curve"),
        (jwk_of("EdDSA", crv="Ed448"), "crv Ed448"),
        (jwk_of("EdDSA", crv="X25519"), "crv X25519"),
        (jwk_of("EdDSA", crv="P-256"), "crv P-256"),
        (jwk_of("EdDSA", x=b64(bytes(31))), "x has not the 32 bytes"),
    ],
)  # fmt: skip
def test_skips_an_entry_with_a_reason(entry, reason):
    """An entry that cannot be used is skipped, says why, and its neighbour serves."""
    assert reason in skipped(entry)


def test_refuses_short_rsa_keys():
    """An RSA key of 1024 bits is skipped, not warned about."""
    public = WEAK.public_key().public_numbers()
    jwk = {"kty": "RSA", "n": b64(public.n.to_bytes(128, "big")), "e": "AQAB"}
    assert "1024 bits; 2048 to 8192" in skipped(jwk)


def test_a_skipped_entry_keeps_its_name_escaped():
    """What is shown of a skipped entry cannot forge a line of output."""
    key_set = _jose.parse_key_set({"keys": [{"kty": "RSA", "kid": "a\nb"}]})
    assert key_set.skipped[0].kid == "a\\x0ab"


def test_members_that_mean_nothing_are_ignored():
    """Certificates and members of other people's making do not spoil a key."""
    jwk = jwk_of("RS256", x5c=["MIIB"], x5t="abc", x5u="https://a.example", issuer="b", exp=0)
    assert _jose.parse_key_set({"keys": [jwk]}).skipped == ()


def test_accepts_a_modulus_with_a_leading_zero_octet():
    """Some libraries write one; RFC 7518, section 6.3.1.1, tells of it."""
    n = base64.urlsafe_b64decode(jwk_of("RS256")["n"] + "==")
    key_set = _jose.parse_key_set({"keys": [jwk_of("RS256", n=b64(b"\x00" + n))]})
    assert accepted(_jose.sign(CLAIMS, KEYS["RS256"], typ="JWT"), key_set) == CLAIMS


def test_uses_at_most_a_hundred_keys():
    """The hundred-and-first usable key is skipped; unusable ones do not count."""
    entries = [None, *(jwk_of("ES256", kid=str(n)) for n in range(102))]
    key_set = _jose.parse_key_set({"keys": entries})
    assert len(key_set.keys) == 100
    assert [one.position for one in key_set.skipped] == [0, 101, 102]
    assert key_set.skipped[1].reason == "more than 100 keys"


@pytest.mark.parametrize("document", [None, [], "keys", 1, {}, {"keys": None}, {"keys": {}}])
def test_a_document_of_another_shape_is_the_documented_error(document):
    """What is no JWK Set at all raises JWKError, which callers translate."""
    with pytest.raises(_jose.JWKError):
        _jose.parse_key_set(document)


JWK_MEMBERS = ("kty", "crv", "x", "y", "n", "e", "k", "d", "kid", "use", "key_ops", "alg")
JWKS = st.dictionaries(
    st.sampled_from(JWK_MEMBERS),
    JSON
    | st.sampled_from(["RSA", "EC", "OKP", "oct", "P-256", "Ed25519", "AQAB", "sig", "RS256"])
    | st.binary(min_size=31, max_size=66).map(b64),
)


@given(JSON | st.fixed_dictionaries({"keys": JSON | st.lists(JWKS | JSON)}), st.booleans())
def test_any_document_is_a_key_set_or_the_documented_error(document, allow_symmetric):
    """No document takes the reader down."""
    try:
        key_set = _jose.parse_key_set(document, allow_symmetric=allow_symmetric)
    except _jose.JWKError:
        assert not isinstance(document, dict) or not isinstance(document.get("keys"), list)
    else:
        assert len(key_set.keys) + len(key_set.skipped) == len(document["keys"])


# --- which key -----------------------------------------------------------------------------------


def named(algorithm, kid):
    """Return a public key under another name."""
    return replace(KEYS[algorithm], kid=kid, private=None)


def test_without_a_kid_the_only_key_that_fits_is_meant():
    """A set of several kinds serves a token that names none."""
    key_set = _jose.KeySet([named("RS256", "r"), named("ES256", "e")])
    assert key_set.select("ES256", None).kid == "e"


def test_without_a_kid_several_that_fit_are_refused():
    """No trying: one of two is not chosen."""
    key_set = _jose.KeySet([named("ES256", "1"), replace(_jose.generate_key("ES256"), kid="2")])
    assert refusal(GOOD, key_set) == "ambiguous_key"


def test_without_a_kid_and_a_key_that_fits_the_key_is_unknown():
    """A set without a key of that kind is as good as one without the key."""
    assert refusal(GOOD, SETS["RS256"]) == "unknown_key"
    assert refusal(GOOD, _jose.KeySet([])) == "unknown_key"


def test_of_two_keys_with_one_kid_the_one_that_fits_is_meant():
    """Issuers reuse a name across kinds of keys."""
    key_set = _jose.KeySet([named("RS256", "k"), named("ES256", "k")])
    assert key_set.select("ES256", "k").kty == "EC"


def test_two_keys_with_one_kid_that_both_fit_are_refused():
    """The same name twice for the same algorithm is nobody's name."""
    key_set = _jose.KeySet([named("ES256", "k"), replace(_jose.generate_key("ES256"), kid="k")])
    token = _jose.sign(CLAIMS, replace(KEYS["ES256"], kid="k"), typ="JWT")
    assert refusal(token, key_set) == "ambiguous_key"


@pytest.mark.parametrize("kid", ["K", "k ", "", "kk"])
def test_a_kid_is_compared_exactly(kid):
    """Another case, a blank, a part: another name."""
    token = _jose.sign(CLAIMS, replace(KEYS["ES256"], kid=kid), typ="JWT")
    assert refusal(token, _jose.KeySet([named("ES256", "k")])) == "unknown_key"


def test_a_known_kid_for_another_algorithm_is_not_an_unknown_key():
    """The key is there, so nobody need fetch the set again."""
    token = _jose.sign(CLAIMS, replace(KEYS["ES256"], kid="k"), typ="JWT")
    assert refusal(token, _jose.KeySet([named("RS256", "k")])) == "algorithm"


# --- symmetric keys ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "fitting"),
    [
        (32, {"HS256"}),
        (47, {"HS256"}),
        (48, {"HS256", "HS384"}),
        (64, {"HS256", "HS384", "HS512"}),
    ],
)
def test_a_secret_serves_hashes_up_to_its_own_length(size, fitting):
    """A secret shorter than the hash does not serve it (RFC 7518, section 3.2)."""
    jwk = {"kty": "oct", "k": b64(bytes(range(size)))}
    assert _jose.key_from_jwk(jwk, allow_symmetric=True).algorithms == fitting


def test_refuses_a_short_secret():
    """31 bytes are too few even for HS256."""
    assert "31 bytes" in skipped({"kty": "oct", "k": b64(bytes(31))}, allow_symmetric=True)


def test_refuses_a_public_key_as_a_secret():
    """A PEM, a DER or a JWK text is somebody's key, not a secret."""
    public = KEYS["RS256"].public
    form = PublicFormat.SubjectPublicKeyInfo
    for text in (
        public.public_bytes(Encoding.PEM, form),
        public.public_bytes(Encoding.DER, form),
        json.dumps(jwk_of("RS256")).encode(),
        base64.b64encode(public.public_bytes(Encoding.DER, form)),
        base64.encodebytes(public.public_bytes(Encoding.DER, form)),
        base64.b64encode(public.public_bytes(Encoding.DER, PublicFormat.PKCS1)),
        base64.b64encode(KEYS["ES256"].public.public_bytes(Encoding.DER, form)),
    ):
        reason = skipped({"kty": "oct", "k": b64(text)}, allow_symmetric=True)
        assert "not a secret" in reason


@pytest.mark.parametrize("size", [32, 33, 48, 64])
def test_a_secret_may_be_written_in_base64(size):
    """It is a secret as long as it is no key."""
    secret = base64.b64encode(hashlib.sha512(b"a secret of a test").digest()[:size])
    document = {"keys": [{"kty": "oct", "k": b64(secret)}]}
    assert 1 == len(_jose.parse_key_set(document, allow_symmetric=True).keys)


@pytest.mark.parametrize("sign", [0, 0x80])
@pytest.mark.parametrize(
    "y",
    [
        0,
        1,
        2**255 - 20,
        2**255 - 19,
        2**255 - 18,
        0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
    ],
)
def test_a_point_of_small_order_is_no_key(y, sign):
    """Whoever publishes one lets anybody sign."""
    encoded = bytearray(y.to_bytes(32, "little"))
    encoded[31] |= sign
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64(bytes(encoded))}
    assert "small order" in skipped(jwk)


# --- allow-lists ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("algorithms", "says"),
    [
        ([], "at least one"),
        ("RS256", "['RS256']"),
        (None, "a list of names"),
        (7, "a list of names"),
        ([["RS256"]], "choose from"),
        (["none"], "none"),
        (["RS256", "none"], "none"),
        (["rs256"], "rs256"),
        (["RS256", "HS256"], "mixes"),
        ([None], "None"),
    ],
)
def test_an_allow_list_that_cannot_be_meant_stops_the_program(algorithms, says):
    """Empty, unknown, ``none`` or HMAC beside signatures: a ConfigurationError that says which."""
    with pytest.raises(ConfigurationError) as caught:
        _jose.check_algorithms(algorithms)
    assert says in str(caught.value)


def test_an_allow_list_is_a_set():
    """Order and repetition mean nothing."""
    assert _jose.check_algorithms(["ES256", "RS256", "ES256"]) == frozenset({"ES256", "RS256"})


# --- private keys --------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", sorted(_jose.ASYMMETRIC))
def test_a_private_key_survives_pem(algorithm):
    """The key that comes back has the same name and signs for the same public key."""
    again = _jose.from_pem(_jose.to_pem(KEYS[algorithm]), algorithm)
    assert (again.kid, again.algorithm) == (KEYS[algorithm].kid, algorithm)
    assert accepted(_jose.sign(CLAIMS, again, typ="JWT"), SETS[algorithm]) == CLAIMS


@pytest.mark.parametrize(
    ("data", "algorithm"),
    [
        (b"", "ES256"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "ES256"),
        (_jose.to_pem(KEYS["RS256"]), "ES256"),
        (_jose.to_pem(KEYS["ES384"]), "ES256"),
        (_jose.to_pem(KEYS["ES256"]), "RS256"),
        (_jose.to_pem(KEYS["ES256"]), "EdDSA"),
        (_jose.to_pem(KEYS["ES256"]), "HS256"),
        (_jose.to_pem(KEYS["ES256"]), "none"),
    ],
)
def test_a_pem_that_is_not_for_the_algorithm_stops_the_program(data, algorithm):
    """Garbage and keys of another kind are ConfigurationErrors without the key in them."""
    with pytest.raises(ConfigurationError) as caught:
        _jose.from_pem(data, algorithm)
    assert "AAAA" not in str(caught.value)


def test_a_private_key_of_a_kind_that_never_signs_tokens_is_refused():
    """An X25519 key is a private key, and no signing key."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.serialization import NoEncryption, PrivateFormat

    pem = X25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    with pytest.raises(ConfigurationError):
        _jose.from_pem(pem, "EdDSA")


def test_a_weak_private_key_is_refused():
    """We do not sign with what we would not verify."""
    weak = _jose.Key("RSA", frozenset({"RS256"}), None, WEAK)
    with pytest.raises(ConfigurationError) as caught:
        _jose.from_pem(_jose.to_pem(weak), "RS256")
    assert "1024 bits" in str(caught.value)


@pytest.mark.parametrize("algorithm", ["none", "", "ES256K", "rs256"])
def test_there_is_no_key_for_an_unknown_algorithm(algorithm):
    """The error lists what there is."""
    with pytest.raises(ConfigurationError) as caught:
        _jose.generate_key(algorithm)
    assert "ES256" in str(caught.value)


def test_only_a_bound_private_key_signs():
    """A public key, or one that could be used with several algorithms, does not."""
    for key in (named("ES256", "k"), replace(KEYS["RS256"], algorithm=None)):
        with pytest.raises(_jose.JWKError):
            _jose.sign(CLAIMS, key, typ="JWT")


def test_a_symmetric_key_is_never_published_or_written():
    """Neither a JWK nor a PEM of it is made."""
    for make in (_jose.public_jwk, _jose.to_pem):
        with pytest.raises(_jose.JWKError):
            make(KEYS["HS256"])


@pytest.mark.parametrize("algorithm", sorted(_jose.ASYMMETRIC))
def test_what_is_published_has_no_private_member(algorithm):
    """A published JWK has the public numbers, kid, alg and use, and nothing else."""
    public = {"RSA": {"n", "e"}, "EC": {"crv", "x", "y"}, "OKP": {"crv", "x"}}
    jwk = _jose.public_jwk(KEYS[algorithm])
    assert set(jwk) == {"kty", "kid", "alg", "use"} | public[jwk["kty"]]
    assert (jwk["kid"], jwk["alg"], jwk["use"]) == (KEYS[algorithm].kid, algorithm, "sig")
    unbound = replace(KEYS[algorithm], algorithm=None)
    assert "alg" not in _jose.public_jwk(unbound)


@pytest.mark.parametrize("algorithm", ["HS256", "RS256", "ES256", "EdDSA"])
def test_keys_show_and_give_away_nothing(algorithm):
    """A key's repr has its name and kind; it is not pickled."""
    key = KEYS[algorithm]
    assert repr(key) == f"Key(kid={key.kid!r}, kty={key.kty!r})"
    assert repr(SETS[algorithm]) == "KeySet(keys=1, skipped=0)"
    with pytest.raises(TypeError):
        pickle.dumps(key)


@pytest.mark.parametrize("jwk", [{}, {"kty": "RSA", "n": "AQAB"}, {"kty": "x"}, {"kty": ["oct"]}])
def test_a_thumbprint_needs_its_members(jwk):
    """An incomplete JWK has no thumbprint."""
    with pytest.raises(_jose.JWKError):
        _jose.thumbprint(jwk)


def test_the_documented_errors_are_what_they_say():
    """A key error is no authentication error: callers translate it."""
    assert not issubclass(_jose.JWKError, AuthError)
    assert issubclass(_jose.JWKError, ValueError)
