"""A place in a request with the verifier of what is there, and who that turned out to be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tokenward.errors import ConfigurationError

if TYPE_CHECKING:
    from tokenward.authenticator.sources import Source
    from tokenward.principal import Principal
    from tokenward.protocols import TokenVerifier


@dataclass(frozen=True, slots=True)
class Credential:
    """A place in a request, and who verifies what is presented there.

    Args:
        source: `authorization`, `header` or `cookie`.
        verifier: Decides; several at one place are joined by `ByIssuer`.
        ambient: Whether a browser or a proxy attaches it by itself, so that unsafe methods need
            proof against cross-site requests. Left out: what the source says. Cookies and
            ``Cf-Access-Jwt-Assertion`` always are.

    Raises:
        ConfigurationError: ``ambient=False`` for a source that always is.
    """

    source: Source
    verifier: TokenVerifier = field(repr=False)
    ambient: bool = field(default=None, kw_only=True)  # type: ignore[assignment] # set below

    def __post_init__(self) -> None:
        declared: bool | None = self.ambient
        if declared is None:
            object.__setattr__(self, "ambient", self.source.ambient)
        elif not declared and not self.source.declarable:
            raise ConfigurationError(
                f"What comes in {self.source.place} is attached by browsers or proxies on their "
                "own; remove ambient=False."
            )


@dataclass(frozen=True, slots=True)
class Authentication:
    """Who asks, and by which credential we know."""

    principal: Principal
    credential: Credential

    # One a request: as a frozen class makes it, by two calls more, it takes three times as long.
    def __init__(self, principal: Principal, credential: Credential) -> None:
        _set_principal(self, principal)
        _set_credential(self, credential)


_slots: Any = Authentication
_set_principal, _set_credential = _slots.principal.__set__, _slots.credential.__set__
