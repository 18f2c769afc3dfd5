"""RFC 8725, JSON Web Token Best Current Practices: form, keys, algorithms, kinds of tokens."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
from dataclasses import replace

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sites import Site

from tokenward import _jose
from tokenward.errors import ConfigurationError, InvalidToken
from tokenward.jwks import JWKSVerifier
from tokenward.testing import FakeClock

RSA = _jose.generate_key("RS256")
EC = _jose.generate_key("ES256")


def token(header, claims, secret):
    first, second = (_jose.encode(json.dumps(part).encode()) for part in (header, claims))
    mac = hmac.digest(secret, f"{first}.{second}".encode(), hashlib.sha256)
    return f"{first}.{second}.{_jose.encode(mac)}"


def refusal(text, *keys, algorithms=_jose.SUPPORTED):
    with pytest.raises(InvalidToken) as caught:
        _jose.verify(
            _jose.parse(text, algorithms=algorithms), _jose.KeySet(keys), algorithms=algorithms
        )
    return caught.value.reason


@pytest.mark.parametrize("alg", ["none", "None", "nONE", "NONE"])
def test_2_1_alg_none_is_refused_in_any_case(alg):
    """A token that says it is not signed is refused, signature or not."""
    assert refusal(token({"alg": alg}, {}, b"x"), RSA, EC) == "algorithm"


def test_2_1_a_public_key_is_no_hmac_secret():
    """RS256 changed to HS256, signed with the public key's PEM, is refused."""
    pem = RSA.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    text = token({"alg": "HS256", "kid": RSA.kid}, {"sub": "admin"}, pem)
    assert refusal(text, RSA) == "algorithm"
    assert refusal(text, RSA, algorithms=_jose.check_algorithms(["RS256"])) == "algorithm"


@pytest.mark.parametrize("algorithms", [[], ["none"], ["RS256", "HS256"], ["rs256"], "RS256"])
def test_3_1_the_allow_list_is_checked_at_start_up(algorithms):
    """Empty, unknown or mixed lists never come to verify anything."""
    with pytest.raises(ConfigurationError):
        _jose.check_algorithms(algorithms)


def test_3_1_only_allowed_algorithms_verify():
    """A good signature by an algorithm that is not allowed is refused."""
    text = _jose.sign({}, EC, typ="JWT")
    assert refusal(text, EC, algorithms=_jose.check_algorithms(["RS256"])) == "algorithm"


def test_3_1_each_key_has_one_algorithm():
    """A key bound to PS256 does not verify RS256, though the mathematics would."""
    bound = replace(_jose.from_pem(_jose.to_pem(RSA), "PS256"), kid=RSA.kid)
    assert refusal(_jose.sign({}, RSA, typ="JWT"), bound) == "algorithm"


def test_3_3_every_operation_is_checked():
    """A signature that no key made is refused for every algorithm."""
    for algorithm in sorted(_jose.SUPPORTED):
        key = _jose.generate_key(algorithm)
        head, _, tail = _jose.sign({}, key, typ="JWT").rpartition(".")
        other = bytes(len(_jose.decode(tail.encode())))
        assert refusal(f"{head}.{_jose.encode(other)}", key) == "bad_signature"


def test_3_4_cryptographic_inputs_are_checked():
    """A point off its curve is no key."""
    jwk = _jose.public_jwk(EC)
    with pytest.raises(_jose.JWKError):
        _jose.key_from_jwk({**jwk, "x": jwk["y"]})


def test_3_5_weak_keys_are_refused():
    """Short secrets and short moduli are no keys at all."""
    for jwk in (
        {"kty": "oct", "k": _jose.encode(b"secret")},
        {"kty": "RSA", "e": "AQAB", "n": _jose.encode(b"\xff" * 128)},
    ):
        with pytest.raises(_jose.JWKError):
            _jose.key_from_jwk(jwk, allow_symmetric=True)


def test_3_6_compression_is_not_understood():
    """``zip`` is a JWE's; a payload is never inflated, so nothing is learnt from its length."""
    import zlib

    header, payload = _jose.encode(b'{"alg":"HS256","zip":"DEF"}'), zlib.compress(b"{}")
    assert refusal(f"{header}.{_jose.encode(payload)}.AA", RSA) == "malformed"


