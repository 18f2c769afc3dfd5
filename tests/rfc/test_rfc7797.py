"""RFC 7797, JWS Unencoded Payload Option: refused in every form."""

from __future__ import annotations

import pytest

from tokenward import _jose
from tokenward.errors import InvalidToken

HEADER = "eyJhbGciOiJIUzI1NiIsImI2NCI6ZmFsc2UsImNyaXQiOlsiYjY0Il19"
SIGNATURE = "A5dxf2s96_n5FLueVuW1Z_vh161FwXZC4YLPff6dmDY"


def reason(token):
    with pytest.raises(InvalidToken) as caught:
        _jose.parse(token)
    return caught.value.reason


def test_4_2_the_example_is_refused():
    """Detached and unencoded, as in the RFC."""
    assert reason(f"{HEADER}..{SIGNATURE}") == "critical_header"


def test_5_2_an_unencoded_payload_is_refused():
    """A payload that is not base64url is refused, under this header and under any other."""
    assert reason(f'{HEADER}.{{"sub":"alice"}}.{SIGNATURE}') == "critical_header"
    plain = _jose.encode(b'{"alg":"HS256"}')
    assert reason(f'{plain}.{{"sub":"alice"}}.{SIGNATURE}') == "malformed"


def test_6_crit_with_b64_is_refused():
    """An encoded payload under the option would be signed otherwise than it reads."""
    assert reason(f"{HEADER}.e30.{SIGNATURE}") == "critical_header"


@pytest.mark.parametrize("value", ["false", "true", "null", '"false"', "0"])
def test_6_b64_without_crit_is_refused(value):
    """The member without its ``crit`` is refused whatever it says."""
    header = _jose.encode(f'{{"alg":"HS256","b64":{value}}}'.encode())
    assert reason(f"{header}.e30.{SIGNATURE}") == "critical_header"
