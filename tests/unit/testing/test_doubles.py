"""testing.doubles: the stub verifier and the clock."""

import pytest

from tokenward.errors import InvalidClaim, InvalidToken, TokenExpired
from tokenward.principal import Principal
from tokenward.protocols import CachingVerifier, TokenVerifier
from tokenward.testing import FakeClock, StubVerifier


def test_a_stub_knows_what_it_was_told():
    """A principal, or an error."""
    alice = Principal("alice")
    stub = StubVerifier({"good": alice, "old": TokenExpired("hint")})
    assert stub.verify("good") is alice
    assert stub.cached("good") is alice
    with pytest.raises(TokenExpired) as caught:
        stub.verify("old")
    assert (caught.value.hint, caught.value.reason) == ("hint", "expired")


def test_a_stub_refuses_what_it_was_not_told():
    """As a real verifier would."""
    with pytest.raises(InvalidToken):
        StubVerifier({}).verify("unknown")


def test_a_stub_raises_a_fresh_error_each_time():
    """Tracebacks of one test must not grow into the next."""
    error = InvalidClaim("aud", "a", "b", reason="audience_mismatch")
    stub = StubVerifier({"t": error})
    raised = []
    for _ in range(2):
        with pytest.raises(InvalidClaim) as caught:
            stub.verify("t")
        raised.append(caught.value)
    assert raised[0] is not raised[1]
    assert error not in raised
    assert {(e.claim, e.expected, e.actual, e.reason) for e in raised} == {
        ("aud", "a", "b", "audience_mismatch")
    }


def test_a_stub_remembers_what_it_was_asked():
    """Refusals and live calls too."""
    stub = StubVerifier({"a": Principal("a")})
    stub.verify("a", live=True)
    with pytest.raises(InvalidToken):
        stub.verify("b")
    assert stub.calls == [("a", True), ("b", False)]


def test_a_stub_is_a_verifier():
    """Of both kinds."""
    assert isinstance(StubVerifier({}), TokenVerifier)
    assert isinstance(StubVerifier({}), CachingVerifier)


def test_a_clock_moves_when_it_is_told():
    """Forwards and backwards, and not by itself."""
    clock = FakeClock(100)
    assert (clock(), clock()) == (100, 100)
    clock.advance(2.5)
    assert clock() == 102.5
    clock.advance(-10)
    assert clock() == 92.5
    clock.now = 7
    assert clock() == 7