def test_3_7_utf_8_only():
    """Another encoding of JSON is refused."""
    for encoding in ("utf-16", "utf-32", "latin-1"):
        payload = _jose.encode('{"sub":"é"}'.encode(encoding))
        header = _jose.encode(b'{"alg":"HS256"}')
        assert refusal(f"{header}.{payload}.AA", RSA) == "malformed"


@pytest.mark.parametrize("kid", ["../../dev/null", "' UNION SELECT 'k", "file:///etc/passwd"])
def test_3_10_a_kid_is_only_compared(kid):
    """A ``kid`` is no path, no query and no address."""
    assert refusal(token({"alg": "HS256", "kid": kid}, {}, b""), RSA) == "unknown_key"


@pytest.mark.parametrize("member", ["jku", "x5u"])
def test_3_10_addresses_in_a_header_are_not_followed(member):
    """Keys come from configuration; a header's address is not even an error."""
    attacker = _jose.generate_key("ES256")
    headers = {member: "http://169.254.169.254/latest/meta-data"}
    text = jwt.encode({}, attacker.private, "ES256", headers=headers)
    assert refusal(text, EC) == "bad_signature"


def test_3_10_a_key_in_a_header_is_not_used():
    """A token that brings its own key is refused."""
    attacker = _jose.generate_key("ES256")
    text = jwt.encode({}, attacker.private, "ES256", headers={"jwk": _jose.public_jwk(attacker)})
    assert refusal(text, EC) == "bad_signature"


# --- through a verifier: what an attacker sends, and whom it makes us ask


NOW = 1_700_000_000
ISSUER = "https://issuer.example"
JWKS_URI = f"{ISSUER}/jwks"
ATTACKER = "https://attacker.example"
CLAIMS = {"iss": ISSUER, "aud": "orders", "exp": NOW + 300, "iat": NOW, "sub": "alice"}
OTHER = _jose.generate_key("ES256")
PUBLIC_ALGORITHMS = sorted(_jose.ASYMMETRIC)
KEYS = {alg: replace(_jose.generate_key(alg), kid=f"{alg} key") for alg in ("ES384", "EdDSA")} | {
    "RS256": replace(RSA, kid="RS256 key"),
    "PS256": replace(_jose.from_pem(_jose.to_pem(RSA), "PS256"), kid="PS256 key"),
    "ES256": replace(EC, kid="ES256 key"),
}


class Relying:
    """A resource server, the keys that its issuer publishes, and what it asked for."""

    def __init__(self, *jwks, **options):
        self.site = Site(**{JWKS_URI: {"keys": list(jwks)}})
        options = {"audience": "orders", "algorithms": PUBLIC_ALGORITHMS} | options
        self.verifier = JWKSVerifier(
            ISSUER, jwks_uri=JWKS_URI, transport=self.site, clock=FakeClock(NOW), **options
        )

    @property
    def asked(self):
        return self.site.asked

    def takes(self, text):
        assert "alice" == self.verifier.verify(text).subject

    def refuses(self, text):
        """Return the reason; live and cached decisions are the same."""
        with pytest.raises(InvalidToken) as caught:
            self.verifier.verify(text)
        assert self.verifier.cached(text) is None
        return caught.value.reason


def named(key, kid=..., *, alg=...):
    """Return a key as it is published, under another ``kid`` or ``alg``; ``None`` leaves it out."""
    changes = {name: value for name, value in (("kid", kid), ("alg", alg)) if value is not ...}
    jwk = _jose.public_jwk(key) | changes
    return {name: value for name, value in jwk.items() if value is not None}


def forged(header, claims=CLAIMS, *, key=EC):
    """Return a token that says what it likes, signed by a key with that key's algorithm."""
    text = ".".join(_jose.encode(json.dumps(part).encode()) for part in (header, claims))
    signature = _jose.algorithms.ALGORITHMS[key.algorithm].sign(text.encode(), key.private)
    return f"{text}.{_jose.encode(signature)}"


