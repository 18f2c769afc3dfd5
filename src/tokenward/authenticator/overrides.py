"""The authenticator in force: an adapter's own, unless a test has put another in its place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenward.authenticator.core import Authenticator


class _Overrides:
    """The authenticators that tests have put in force, the innermost last."""

    # Replaced as a whole, never changed: other threads read it.
    stack: tuple[Authenticator, ...] = ()


_overrides = _Overrides()


def put_in_force() -> Authenticator | None:
    """Return the authenticator that a test has put in force, if one has."""
    return _overrides.stack[-1] if _overrides.stack else None


def in_force(authenticator: Authenticator) -> Authenticator:
    """Return the authenticator an adapter must ask: its own, unless a test has set another."""
    stack = _overrides.stack
    return stack[-1] if stack else authenticator


@contextmanager
def overridden(authenticator: Authenticator) -> Iterator[Authenticator]:
    """Put ``authenticator`` in force in every adapter of this process; for tests."""
    before = _overrides.stack
    _overrides.stack = (*before, authenticator)
    try:
        yield authenticator
    finally:
        _overrides.stack = before
