"""A rate is read as it is written, or not at all."""

import pytest

from tokenward.throttle.rates import Rate


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5/second", (5, 1)),
        ("5/minute", (5, 60)),
        ("10/5minutes", (10, 300)),
        ("100/hour", (100, 3_600)),
        ("7/2hours", (7, 7_200)),
        ("1/day", (1, 86_400)),
        ("9999999/9999days", (9_999_999, 9_999 * 86_400)),
    ],
)
def test_a_rate_is_read(text, expected):
    """So many in so many seconds."""
    assert expected == Rate.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "5", "5/", "/minute", "0/minute", "05/minute", "-1/minute", "5/0minutes", "1.5/hour"),
        *("5 / minute", "5/minute ", "5/minute\n", "5/month", "5 per minute", "5/Minute"),
        *("10000000/minute", "5/10000seconds", "\u0665/minute"),
    ],
)
def test_anything_else_is_none(text):
    """The message says what is one."""
    with pytest.raises(ValueError, match="COUNT/PERIOD"):
        Rate.parse(text)
