"""What `rotate` returns, by the names that its contract uses."""

from tokenward import repositories
from tokenward.repositories import REUSED, ROTATED, UNKNOWN, Rotation


def test_each_outcome_of_a_rotation_has_a_name_of_its_own():
    """They are the members of the enumeration, and all of them."""
    assert tuple(Rotation) == (ROTATED, REUSED, UNKNOWN)
    assert {"ROTATED", "REUSED", "UNKNOWN"} <= set(repositories.__all__)
