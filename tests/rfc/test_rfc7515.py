"""RFC 7515, JSON Web Signature."""

from __future__ import annotations

import pytest

from tokenward import _jose
from tokenward.errors import InvalidSignature, InvalidToken, TokenExpired
from tokenward.jwks import JWKSVerifier
from tokenward.testing import FakeClock

PAYLOAD = (
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
)
CLAIMS = {"iss": "joe", "exp": 1300819380, "http://example.com/is_root": True}

A1_KEY = {
    "kty": "oct",
    "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
}
A1 = (
    f"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{PAYLOAD}"
    ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)
A2_KEY = {
    "kty": "RSA",
    "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddx"
    "HmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMs"
    "D1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSH"
    "SXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdV"
    "MTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8"
    "NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
    "e": "AQAB",
}
A2 = (
    f"eyJhbGciOiJSUzI1NiJ9.{PAYLOAD}."
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7"
    "AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4"
    "BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K"
    "0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqv"
    "hJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrB"
    "p0igcN_IoypGlUPQGe77Rw"
)
A3_KEY = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
A3 = (
    f"eyJhbGciOiJFUzI1NiJ9.{PAYLOAD}."
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSA"
    "pmWQxfKTUJqPP3-Kg6NU1Q"
)
A4_KEY = {
    "kty": "EC",
    "crv": "P-521",
    "x": "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
    "y": "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2",
}
A4 = (
    "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA."
    "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZq"
    "wqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8Kp"
    "EHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn"
)


def key_set(jwk):
    return _jose.KeySet([_jose.key_from_jwk(jwk, allow_symmetric=True)])


def claims(token, jwk):
    unverified = _jose.parse(token)
    _jose.verify(unverified, key_set(jwk), algorithms=_jose.SUPPORTED)
    return unverified.claims


def reason(token):
    with pytest.raises(InvalidToken) as caught:
        _jose.parse(token)
    return caught.value.reason


EXP = CLAIMS["exp"]
EXAMPLES = pytest.mark.parametrize(
    ("token", "alg", "jwk"),
    [(A1, "HS256", A1_KEY), (A2, "RS256", A2_KEY), (A3, "ES256", A3_KEY)],
    ids=["a_1", "a_2", "a_3"],
)


def verified(token, alg, jwk, *, now=EXP - 1, **options):
    """Verify a token as an application would, with the example's key and at its time."""
    options = {"issuer": "joe", "audience": None} | options
    verifier = JWKSVerifier(jwks={"keys": [jwk]}, algorithms=[alg], clock=FakeClock(now), **options)
    return verifier.verify(token)


def refused(*args, **options):
    with pytest.raises(InvalidToken) as caught:
        verified(*args, **options)
    return caught.value.reason


def header(text, payload=b"{}"):
    return f"{_jose.encode(text)}.{_jose.encode(payload)}.{_jose.encode(b's')}"


def test_a_1_hmac_sha256():
    """The example of appendix A.1 verifies."""
    assert claims(A1, A1_KEY) == CLAIMS


def test_a_2_rsassa_pkcs1_v1_5_sha256():
    """The example of appendix A.2 verifies."""
    assert claims(A2, A2_KEY) == CLAIMS


def test_a_3_ecdsa_p256_sha256():
    """The example of appendix A.3 verifies."""
    assert claims(A3, A3_KEY) == CLAIMS


def test_a_4_ecdsa_p521_sha512():
    """The signature of appendix A.4 verifies; its payload is no JSON, so as a token it is none."""
    first, second, third = A4.split(".")
    unverified = _jose.Unverified(
        header={},
        claims={},
        alg="ES512",
        kid=None,
        signing_input=f"{first}.{second}".encode(),
        signature=_jose.decode(third.encode()),
    )
    _jose.verify(unverified, key_set(A4_KEY), algorithms=_jose.SUPPORTED)
    assert reason(A4) == "malformed"


@pytest.mark.parametrize(
    ("token", "jwk"), [(A1, A1_KEY), (A2, A2_KEY), (A3, A3_KEY)], ids=["a_1", "a_2", "a_3"]
)
def test_5_2_a_signature_over_other_content_is_refused(token, jwk):
    """The examples' signatures do not cover another payload."""
    first, _, third = token.split(".")
    with pytest.raises(InvalidSignature):
        claims(f"{first}.{_jose.encode(b'{}')}.{third}", jwk)


@EXAMPLES
def test_a_1_to_a_3_as_access_tokens(token, alg, jwk):
    """The last thing that is looked for is missing: its claims name an issuer, and nobody else."""
    assert "no_subject" == refused(token, alg, jwk)
    assert "no_subject" == refused(token, alg, jwk, issuer=None, now=EXP + 29)


@EXAMPLES
def test_a_1_to_a_3_everything_else_is_asked_before_that(token, alg, jwk):
    """Issuer, audience, time and signature, each of which refuses the example by itself."""
    first, _, third = token.split(".")
    later = _jose.encode(b'{"iss":"joe","exp":1300819380,"sub":"alice"}')

    assert "unknown_issuer" == refused(token, alg, jwk, issuer="Joe")
    assert "audience_mismatch" == refused(token, alg, jwk, audience="orders")
    assert "claim_missing" == refused(token, alg, jwk, required=("exp", "iat"))
    assert "bad_signature" == refused(f"{first}.{later}.{third}", alg, jwk)
    with pytest.raises(TokenExpired):
        verified(token, alg, jwk, now=EXP + 30)


