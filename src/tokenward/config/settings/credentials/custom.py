"""Entries of type ``custom``, and of the service's own tokens."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from tokenward.config.settings.credentials.placed import PlacedEntry, VerifyingSection
from tokenward.config.settings.fields import WrittenIssuer, dotted, plain


def _is_a_path(factory: str) -> str:
    if dotted(factory) is None:
        msg = f"{factory!r} is not MODULE:NAME; write one such as 'myapp.auth:make_verifier'"
        raise ValueError(msg)
    return factory


class LocalEntry(PlacedEntry, VerifyingSection):
    """Tokens of the ``service`` section, checked in the same process and store."""

    type: Literal["local"]


class CustomEntry(PlacedEntry):
    """Tokens that a verifier of your own decides about; see `TokenVerifier`."""

    type: Literal["custom"]
    factory: Annotated[str, AfterValidator(_is_a_path)]
    options: Annotated[dict[str, Any], BeforeValidator(plain)] = Field(
        default_factory=dict, repr=False
    )
    issuer: WrittenIssuer = None
