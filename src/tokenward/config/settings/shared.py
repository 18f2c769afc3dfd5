"""What every verifier and the service share: ``shared_cache``, ``on_event``."""

from __future__ import annotations

import difflib
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator

from tokenward.config.settings.fields import (
    Names,
    PositiveSeconds,
    SealingSecrets,
    SecretURL,
    Section,
    dotted,
)

_SCHEMES = ("redis", "rediss", "unix")

OBSERVERS = ("log", "prometheus")
"""What receives events without being written: `tokenward.observe` has it."""


class SharedCacheSection(Section):
    """A Redis where processes share sealed answers, and tell one another what is revoked."""

    url: SecretURL
    secrets: Annotated[SealingSecrets, Field(min_length=1)]
    timeout: PositiveSeconds = 0.25

    @field_validator("url")
    @classmethod
    def _is_a_redis(cls, url: SecretStr) -> SecretStr:
        try:
            scheme = urlsplit(url.get_secret_value()).scheme
        except ValueError:
            scheme = ""
        if scheme not in _SCHEMES:
            # Without what is written: it may hold a password.
            msg = "write redis://HOST:PORT/0, rediss:// for TLS, or unix:///PATH"
            raise ValueError(msg)
        return url


def _are_observers(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in OBSERVERS and dotted(name) is None:
            near = difflib.get_close_matches(name, OBSERVERS, n=1)
            advice = f"did you mean {near[0]!r}?" if near else "write MODULE:NAME of a function"
            known = ", ".join(repr(known) for known in OBSERVERS)
            msg = f"{name!r} is neither {known} nor MODULE:NAME; {advice}"
            raise ValueError(msg)
    return names


Observers = Annotated[Names, AfterValidator(_are_observers)]
"""``"log"``, ``"prometheus"`` or ``"module:name"`` of a callable; or several."""
