"""What holds a lock, a thread or a socket is made anew in a forked child.

A lock that another thread held at the moment of ``fork()`` stays locked for ever in the child,
and a socket would be shared by two processes. Objects register here; only the child pays.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forkable(Protocol):
    """Something that can throw away what must not cross a fork."""

    def after_fork(self) -> None:
        """Replace locks, threads and sockets. Runs in the child, before any other code."""


_registered: weakref.WeakSet[Forkable] = weakref.WeakSet()


def register(thing: Forkable) -> None:
    """Have ``thing.after_fork()`` called in every forked child for as long as ``thing`` lives."""
    _registered.add(thing)


def _after_fork_in_child() -> None:
    for thing in list(_registered):
        thing.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
