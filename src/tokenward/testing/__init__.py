"""Test doubles for programs that use tokenward.

Nothing here patches anything: the real decorators, rules and translations run, with another
verifier or clock behind them. Names are resolved on first use, so that the pytest plugin costs a
test run that does not use it next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenward.testing.doubles import FakeClock, StubVerifier
    from tokenward.testing.fake_server import FakeAuthorizationServer
    from tokenward.testing.shared import MemoryRevocationBus, MemorySharedCache
    from tokenward.testing.signin import login_as, override_authenticator

__all__ = [
    "FakeAuthorizationServer",
    "FakeClock",
    "MemoryRevocationBus",
    "MemorySharedCache",
    "StubVerifier",
    "login_as",
    "override_authenticator",
]

_HOME_OF = {
    "FakeAuthorizationServer": "tokenward.testing.fake_server",
    "FakeClock": "tokenward.testing.doubles",
    "MemoryRevocationBus": "tokenward.testing.shared",
    "MemorySharedCache": "tokenward.testing.shared",
    "StubVerifier": "tokenward.testing.doubles",
    "login_as": "tokenward.testing.signin",
    "override_authenticator": "tokenward.testing.signin",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        msg = f"module 'tokenward.testing' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