@EXAMPLES
def test_a_1_to_a_3_the_key_of_another_example(token, alg, jwk):
    """Each key verifies its own example only, whatever the allow-list."""
    for others_alg, others in [("HS256", A1_KEY), ("RS256", A2_KEY), ("ES256", A3_KEY)]:
        if others is not jwk:
            assert "algorithm" == refused(token, others_alg, others)


def test_a_4_as_an_access_token():
    """Its payload is the word "Payload"."""
    assert "malformed" == refused(A4, "ES512", A4_KEY)


def test_a_5_unsecured_is_refused_with_every_key():
    """As it stands, and with the signature of another example behind it."""
    for alg, jwk in [("HS256", A1_KEY), ("RS256", A2_KEY), ("ES256", A3_KEY)]:
        assert "algorithm" == refused(f"eyJhbGciOiJub25lIn0.{PAYLOAD}.", alg, jwk)
        signature = A1.split(".")[2]
        assert "algorithm" == refused(f"eyJhbGciOiJub25lIn0.{PAYLOAD}.{signature}", alg, jwk)


def test_a_5_unsecured_is_refused():
    """The example of appendix A.5, ``alg`` none and an empty signature, is no token."""
    with pytest.raises(InvalidToken):
        _jose.parse(f"eyJhbGciOiJub25lIn0.{PAYLOAD}.")


SIGNED_A6 = (
    '{"protected":"eyJhbGciOiJSUzI1NiJ9","header":{"kid":"2010-12-29"},'
    f'"signature":"{A2.split(".")[2]}"}}'
)
SIGNED_A7 = (
    '"protected":"eyJhbGciOiJFUzI1NiJ9",'
    '"header":{"kid":"e9bc097a-ce51-4036-9562-d2ade882db0d"},'
    f'"signature":"{A3.split(".")[2]}"'
)


@pytest.mark.parametrize(
    "document",
    [
        f'{{"payload":"{PAYLOAD}","signatures":[{SIGNED_A6},{{{SIGNED_A7}}}]}}',
        f'{{"payload":"{PAYLOAD}",{SIGNED_A7}}}',
    ],
    ids=["a_6_4", "a_7"],
)
def test_a_6_and_a_7_json_serializations_are_refused(document):
    """The complete examples: general and flattened, with signatures that are good (A.2, A.3)."""
    for alg, jwk in [("RS256", A2_KEY), ("ES256", A3_KEY)]:
        assert "malformed" == refused(document, alg, jwk)


def test_a_6_json_serialization_is_refused():
    """The JSON serializations are no tokens (section 7.2)."""
    assert reason(f'{{"payload":"{PAYLOAD}","protected":"e30","signature":"AA"}}') == "malformed"


def test_2_base64url_of_appendix_c():
    """The octets 3 236 255 224 193 are "A-z_4ME" and back."""
    octets = bytes([3, 236, 255, 224, 193])
    assert _jose.encode(octets) == "A-z_4ME"
    assert _jose.decode(b"A-z_4ME") == octets


@pytest.mark.parametrize("text", [b"A-z_4ME=", b"A+z/4ME", b"A-z_ 4ME", b"A-z_4MF", b"A", b"A-z_4"])
def test_2_base64url_has_one_spelling(text):
    """Padding, the other alphabet, white space and spare bits are refused."""
    with pytest.raises(ValueError, match=r".*"):
        _jose.decode(text)


@pytest.mark.parametrize("length", range(8))
def test_2_base64url_of_every_length(length):
    """Every remainder decodes to what was encoded."""
    data = bytes(range(250, 250 + length % 6)) + bytes(length - length % 6)
    assert _jose.decode(_jose.encode(data).encode()) == data


def test_4_duplicate_header_names_are_refused():
    """A header member that is there twice is refused."""
    assert reason(header(b'{"alg":"HS256","alg":"RS256"}')) == "malformed"


def test_4_1_1_alg_is_required_and_case_sensitive():
    """No ``alg``, or one in another case, is refused."""
    assert reason(header(b"{}")) == "algorithm"
    assert reason(header(b'{"alg":"hs256"}')) == "algorithm"


@pytest.mark.parametrize("member", ["jku", "jwk", "x5u", "x5c", "x5t", "typ", "cty", "unknown"])
def test_4_1_2_to_4_1_10_members_that_mean_nothing_here_are_ignored(member):
    """Keys in the header are not used, and members that are not understood are ignored."""
    text = f'{{"alg":"HS256","{member}":"https://attacker.example"}}'
    assert _jose.parse(header(text.encode())).kid is None


@pytest.mark.parametrize(
    "crit",
    ["[]", '["exp"]', '["b64"]', '["alg"]', "null", '"exp"', "{}", '["http://example.com/UNDEFINED"]'],
)  # fmt: skip
def test_4_1_11_crit_is_refused(crit):
    """An extension that is critical, empty or malformed is refused: none is understood."""
    assert reason(header(f'{{"alg":"HS256","crit":{crit},"exp":1}}'.encode())) == "critical_header"


def test_e_negative_case_for_crit():
    """The example of appendix E is refused."""
    token = (
        "eyJhbGciOiJub25lIiwNCiAiY3JpdCI6WyJodHRwOi8vZXhhbXBsZS5jb20vVU5ERU"
        "ZJTkVEIl0sDQogImh0dHA6Ly9leGFtcGxlLmNvbS9VTkRFRklORUQiOnRydWUNCn0.RkFJTA."
    )
    with pytest.raises(InvalidToken):
        _jose.parse(token)


def test_f_detached_content_is_refused():
    """A token without its payload is no token."""
    first, _, third = A1.split(".")
    assert reason(f"{first}..{third}") == "malformed"
