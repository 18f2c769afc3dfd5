"""The people in the store: added, listed, changed. Works while registration is closed.

``people`` is where they are kept if that is not the store: a framework has users of its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tokenward._audit import audit
from tokenward._log import shown
from tokenward.commands.setup import lasting_section, service_section
from tokenward.commands.store import opened
from tokenward.config import build_service
from tokenward.errors import InvalidRequest, UserAlreadyExists, UserNotFound

if TYPE_CHECKING:
    from tokenward.config import Settings
    from tokenward.config.settings import ServiceSection
    from tokenward.repositories import UserRepository
    from tokenward.schemas import PublicUser, User

_PAGE = 500


def add(
    settings: Settings,
    username: str,
    *,
    email: str,
    password: str,
    roles: Iterable[str] = (),
    if_missing: bool = False,
    people: UserRepository | None = None,
) -> tuple[PublicUser, bool]:
    """Add a user.

    Args:
        settings: The configuration, with a ``service`` section.
        username: A name that nobody has.
        email: An address that nobody has.
        password: As the service's policy wants it.
        roles: What the user is.
        if_missing: Leave a user of this name alone; otherwise that is an error.
        people: Instead of the store's.

    Returns:
        The user, and whether they were added now.

    Raises:
        ConfigurationError: The store or its keys are missing or unusable.
        InvalidRequest: An argument is not what a user may have.
        UserAlreadyExists: The name or the address is taken.
        AuthServiceUnavailable: The store is busy or down.
    """
    _lasting(settings, people)
    service = build_service(settings, users=people)
    try:
        user = service.create_user(username, email=email, password=password, roles=roles)
    except UserAlreadyExists:
        existing = service.users.get_by_username(username) if if_missing else None
        if existing is None:
            raise
        return existing.public(), False
    return user, True


def active(settings: Settings, *, people: UserRepository | None = None) -> tuple[list[User], int]:
    """Return the active users in the order of their registration, and how many are not active.

    Raises:
        ConfigurationError: The store is missing or unusable.
        AuthServiceUnavailable: It is busy or down.
    """
    with _kept(settings, people) as kept:
        found = list(_all_active(kept))
        return found, max(0, kept.count() - len(found))


def roles(
    settings: Settings, username: str, *, people: UserRepository | None = None
) -> tuple[str, ...]:
    """Return a user's roles.

    Raises:
        UserNotFound: There is no such user.
        ConfigurationError: The store is missing or unusable.
        AuthServiceUnavailable: It is busy or down.
    """
    with _kept(settings, people) as kept:
        return _user(kept, username).roles


def set_roles(
    settings: Settings,
    username: str,
    roles: Iterable[str],
    *,
    people: UserRepository | None = None,
) -> None:
    """Replace a user's roles; the tokens they have end.

    Raises:
        UserNotFound: There is no such user.
        InvalidRequest: A role is not a short, printable string.
        ConfigurationError: The store is missing or unusable.
        AuthServiceUnavailable: It is busy or down.
    """
    with _changing(settings, username, "role_changed", people) as kept:
        kept.set_roles(username, roles)


def deactivate(settings: Settings, username: str, *, people: UserRepository | None = None) -> None:
    """Close a user's account; the tokens they have end.

    Raises:
        UserNotFound: There is no such user.
        ConfigurationError: The store is missing or unusable.
        AuthServiceUnavailable: It is busy or down.
    """
    with _changing(settings, username, "user_disabled", people) as kept:
        kept.set_active(username, active=False)


def reactivate(settings: Settings, username: str, *, people: UserRepository | None = None) -> None:
    """Open a user's account again; they have to log in anew.

    Raises:
        UserNotFound: There is no such user.
        ConfigurationError: The store is missing or unusable.
        AuthServiceUnavailable: It is busy or down.
    """
    with _kept(settings, people) as kept:
        kept.set_active(username, active=True)


def set_password(
    settings: Settings, username: str, password: str, *, people: UserRepository | None = None
) -> None:
    """Replace a user's password; the tokens they have end.

    Raises:
        UserNotFound: There is no such user.
        InvalidRequest: The password is not as the service's policy wants it.
        ConfigurationError: The store is missing or unusable.
        AuthServiceUnavailable: It is busy or down.
    """
    minimum = _lasting(settings, people).password.min_length
    if len(password) < minimum:
        raise InvalidRequest({"password": f"must have at least {minimum} characters"})
    with _changing(settings, username, "password_changed", people) as kept:
        kept.set_password(username, password)


def _lasting(settings: Settings, people: UserRepository | None) -> ServiceSection:
    return lasting_section(settings) if people is None else service_section(settings)


@contextmanager
def _kept(settings: Settings, people: UserRepository | None) -> Iterator[UserRepository]:
    if people is not None:
        yield people
        return
    with opened(settings) as repositories:
        yield repositories.users


@contextmanager
def _changing(
    settings: Settings, username: str, event: str, people: UserRepository | None
) -> Iterator[UserRepository]:
    with _kept(settings, people) as kept:
        subject = _user(kept, username).id
        yield kept
    audit(event, time.time(), subject=subject, username=username)


def _user(users: UserRepository, username: str) -> User:
    user = users.get_by_username(username)
    if user is None:
        raise UserNotFound(f"there is no user named {shown(username)}")
    return user


def _all_active(users: UserRepository) -> Iterator[User]:
    skip = 0
    while page := users.get_active_users(skip, _PAGE):
        yield from page
        skip += len(page)
