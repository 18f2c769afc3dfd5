"""The models that cross a wire or a store.

What is sent to us is read strictly and unknown members are refused; what we read back from an
issuer or a store may grow members that this version does not know. A password or a hash is in
no ``repr``, dump or validation error.
"""

from __future__ import annotations

import unicodedata
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    EmailStr,
    Field,
    ValidationError,
    model_serializer,
)

from tokenward.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

MAX_USERNAME_CHARACTERS = 150
MAX_PASSWORD_BYTES = 1_024
MIN_PASSWORD_CHARACTERS = 6

_REFUSED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"})


def canonical_key(name: str) -> str:
    """Return the key under which a username or an e-mail address is unique.

    ``strip``, NFKC, ``casefold``, NFKC: names that a reader takes for the same have the same key.

    Raises:
        ValueError: The name is empty or too long, or holds white space inside, or a control,
            format, surrogate, private or unassigned character.
    """
    key = unicodedata.normalize("NFKC", name.strip())
    key = unicodedata.normalize("NFKC", key.casefold())
    for text in (name.strip(), key):
        if not text:
            msg = "must not be empty"
            raise ValueError(msg)
        if len(text) > MAX_USERNAME_CHARACTERS * 2:
            msg = "is too long"
            raise ValueError(msg)
        if any(c.isspace() or unicodedata.category(c) in _REFUSED_CATEGORIES for c in text):
            msg = "must not hold white space, control or unassigned characters"
            raise ValueError(msg)
    return key


def _username(name: str) -> str:
    name = name.strip()
    if len(name) > MAX_USERNAME_CHARACTERS:
        msg = f"must have at most {MAX_USERNAME_CHARACTERS} characters"
        raise ValueError(msg)
    canonical_key(name)
    return name


def _bare_address(address: object) -> object:
    # email-validator would also take "Name <addr>"; an address is an addr-spec and nothing else.
    if isinstance(address, str) and any(c in address for c in '<>"(), \t\r\n'):
        msg = "must be a bare e-mail address"
        raise ValueError(msg)
    return address


def _registered_password(password: str) -> str:
    if len(password) < MIN_PASSWORD_CHARACTERS:
        msg = f"must have at least {MIN_PASSWORD_CHARACTERS} characters"
        raise ValueError(msg)
    return _presented_password(password)


def _presented_password(password: str) -> str:
    # Login never applies the registration policy: only what bounds the work of a hash.
    try:
        size = len(password.encode("utf-8"))
    except UnicodeEncodeError:
        size = 0
    if not 1 <= size <= MAX_PASSWORD_BYTES:
        msg = f"must have 1 to {MAX_PASSWORD_BYTES} bytes"
        raise ValueError(msg)
    return password


Username = Annotated[str, AfterValidator(_username)]
Email = Annotated[EmailStr, BeforeValidator(_bare_address)]


class _Read(BaseModel):
    # Where a PublicUser is asked for, a User is made into one: it would carry its hash along.
    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        revalidate_instances="subclass-instances",
    )


class _Received(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


Model = TypeVar("Model", bound=BaseModel)

# What a caller is told, by pydantic's error type. Pydantic's own texts may quote the input.
_MESSAGES = {
    "missing": "is required",
    "string_type": "must be a string",
    "string_unicode": "must be valid Unicode",
    "string_too_long": "is too long",
}


def read_members(model: type[Model], members: Mapping[str, object]) -> Model:
    """Return ``members`` as ``model``: the one way in for what others send us.

    Raises:
        InvalidRequest: With a sentence of ours for each field that is wrong, and under ``_`` for
            members that the model does not have; no input and no unknown name is repeated.
    """
    try:
        return model.model_validate(members)
    except ValidationError as error:
        fields = dict(_message(model, e) for e in error.errors(include_url=False))
    # Raised here and not above: as its context, pydantic's error would carry the input along.
    raise InvalidRequest(fields, "the members are not what the request asks for")


def _message(model: type[BaseModel], error: ErrorDetails) -> tuple[str, str]:
    name = str(error["loc"][0]) if error["loc"] else "_"
    if name not in model.model_fields:
        return "_", "unknown members are refused"
    # A plain ValueError is one of this module's validators speaking; others quote the input.
    cause = error.get("ctx", {}).get("error")
    if type(cause) is ValueError:
        return name, str(cause)
    if name == "email" and error["type"] == "value_error":
        return name, "must be a valid e-mail address"
    return name, _MESSAGES.get(error["type"], "is not valid")


class _Secretive(BaseModel):
    """What holds a password or its hash, and must not leave it in a cache or a queue."""

    def __reduce__(self) -> NoReturn:
        msg = f"a {type(self).__name__} holds a password or its hash and is not pickled"
        raise TypeError(msg)


class IdentityMixin(BaseModel):
    """A username and an e-mail address."""

    username: Username
    email: Email


class PasswordMixin(_Secretive):
    """A new password: 6 characters to 1,024 UTF-8 bytes."""

    password: Annotated[str, AfterValidator(_registered_password)] = Field(repr=False, exclude=True)


class ActiveStateMixin(BaseModel):
    """Whether the account may be used."""

    is_active: bool = True


class RegisterRequest(PasswordMixin, IdentityMixin, _Received):
    """A new account."""


class LoginRequest(_Secretive, _Received):
    """A username and a password of 1 to 1,024 UTF-8 bytes."""

    username: str = Field(max_length=MAX_USERNAME_CHARACTERS * 2)
    password: Annotated[str, AfterValidator(_presented_password)] = Field(repr=False, exclude=True)


class LogoutRequest(_Received):
    """What a logout may carry beside the bearer token."""

    refresh_token: str | None = Field(default=None, repr=False)


class IntrospectRequest(_Received):
    """A token to introspect (RFC 7662, section 2.1)."""

    token: str = Field(repr=False)


class PublicUser(ActiveStateMixin, _Read):
    """A user as others may see them.

    ``id`` is the immutable, random identifier that our tokens carry as ``sub``.
    """

    id: str = ""
    username: str
    email: str | None = None
    email_verified: bool = False
    roles: tuple[str, ...] = ()


class User(_Secretive, PublicUser):
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


class LoginResponse(_Read):
    """A successful login (RFC 6749, section 5.1); ``expires_in`` in seconds."""

    access_token: str = Field(repr=False)
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - a token type, not a secret
    expires_in: int
    refresh_token: str | None = Field(default=None, repr=False)
    user: PublicUser | None = None


class LogoutResponse(_Read):
    """A successful logout."""

    message: str = "Logged out."


class IntrospectResponse(_Read):
    """The state of a token (RFC 7662, section 2.2); an inactive one says nothing else."""

    active: bool
    user: PublicUser | None = None
    scope: str | None = None
    client_id: str | None = None
    username: str | None = None
    token_type: str | None = None
    exp: int | None = None
    iat: int | None = None
    nbf: int | None = None
    sub: str | None = None
    aud: str | list[str] | None = None
    iss: str | None = None
    jti: str | None = None
    roles: list[str] | None = None
    sid: str | None = None
    email: str | None = None
    email_verified: bool | None = None

    @model_serializer(mode="wrap")
    def _present_members_only(self, handler: Any) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value is not None}


class TokenPayload(_Read):
    """The claims of an access token we issued (RFC 9068, section 2.2); times in epoch seconds."""

    sub: str
    exp: int
    iat: int
    iss: str | None = None
    aud: str | list[str] | None = None
    jti: str
    client_id: str | None = None
    scope: str | None = None
    roles: tuple[str, ...] = ()
    sid: str | None = None
    ver: int | None = None
