"""People: as others may see them, and as a store keeps them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from tokenward.schemas.names import Email, Username, registered_password
from tokenward.schemas.reading import Read, Secretive

NewPassword = Annotated[str, AfterValidator(registered_password)]
"""6 characters to 1,024 UTF-8 bytes."""


class IdentityMixin(BaseModel):
    """A username and an e-mail address."""

    username: Username
    email: Email


class PasswordMixin(Secretive):
    """A new password: 6 characters to 1,024 UTF-8 bytes."""

    password: NewPassword = Field(repr=False, exclude=True)


class ActiveStateMixin(BaseModel):
    """Whether the account may be used."""

    is_active: bool = True


class PublicUser(ActiveStateMixin, Read):
    """A user as others may see them.

    ``id`` is the immutable, random identifier that our tokens carry as ``sub``.
    """

    id: str = ""
    username: str
    email: str | None = None
    email_verified: bool = False
    roles: tuple[str, ...] = ()


class User(Secretive, PublicUser):
    """A user as a store keeps them; ``hashed_password`` is in no ``repr`` and no dump.

    ``token_version`` rises when every token issued so far must end.
    """

    hashed_password: str | None = Field(default=None, repr=False, exclude=True)
    created_at: datetime
    updated_at: datetime
    token_version: int = 0

    def public(self) -> PublicUser:
        """Return the part that others may see, as a real `PublicUser`."""
        return PublicUser.model_validate(self, from_attributes=True)
