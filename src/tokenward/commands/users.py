"""The people in the store: added, listed, changed. Works while registration is closed.

``people`` is where they are kept if that is not the store: a framework has users of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tokenward._log import shown
from tokenward.commands.store import opened, serving
from tokenward.errors import UserAlreadyExists, UserNotFound

if TYPE_CHECKING:
    from tokenward.config import Settings
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
    with serving(settings, people=people) as service:
        # Looked at first: a password that the policy has come to refuse is no reason to fail.
        existing = service.users.get_by_username(username) if if_missing else None
        if existing is not None:
            return existing.public(), False
        try:
            user = service.create_user(username, email=email, password=password, roles=roles)
        except UserAlreadyExists:
            # Another process may have been quicker.
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
    """Replace a user's roles; their sessions and tokens end.

    Raises:
        UserNotFound: There is no such user.
        InvalidRequest: A role is not a short, printable string.
        ConfigurationError: The store or its keys are missing or unusable.
        AuthServiceUnavailable: It is busy or down.
    """
    with serving(settings, people=people) as service:
        service.set_roles(username, roles)


def deactivate(settings: Settings, username: str, *, people: UserRepository | None = None) -> None:
    """Close a user's account; their sessions and tokens end.

    Raises:
        UserNotFound: There is no such user.
        ConfigurationError: The store or its keys are missing or unusable.
        AuthServiceUnavailable: It is busy or down.
    """
    with serving(settings, people=people) as service:
        service.deactivate_user(username)


def reactivate(settings: Settings, username: str, *, people: UserRepository | None = None) -> None:
    """Open a user's account again; they have to log in anew.

    Raises:
        UserNotFound: There is no such user.
        ConfigurationError: The store or its keys are missing or unusable.
        AuthServiceUnavailable: It is busy or down.
    """
    with serving(settings, people=people) as service:
        service.reactivate_user(username)


def set_password(
    settings: Settings, username: str, password: str, *, people: UserRepository | None = None
) -> None:
    """Replace a user's password; their sessions and tokens end.

    Raises:
        UserNotFound: There is no such user.
        InvalidRequest: The password is not as the service's policy wants it.
        ConfigurationError: The store or its keys are missing or unusable.
        AuthServiceUnavailable: It is busy or down.
    """
    with serving(settings, people=people) as service:
        service.set_password(username, password)


@contextmanager
def _kept(settings: Settings, people: UserRepository | None) -> Iterator[UserRepository]:
    if people is not None:
        yield people
        return
    with opened(settings) as repositories:
        yield repositories.users


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