def spellings_of(key):
    """Yield what a public key looks like to a program that takes it for a secret."""
    for encoding, form in [
        (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        (Encoding.PEM, PublicFormat.PKCS1),
        (Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        (Encoding.DER, PublicFormat.PKCS1),
        (Encoding.OpenSSH, PublicFormat.OpenSSH),
    ]:
        octets = key.public.public_bytes(encoding, form)
        yield octets
        yield octets.strip()
    jwk = _jose.public_jwk(key)
    yield json.dumps(jwk).encode()
    yield json.dumps({"keys": [jwk]}).encode()
    yield jwk["n"].encode()
    yield _jose.decode(jwk["n"].encode())


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_2_1_a_public_key_is_no_secret_whatever_it_looks_like(alg):
    """A MAC made with the published key, in any of its spellings, is refused before any fetch."""
    relying = Relying(named(KEYS["RS256"]), named(KEYS["RS256"], "any", alg=None))
    for secret in spellings_of(RSA):
        for kid in ("RS256 key", "any"):
            text = forged({"alg": alg, "kid": kid}).rpartition(".")[0]
            mac = hmac.digest(secret, text.encode(), alg.replace("HS", "sha"))
            assert "algorithm" == relying.refuses(f"{text}.{_jose.encode(mac)}")

    assert [] == relying.asked


def test_2_1_a_secret_is_never_fetched():
    """``oct`` in a published set is skipped, and no allow-list makes us use it."""
    secret = {"kty": "oct", "k": _jose.encode(b"s" * 32), "kid": "secret", "alg": "HS256"}
    relying = Relying(secret, named(KEYS["ES256"]))
    relying.takes(_jose.sign(CLAIMS, KEYS["ES256"]))
    assert {"keys": [named(KEYS["ES256"])]} == relying.verifier.jwks()
    assert "algorithm" == relying.refuses(
        token({"alg": "HS256", "kid": "secret"}, CLAIMS, b"s" * 32)
    )
    with pytest.raises(ConfigurationError, match="never fetched"):
        Relying(secret, algorithms=["HS256"])


@pytest.mark.parametrize(
    "alg", sorted({"".join(cased) for cased in itertools.product("nN", "oO", "nN", "eE")})
)
def test_2_1_alg_none_in_every_spelling(alg):
    """Sixteen of them, each without a signature, with a wrong one and with a good one."""
    relying = Relying(named(KEYS["ES256"]))
    text = forged({"alg": alg, "kid": "ES256 key"}, key=KEYS["ES256"])
    unsigned = text.rpartition(".")[0]
    for candidate in (text, f"{unsigned}.", f"{unsigned}.AA"):
        assert "algorithm" == relying.refuses(candidate)
    assert "malformed" == relying.refuses(unsigned)
    assert [] == relying.asked


@pytest.mark.parametrize("alg", ["none ", " none", "", "n", "NULL", "null", None, 0, [], ["ES256"]])
def test_2_1_alg_that_is_no_algorithm(alg):
    """Neither is anything else one, and no algorithm is one of a list."""
    relying = Relying(named(KEYS["ES256"]))
    assert "algorithm" == relying.refuses(forged({"alg": alg}, key=KEYS["ES256"]))
    assert [] == relying.asked


@pytest.mark.parametrize(("signed", "says"), [*itertools.permutations(sorted(KEYS), 2)])
def test_3_1_a_header_that_names_another_algorithm(signed, says):
    """With the kid of the key that signed, or with that of the algorithm that it names."""
    relying = Relying(*map(named, KEYS.values()))
    relying.takes(_jose.sign(CLAIMS, KEYS[signed]))
    text = forged({"alg": says, "kid": f"{signed} key"}, key=KEYS[signed])
    assert "algorithm" == relying.refuses(text)
    text = forged({"alg": says, "kid": f"{says} key"}, key=KEYS[signed])
    assert "bad_signature" == relying.refuses(text)
    assert [JWKS_URI] == relying.asked


@pytest.mark.parametrize("alg", sorted(KEYS))
def test_3_1_another_family_under_the_same_kid(alg):
    """An attacker's key of another kind has a known kid: refused, and nothing is fetched anew."""
    other = "ES256" if alg != "ES256" else "EdDSA"
    relying = Relying(named(KEYS[alg], "k"))
    attacker = replace(_jose.generate_key(other), kid="k")

    assert "algorithm" == relying.refuses(_jose.sign(CLAIMS, attacker))
    assert [JWKS_URI] == relying.asked


def test_3_1_one_rsa_key_for_one_algorithm():
    """A JWK that names RS256 verifies no PS256, and the other way about."""
    for alg, other in [("RS256", "PS256"), ("PS256", "RS256")]:
        relying = Relying(named(KEYS[alg], "k"))
        relying.takes(_jose.sign(CLAIMS, replace(KEYS[alg], kid="k")))
        assert "algorithm" == relying.refuses(_jose.sign(CLAIMS, replace(KEYS[other], kid="k")))


def test_3_1_an_rsa_key_without_alg():
    """It serves what fits it, as far as the allow-list goes, and each token one algorithm."""
    both = [_jose.sign(CLAIMS, replace(KEYS[alg], kid="k")) for alg in ("RS256", "PS256")]
    relying = Relying(named(RSA, "k", alg=None))
    for text in both:
        relying.takes(text)
    narrow = Relying(named(RSA, "k", alg=None), algorithms=["RS256"])
    narrow.takes(both[0])
    assert "algorithm" == narrow.refuses(both[1])


def test_3_1_nothing_fetched_widens_the_allow_list():
    """A key that says PS256 does not make PS256 allowed."""
    relying = Relying(named(KEYS["PS256"]), named(KEYS["ES256"]), algorithms=["RS256", "ES256"])
    assert "algorithm" == relying.refuses(_jose.sign(CLAIMS, KEYS["PS256"]))
    assert [] == relying.asked


def without_kid(alg):
    return forged({"alg": alg, "typ": "JWT"}, key=KEYS[alg])


def test_3_10_no_kid_and_one_key_that_fits():
    """It is meant, named or not, whatever keys of other kinds are beside it."""
    for kid in ("named", None):
        relying = Relying(named(KEYS["ES256"], kid), named(KEYS["EdDSA"]), named(KEYS["RS256"]))
        relying.takes(without_kid("ES256"))
        assert "bad_signature" == relying.refuses(forged({"alg": "ES256"}, key=OTHER))


def test_3_10_no_kid_and_two_keys_that_fit():
    """None is tried after the other; nothing is fetched anew for it."""
    for kid in ("second", None):
        relying = Relying(named(KEYS["ES256"]), named(OTHER, kid))
        assert "ambiguous_key" == relying.refuses(without_kid("ES256"))
        assert [JWKS_URI] == relying.asked
    # One is bound to another algorithm by its own word: one is left.
    relying = Relying(named(RSA, "a", alg="RS512"), named(RSA, "b", alg=None))
    relying.takes(without_kid("RS256"))


def test_3_10_no_kid_and_no_key_that_fits():
    """An unknown key, as one with an unknown kid is."""
    assert "unknown_key" == Relying(named(KEYS["EdDSA"])).refuses(without_kid("ES256"))


def test_3_10_one_kid_for_two_keys():
    """The one that fits the algorithm is meant; if both do, none is."""
    mixed = Relying(named(KEYS["ES256"], "k"), named(KEYS["EdDSA"], "k"))
    for alg in ("ES256", "EdDSA"):
        mixed.takes(_jose.sign(CLAIMS, replace(KEYS[alg], kid="k")))
    same = Relying(named(KEYS["ES256"], "k"), named(OTHER, "k"))
    for key in (KEYS["ES256"], OTHER):
        assert "ambiguous_key" == same.refuses(_jose.sign(CLAIMS, replace(key, kid="k")))
    assert [JWKS_URI] == same.asked


@pytest.mark.parametrize(
    "kid", ["es256 key", "ES256 key ", "ES256 ke", "", "ES256 key\0", "\uff25S256 key", "../key"]
)
def test_3_10_a_kid_is_another_kid(kid):
    """Compared code point by code point; the one good key is not tried instead."""
    relying = Relying(named(KEYS["ES256"]))
    assert "unknown_key" == relying.refuses(_jose.sign(CLAIMS, replace(KEYS["ES256"], kid=kid)))


@pytest.mark.parametrize(
    "extra",
    [
        *({"crit": value} for value in ([], ["exp"], ["b64"], "exp", None, {}, ["alg", "alg"])),
        {"crit": ["http://example.com/UNDEFINED"], "http://example.com/UNDEFINED": True},
        *({"b64": value} for value in (False, True, None, "false")),
        {"b64": False, "crit": ["b64"]},
    ],
    ids=str,
)
def test_3_2_critical_extensions(extra):
    """Under a good signature too, and before any fetch (RFC 7515, 4.1.11; RFC 7797)."""
    relying = Relying(named(KEYS["ES256"]))
    header = {"alg": "ES256", "kid": "ES256 key"}
    relying.takes(forged(header, key=KEYS["ES256"]))
    asked = len(relying.asked)

    assert "critical_header" == relying.refuses(forged(header | extra, key=KEYS["ES256"]))
    assert asked == len(relying.asked)


BROUGHT = {
    "jwk": named(OTHER, "ES256 key"),
    "jku": f"{ATTACKER}/jwks",
    "x5u": f"{ATTACKER}/certificate",
    "x5c": ["MIIDQjCCAiqgAwIBAgIGATz/FuLiMA0GCSqGSIb3DQEBBQUAMGIxCzAJ"],
    "x5t": _jose.encode(bytes(20)),
    "x5t#S256": _jose.encode(bytes(32)),
}


@pytest.mark.parametrize("names", [*((name,) for name in BROUGHT), tuple(BROUGHT)], ids="+".join)
def test_3_10_keys_that_a_token_brings(names):
    """Never used and never asked for, whoever brings them: only our own source is."""
    relying = Relying(named(KEYS["ES256"]))
    relying.site[BROUGHT["jku"]] = {"keys": [BROUGHT["jwk"]]}
    brought = {name: BROUGHT[name] for name in names}
    for header in ({"alg": "ES256"}, {"alg": "ES256", "kid": "ES256 key"}):
        assert "bad_signature" == relying.refuses(forged(header | brought, key=OTHER))
        relying.takes(forged(header | brought, key=KEYS["ES256"]))
    unknown = {"alg": "ES256", "kid": "brought"} | brought
    assert "unknown_key" == relying.refuses(forged(unknown, key=OTHER))
    assert {JWKS_URI} == set(relying.asked)


def good_with(*characters):
    """Return a good token whose signature has these characters."""
    for number in itertools.count():
        text = _jose.sign(CLAIMS | {"jti": str(number)}, KEYS["ES256"])
        if all(character in text.rpartition(".")[2] for character in characters):
            return text
    raise AssertionError


GOOD = good_with("-", "_")
HEAD, BODY, END = GOOD.split(".")


@pytest.mark.parametrize(
    "text",
    [
        *(f"{GOOD}.", f".{GOOD}", f"{GOOD}.{END}", f"{HEAD}.{BODY}", f"{HEAD}.{BODY}."),
        *(f"{HEAD}..{BODY}.{END}", f"{HEAD}.{BODY}.{END}.{BODY}.{END}", f"{HEAD}..{END}"),
        *(f"{GOOD}=", f"{GOOD}==", f"{HEAD}=.{BODY}.{END}", f"{HEAD}.{BODY}==.{END}"),
        *(
            f"{GOOD}\n",
            f"\n{GOOD}",
            f"{GOOD} ",
            f"{HEAD}\r\n.{BODY}.{END}",
            f"{GOOD[:-9]}\n{GOOD[-9:]}",
        ),
        *(
            f"\t{GOOD}",
            f"{GOOD}\0",
            f"{GOOD}\x85",
            f"\ufeff{GOOD}",
            f"{HEAD}\u3002{BODY}\u3002{END}",
        ),
        f"{HEAD}.{BODY}.{END.replace('-', '+').replace('_', '/')}",
        f"{HEAD}.{BODY}.{END.replace('-', '+')}",
        f"{HEAD}.{BODY}.{END.replace('_', '/')}",
        *(GOOD.replace(".", ","), GOOD.replace(".", "%2E"), f"Bearer {GOOD}", f'"{GOOD}"'),
        json.dumps({"payload": BODY, "protected": HEAD, "signature": END}),
        json.dumps({"payload": BODY, "signatures": [{"protected": HEAD, "signature": END}]}),
    ],
)
def test_2_4_one_token_has_one_spelling(text):
    """Other segments, padding, white space, the other alphabet, JSON: refused unread."""
    relying = Relying(named(KEYS["ES256"]))
    assert "malformed" == relying.refuses(text)
    assert [] == relying.asked
    relying.takes(GOOD)


def test_2_4_encrypted_tokens_are_refused():
    """Whatever algorithm encrypts them, to whatever key (RFC 7516)."""
    relying = Relying(named(KEYS["RS256"]) | {"use": "enc"}, named(KEYS["ES256"]))
    for alg in ("RSA-OAEP", "RSA1_5", "dir", "ECDH-ES", "PBES2-HS256+A128KW", "ES256"):
        header = {"alg": alg, "enc": "A256GCM", "p2c": 2**31, "zip": "DEF", "kid": "RS256 key"}
        text = _jose.encode(json.dumps(header).encode()) + ".AA.AA.AA.AA"
        assert "malformed" == relying.refuses(text)
    assert [] == relying.asked


def test_3_8_a_token_in_a_token():
    """A nested JWT has no claims of its own, whatever signed it (RFC 7519, section 5.2)."""
    relying = Relying(named(KEYS["ES256"]))
    header = _jose.encode(b'{"alg":"ES256","typ":"JWT","cty":"JWT","kid":"ES256 key"}')
    for payload in (GOOD, json.dumps(GOOD), json.dumps([GOOD])):
        text = f"{header}.{_jose.encode(payload.encode())}"
        signature = _jose.algorithms.ALGORITHMS["ES256"].sign(text.encode(), EC.private)
        assert "malformed" == relying.refuses(f"{text}.{_jose.encode(signature)}")
    assert [] == relying.asked


@pytest.mark.parametrize(
    ("what", "to"),
    [
        ('"sub":', '"sub": "admin", "sub":'),
        ('"sub":', '"n": {"a": 1, "a": 2}, "sub":'),
        ('"alice"', '"\\ud800"'),
        (f"{NOW}", "NaN"),
        (f"{NOW + 300}", "Infinity"),
        (f"{NOW}", "9" * 65),
        (f"{NOW}", "[" * 33 + "]" * 33),
        ('{"iss"', '\ufeff{"iss"'),
    ],
)
def test_2_6_claims_that_two_programs_read_differently(what, to):
    """Repeated members, NaN, lone surrogates and depths, though the issuer signed them."""
    relying = Relying(named(KEYS["ES256"]))
    payload = json.dumps(CLAIMS)
    assert what in payload
    text = f"{HEAD}.{_jose.encode(payload.replace(what, to, 1).encode())}"
    signature = _jose.algorithms.ALGORITHMS["ES256"].sign(text.encode(), EC.private)

    assert "malformed" == relying.refuses(f"{text}.{_jose.encode(signature)}")
    assert [] == relying.asked


# Other JWTs that an issuer signs with the same key, here even for our audience and still valid.
LOGOUT = {"http://schemas.openid.net/event/backchannel-logout": {}}
KINDS = {
    "ID token": ("id_token+jwt", {"nonce": "n-0S6_WzA2Mj"}),
    "ID token with at_hash": ("JWT", {"at_hash": "MTIzNDU2Nzg5MDEyMzQ1Ng"}),
    "ID token with c_hash": ("JWT", {"c_hash": "LDktKdoQak3Pk0cnXxCltA"}),
    "ID token with s_hash": ("JWT", {"s_hash": "LDktKdoQak3Pk0cnXxCltA"}),
    "ID token of Keycloak": ("JWT", {"typ": "ID"}),
    "ID token of Cognito": ("JWT", {"token_use": "id"}),
    "refresh token of Keycloak": ("JWT", {"typ": "Refresh"}),
    "offline token of Keycloak": ("JWT", {"typ": "Offline"}),
    "refresh token of simplejwt": ("JWT", {"token_type": "refresh"}),
    "refresh token of flask-jwt-extended": ("JWT", {"type": "refresh"}),
    "logout token": ("logout+jwt", {"events": LOGOUT, "sid": "s"}),
    "logout token without its typ": ("JWT", {"events": LOGOUT, "sid": "s"}),
    "logout token of Keycloak": ("JWT", {"typ": "Logout"}),
    "security event token": ("secevent+jwt", {"events": {"urn:x": {}}, "toe": NOW}),
    "security event token without its typ": ("JWT", {"events": {}}),
    "introspection answer": ("token-introspection+jwt", {"token_introspection": {"active": True}}),
    "DPoP proof": ("dpop+jwt", {"htm": "GET", "htu": "https://rs.example/", "jti": "x"}),
    "client assertion": ("client-authentication+jwt", {"jti": "x"}),
    "authorization request": ("oauth-authz-req+jwt", {"response_type": "code"}),
    "entity statement": ("entity-statement+jwt", {"jwks": {"keys": []}}),
    "verifiable credential": ("vc+sd-jwt", {"vct": "urn:x"}),
    "something new": ("x+jwt", {}),
    "no media type": ("", {}),
}


@pytest.mark.parametrize(("typ", "claims"), list(KINDS.values()), ids=list(KINDS))
def test_3_11_and_3_12_other_kinds_of_tokens(typ, claims):
    """Each is refused by its header or by its claims, and no key is fetched for it."""
    text = forged({"alg": "ES256", "typ": typ}, CLAIMS | claims, key=KEYS["ES256"])
    for options in ({}, {"token_types": ("at+jwt",)}):
        relying = Relying(named(KEYS["ES256"]), **options)
        assert "wrong_type" == relying.refuses(text)
        assert [] == relying.asked


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.startswith("ID token")])
def test_3_11_who_takes_id_tokens_takes_nothing_else(kind):
    """The other profile lets ID tokens pass, and none of the others."""
    typ, claims = KINDS[kind]
    relying = Relying(named(KEYS["ES256"]), accept_id_tokens=True)
    text = forged({"alg": "ES256", "typ": typ}, CLAIMS | claims, key=KEYS["ES256"])
    assert "wrong_type" == relying.refuses(text)


