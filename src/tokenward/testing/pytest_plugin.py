"""Fixtures for pytest, found by its entry point.

Importing it imports nothing else of tokenward, and no framework, before a fixture is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tokenward import testing

if TYPE_CHECKING:
    from tokenward.testing.fake_server import FakeAuthorizationServer
    from tokenward.testing.signin import Login


@pytest.fixture
def fake_issuer() -> Iterator[FakeAuthorizationServer]:
    """Run an authorization server on a loopback port for the length of a test."""
    with testing.FakeAuthorizationServer() as server:
        yield server


@pytest.fixture
def make_token(fake_issuer: FakeAuthorizationServer) -> Callable[..., str]:
    """Return a function that makes a token of ``fake_issuer`` from claims."""
    token: Callable[..., str] = fake_issuer.token
    return token


@pytest.fixture
def login_as() -> Iterator[Callable[..., Login]]:
    """Return `tokenward.testing.login_as`; its logins are undone when the test ends."""
    logins: list[Login] = []

    def login(target: Any, subject_or_principal: Any, **granted: Any) -> Login:
        logins.append(testing.login_as(target, subject_or_principal, **granted))
        return logins[-1]

    yield login
    for done in reversed(logins):
        done.undo()
