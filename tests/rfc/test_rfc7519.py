"""RFC 7519, JSON Web Token: its form, and what an application makes of the examples."""

from __future__ import annotations

import pytest

from tokenward import _jose
from tokenward.errors import InvalidToken
from tokenward.jwks import JWKSVerifier
from tokenward.testing import FakeClock

KEY = {
    "kty": "oct",
    "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
}
PAYLOAD = (
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
)
EXAMPLE = (
    f"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{PAYLOAD}"
    ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)

ENCRYPTED = (
    "eyJhbGciOiJSU0ExXzUiLCJlbmMiOiJBMTI4Q0JDLUhTMjU2In0."
    "QR1Owv2ug2WyPBnbQrRARTeEk9kDO2w8qDcjiHnSJflSdv1iNqhWXaKH4MqAkQtM"
    "oNfABIPJaZm0HaA415sv3aeuBWnD8J-Ui7Ah6cWafs3ZwwFKDFUUsWHSK-IPKxLG"
    "TkND09XyjORj_CHAgOPJ-Sd8ONQRnJvWn_hXV1BNMHzUjPyYwEsRhDhzjAD26ima"
    "sOTsgruobpYGoQcXUwFDn7moXPRfDE8-NoQX7N7ZYMmpUDkR-Cx9obNGwJQ3nM52"
    "YCitxoQVPzjbl7WBuB7AohdBoZOdZ24WlN1lVIeh8v1K4krB8xgKvRU8kgFrEn_a"
    "1rZgN5TiysnmzTROF869lQ."
    "AxY8DCtDaGlsbGljb3RoZQ."
    "MKOle7UQrG6nSxTLX6Mqwt0orbHvAKeWnDYvpIAeZ72deHxz3roJDXQyhxx0wKaM"
    "HDjUEOKIwrtkHthpqEanSBNYHZgmNOV7sln1Eu9g3J8."
    "fiK51VwhsxJ-siBMR-YFiA"
)


def reason(token):
    with pytest.raises(InvalidToken) as caught:
        _jose.parse(token)
    return caught.value.reason


def test_3_1_the_example():
    """The example token verifies and says what the RFC says it says."""
    unverified = _jose.parse(EXAMPLE)
    keys = _jose.KeySet([_jose.key_from_jwk(KEY, allow_symmetric=True)])
    _jose.verify(unverified, keys, algorithms=_jose.check_algorithms(["HS256"]))
    assert unverified.header == {"typ": "JWT", "alg": "HS256"}
    assert unverified.claims == {
        "iss": "joe",
        "exp": 1300819380,
        "http://example.com/is_root": True,
    }


def refused(token, *, alg="HS256"):
    """Return the reason for which a verifier that knows the key refuses a token."""
    verifier = JWKSVerifier(
        "joe",
        audience=None,
        jwks={"keys": [KEY]},
        algorithms=[alg],
        clock=FakeClock(1_300_819_379),
    )
    with pytest.raises(InvalidToken) as caught:
        verifier.verify(token)
    return caught.value.reason


def test_3_1_the_example_as_an_access_token():
    """Issuer, time and signature are good; the claims name nobody whose token it could be."""
    assert "no_subject" == refused(EXAMPLE)


def test_6_1_the_unsecured_example_as_an_access_token():
    """With the key of the signed example, which has the same claims."""
    assert "algorithm" == refused(f"eyJhbGciOiJub25lIn0.{PAYLOAD}.")


def test_a_1_the_encrypted_example_is_refused():
    """Five segments: a JWE (appendix A.1), as an access token too."""
    assert "malformed" == reason(ENCRYPTED)
    assert "malformed" == refused(ENCRYPTED)


def test_6_1_the_unsecured_example_is_refused():
    """An unsecured token is refused, its empty signature and its ``alg`` each alone too."""
    assert reason(f"eyJhbGciOiJub25lIn0.{PAYLOAD}.") == "algorithm"
    assert reason(f"eyJhbGciOiJub25lIn0.{PAYLOAD}.AA") == "algorithm"
    assert reason(EXAMPLE.rpartition(".")[0] + ".") == "malformed"


def test_7_2_a_token_has_a_period():
    """Step 1: something without a period is no JWT."""
    assert reason("e30") == "malformed"


@pytest.mark.parametrize("header", [b"", b"[]", b"null", b'"x"', b'{"alg":"HS256"', b"\xff"])
def test_7_2_the_header_is_a_json_object(header):
    """Steps 3 and 4: UTF-8, JSON, an object."""
    assert reason(f"{_jose.encode(header)}.e30.AA") == "malformed"


def test_7_2_an_encrypted_token_is_refused():
    """Step 6: five segments are a JWE, which nobody asked for."""
    assert reason("eyJhbGciOiJSU0ExXzUiLCJlbmMiOiJBMTI4Q0JDLUhTMjU2In0.AA.AA.AA.AA") == "malformed"


def test_7_2_a_nested_token_is_refused():
    """Step 8: a token whose payload is another token has no claims."""
    header = _jose.encode(b'{"alg":"HS256","cty":"JWT"}')
    assert reason(f"{header}.{_jose.encode(EXAMPLE.encode())}.AA") == "malformed"


@pytest.mark.parametrize("payload", [b"", b"[]", b"null", b"1", b'"x"', b"{", b"{}{}", b"\xff"])
def test_7_2_the_claims_are_a_json_object(payload):
    """Step 10: UTF-8, JSON, an object."""
    header = _jose.encode(b'{"alg":"HS256"}')
    assert reason(f"{header}.{_jose.encode(payload)}.AA") == "malformed"


def test_4_duplicate_claims_are_refused():
    """A claim that is there twice is refused, not the last one taken."""
    header = _jose.encode(b'{"alg":"HS256"}')
    payload = _jose.encode(b'{"sub":"alice","sub":"admin"}')
    assert reason(f"{header}.{payload}.AA") == "malformed"
