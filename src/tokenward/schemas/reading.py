"""How strictly a model reads, and the one way in for what others send us."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from tokenward.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails


class Read(BaseModel):
    """What we read back; it may have grown members that this version does not know."""

    # Where a PublicUser is asked for, a User is made into one: it would carry its hash along.
    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        revalidate_instances="subclass-instances",
    )


class Received(BaseModel):
    """What is sent to us."""

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


class Secretive(BaseModel):
    """What holds a password or its hash, and must not leave it in a cache or a queue."""

    def __reduce__(self) -> NoReturn:
        msg = f"a {type(self).__name__} holds a password or its hash and is not pickled"
        raise TypeError(msg)
