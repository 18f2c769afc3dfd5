"""Tokens: issued for somebody, asked about."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from tokenward._log import shown
from tokenward.commands.setup import lasting_section
from tokenward.commands.store import serving
from tokenward.config import Shared
from tokenward.config.build.asked import introspection_verifier
from tokenward.config.settings import IntrospectionEntry
from tokenward.errors import ConfigurationError, UserNotFound
from tokenward.keys.rotation import TRAIL_SECONDS
from tokenward.principal import thaw

if TYPE_CHECKING:
    from tokenward.config import Settings

_logger = logging.getLogger("tokenward.keys")


def issue(settings: Settings, username: str, *, lifetime: int | None = None) -> str:
    """Return an access token for a user, by an operator's word.

    A token that is good for longer than any of the service's own ends when the key that signed it
    is not published any more. That is logged.

    Args:
        settings: The configuration, with a ``service`` section.
        username: Whom the token speaks for.
        lifetime: Seconds; ``None``: as long as the service's tokens are good.

    Raises:
        UserNotFound: There is no such user, or they are not active: nobody would take the token.
        ConfigurationError: The store or its keys are missing or unusable.
        AuthServiceUnavailable: The store is busy or down.
    """
    section = lasting_section(settings)
    if lifetime is not None:
        if lifetime > section.longest_lifetime:
            _logger.warning(
                "Rotating the keys may end this token early: its lifetime is %d seconds, and a key "
                "that is replaced is published for %d more.",
                lifetime,
                section.longest_lifetime + TRAIL_SECONDS,
            )
        # No session belongs to such a token, and none need be longer than it. Nor is it what the
        # service's rotations go by.
        once = {
            "access_token_lifetime": lifetime,
            "refresh_token_lifetime": 0,
            "keys": section.keys.model_copy(update={"rotate_every": 0}),
        }
        settings = settings.model_copy(update={"service": section.model_copy(update=once)})
    with serving(settings) as service:
        user = service.users.get_by_username(username)
        if user is None:
            raise UserNotFound(f"there is no user named {shown(username)}")
        if not user.is_active:
            raise UserNotFound(f"the user {shown(username)} is not active", reason="user_inactive")
        return service.issue(user)


def introspect(settings: Settings, token: str) -> dict[str, Any]:
    """Return what the configured introspection endpoint says about a token.

    Without such an endpoint, our own service says it.

    Raises:
        InvalidToken: The token is not one to send.
        ConfigurationError: There is neither an ``introspection`` credential, nor ``live`` of
            another, nor a service.
        AuthServiceUnavailable: The endpoint or the store cannot be asked.
    """
    for entry in settings.credentials:
        asked = entry if isinstance(entry, IntrospectionEntry) else getattr(entry, "live", None)
        if asked is not None:
            client = introspection_verifier(asked, Shared()).client
            answer: dict[str, Any] = thaw(client.introspect(token))
            return answer
    if settings.service is None:
        raise ConfigurationError(
            "The configuration has neither a credential of type 'introspection' nor a section "
            "'service', so there is nobody to ask."
        )
    with serving(settings) as service:
        return service.introspect_token(token).model_dump(mode="json")
