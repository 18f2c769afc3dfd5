"""What a program hands to `AuthService`: told at once where it cannot be what was meant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tokenward.clients import Client, Clients
from tokenward.errors import ConfigurationError

if TYPE_CHECKING:
    from tokenward.schemas import User

_HOOKS = {
    "claims": "a function of (user) that returns a mapping of more claims",
    "deliver": "a function of (purpose, user, token) that sends the token",
    "on_event": "a function of (event)",
}


def check_hooks(**hooks: object) -> None:
    """Refuse hooks that cannot be called.

    Args:
        hooks: ``claims``, ``deliver``, ``on_event``; ``None``: there is none.

    Raises:
        ConfigurationError: One is neither ``None`` nor callable.
    """
    for name, hook in hooks.items():
        if hook is not None and not callable(hook):
            raise ConfigurationError(f"{name} is {_HOOKS[name]}, or None; not {_typed(hook)}.")


def check_throttle(throttle: object) -> None:
    """Refuse what cannot count attempts.

    Raises:
        ConfigurationError: It is neither ``None`` nor has an ``attempt`` as `LoginThrottle` has.
    """
    if throttle is not None and not callable(getattr(throttle, "attempt", None)):
        raise ConfigurationError(
            f"throttle is a LoginThrottle (`LoginThrottle.open`), or None; not {_typed(throttle)}."
        )


def checked_clients(clients: object) -> list[Client]:
    """Return the clients, each of which is one.

    Raises:
        ConfigurationError: What was given is no iterable of `Client`.
    """
    if isinstance(clients, str | bytes | Mapping) or not isinstance(clients, Iterable):
        raise ConfigurationError(
            f"clients is a list of Client(client_id, client_secret, …); not {_typed(clients)}."
        )
    found = list(clients)
    for at, client in enumerate(found):
        if not isinstance(client, Client):
            raise ConfigurationError(
                f"clients[{at}] is {_typed(client)}; write Client(client_id, client_secret, …)."
            )
    return found


def client_named(clients: Clients, given: object) -> Client:
    """Return the client that a caller means.

    Args:
        clients: Those that are configured.
        given: A `Client`, which is taken as it is; or the ``client_id`` of a configured one.

    Raises:
        ConfigurationError: It is neither.
    """
    if isinstance(given, Client):
        return given
    for client in clients:
        if client.client_id == given:
            return client
    # Not shown: whoever mixes up their arguments may have put a secret here.
    what = "is configured under no such name" if isinstance(given, str) else f"is {_typed(given)}"
    raise ConfigurationError(
        "client is a Client, or the client_id of one of the service's clients; what was given "
        f"{what}."
    )


def claims_said(hook: Callable[[User], Any] | None, user: User) -> dict[str, Any]:
    """Return what the ``claims`` hook says of a user; ``None`` says nothing.

    Raises:
        ConfigurationError: It returned something else than a mapping with names for keys.
    """
    said = None if hook is None else hook(user)
    if said is None:
        return {}
    if not isinstance(said, Mapping) or not all(isinstance(name, str) for name in said):
        raise ConfigurationError(
            "The claims hook returned what is no mapping of names to values "
            f"({_typed(said)}); return a dict, or None for no more claims."
        )
    return dict(said)


def _typed(value: object) -> str:
    # The value itself may be a secret that is in the wrong place.
    return f"something of type {type(value).__name__}"
