"""One look-up under way, for all who want the same."""

from __future__ import annotations

import copy
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from tokenward.errors import AuthServiceUnavailable

if TYPE_CHECKING:
    from tokenward.cache.entry import Entry
    from tokenward.errors import AuthError

V = TypeVar("V")


class Flight(Generic[V]):
    """One look-up under way, which others wait for."""

    __slots__ = ("done", "entry", "error")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.entry: Entry[V] | None = None
        self.error: AuthError | None = None

    def landed(self) -> Entry[V]:
        if self.entry is not None:
            return self.entry
        raise copy.copy(self.error) if self.error is not None else _interrupted()


def _interrupted() -> AuthServiceUnavailable:
    return AuthServiceUnavailable("the look-up was interrupted", reason="interrupted")
