"""Tokens: issued for somebody, asked about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tokenward._log import shown
from tokenward.commands.setup import lasting_section
from tokenward.commands.store import serving
from tokenward.config import Shared
from tokenward.config.build.asked import introspection_verifier
from tokenward.config.settings import IntrospectionEntry
from tokenward.errors import ConfigurationError, UserNotFound
from tokenward.principal import thaw

if TYPE_CHECKING:
    from tokenward.config import Settings


def issue(settings: Settings, username: str, *, lifetime: int | None = None) -> str:
    """Return an access token for a user, by an operator's word.

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
        # No session belongs to such a token, and none need be longer than it.
        lifetimes = {"access_token_lifetime": lifetime, "refresh_token_lifetime": 0}
        section = section.model_copy(update=lifetimes)
        settings = settings.model_copy(update={"service": section})
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