# The same, where neither header nor claims say what it is: somebody else's, or about nobody.
NAMELESS = {
    "client assertion": ({"iss": "client", "sub": "client", "aud": ISSUER}, "unknown_issuer"),
    "authorization request": ({"iss": "client", "sub": ..., "aud": ISSUER}, "unknown_issuer"),
    "ID token": ({"aud": "client", "nonce": "n-0S6_WzA2Mj"}, "audience_mismatch"),
    "authorization response": ({"sub": ..., "iat": ..., "code": "x", "state": "y"}, "no_subject"),
    "UserInfo answer": ({"exp": ..., "iat": ...}, "claim_missing"),
    "DPoP proof": ({"iss": ..., "sub": ..., "aud": ..., "exp": ...}, "unknown_issuer"),
    "token bound to a key": ({"cnf": {"jkt": "x"}}, "sender_constrained"),
}


@pytest.mark.parametrize(("changes", "reason"), list(NAMELESS.values()), ids=list(NAMELESS))
def test_3_12_kinds_that_do_not_say_so(changes, reason):
    """Signed by the issuer's own key, with the header of an access token."""
    claims = {name: value for name, value in (CLAIMS | changes).items() if value is not ...}
    relying = Relying(named(KEYS["ES256"]))
    for typ in ("JWT", "at+jwt"):
        assert reason == relying.refuses(
            forged({"alg": "ES256", "typ": typ}, claims, key=KEYS["ES256"])
        )
