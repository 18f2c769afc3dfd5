"""Field types that more than one section of the settings uses."""

from __future__ import annotations

import difflib
import os
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)

from tokenward._secrets import check_secret

# Strict: True is no number of seconds, and "60" one that was quoted by mistake.
PositiveSeconds = Annotated[float, Field(gt=0, strict=True)]
Seconds = Annotated[float, Field(ge=0, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]
CountOrNone = Annotated[int, Field(ge=0, strict=True)]


class Section(BaseModel):
    """A mapping of settings: frozen; a key it does not know is an error, naming the nearest."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        allow_inf_nan=False,
        # An import makes no validators; the first settings that are read make those they need.
        defer_build=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _name_the_nearest(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        for key in data:
            if key not in cls.model_fields:
                raise ValueError(_not_a_setting(key, cls.model_fields))
        return dict(data)

    def __reduce__(self) -> NoReturn:
        msg = "settings hold secrets and are not pickled: read them in each process"
        raise TypeError(msg)


def says(tag: str) -> BeforeValidator:
    """Have a mapping that does not say ``tag`` refused with the key that is meant for it."""

    def check(value: Any) -> Any:
        if isinstance(value, Mapping) and tag not in value:
            for key in value:
                if difflib.get_close_matches(str(key), [tag], cutoff=0.6):
                    raise ValueError(_not_a_setting(key, [tag]))
            msg = f"does not say its {tag!r}"
            raise ValueError(msg)
        return value

    return BeforeValidator(check)


def _not_a_setting(key: object, known: Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(str(key), names, n=1, cutoff=0.6)
    # A name that is cut short is far from the whole.
    longer = [name for name in names if f"_{key}_" in f"_{name}_" or name.startswith(str(key))]
    if not near and len(longer) == 1:
        near = longer
    advice = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(names)}"
    return f"{key!r} is not a setting; {advice}"


def _read_secret(value: Any) -> Any:
    if isinstance(value, Mapping):
        if len(value) != 1 or next(iter(value)) not in {"env", "file"}:
            msg = 'a secret is a string, {"env": NAME} or {"file": PATH}'
            raise ValueError(msg)
        kind, where = next(iter(value.items()))
        value = _from_env(str(where)) if kind == "env" else _from_file(str(where))
    if isinstance(value, str) and not value:
        msg = "the secret is empty"
        raise ValueError(msg)
    return value


def _from_env(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        msg = f"the environment variable {name} is not set, or empty; set it to the secret"
        raise ValueError(msg)
    return value


def _from_file(path: str) -> str:
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError, ValueError):
        msg = f"the secret file {path} cannot be read; make it, readable by this user"
        raise ValueError(msg) from None
    return text.rstrip("\r\n")


def _keep_to_the_owner(value: Any) -> Any:
    if isinstance(value, Mapping) and isinstance(value.get("file"), str):
        _check_mode(value["file"], "secret file")
    return value


def _keep_the_key_to_the_owner(path: str) -> str:
    _check_mode(path, "private key file")
    return path


def _check_mode(path: str, what: str) -> None:
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError):
        return  # reading it says what is wrong
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        msg = f"the {what} {path} is open to other users; run: chmod 600 {path}"
        raise ValueError(msg)


def none_in_toml(value: Any) -> Any:
    """Return ``None`` for false, which is how TOML writes it."""
    # TOML has no null; false is no name, so nothing is turned off by accident.
    return None if value is False else value


def plain(value: Any) -> Any:
    """Return a copy of what a mapping holds, in lists and dictionaries of its own."""
    if isinstance(value, Mapping):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(plain, value)) if type(value) in (list, tuple) else list(value)
    return value


def _list_of_one(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _are_strong(secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    for position, secret in enumerate(secrets, 1):
        check_secret(secret.get_secret_value(), what=f"secret {position}")
    return secrets


Secret = Annotated[SecretStr, BeforeValidator(_read_secret)]
"""A literal, ``{"env": NAME}`` or ``{"file": PATH}``; read when the settings are."""

OwnSecret = Annotated[Secret, BeforeValidator(_keep_to_the_owner)]
"""A `Secret` whose file, if it is one, nobody else may read: it opens what is sealed, or signs."""

OwnKeyFile = Annotated[str, AfterValidator(_keep_the_key_to_the_owner)]
"""The path of a private key that nobody else may read."""

SealingSecrets = Annotated[tuple[OwnSecret, ...], AfterValidator(_are_strong)]
"""What values are sealed under, newest first: the first seals, each opens."""


class SecretURLStr(SecretStr):
    """A URL that may hold a password."""

    @property
    def hides_something(self) -> bool:
        """Whether it does."""
        return "@" in self.get_secret_value() and not self.startswith("sqlite:")

    def startswith(self, scheme: str) -> bool:
        """Whether it is of this kind, which is no secret."""
        return self.get_secret_value().startswith(scheme)


SecretURL = Annotated[SecretURLStr, BeforeValidator(_read_secret)]
"""A `Secret` that is worth hiding only if there is a password in it."""

LIST_OF_ONE = BeforeValidator(_list_of_one)
"""Takes one string where several may stand."""

Names = Annotated[tuple[str, ...], LIST_OF_ONE]
"""A string, or a sequence of strings."""

SomeNames = Annotated[
    Annotated[tuple[str, ...], Field(min_length=1)], BeforeValidator(_list_of_one)
]
"""A string, or a sequence of at least one."""

Audience = Annotated[SomeNames | None, BeforeValidator(none_in_toml)]
"""A string, a sequence of strings, or ``None`` written out (in TOML: ``false``)."""

WrittenIssuer = Annotated[Annotated[str, Field(min_length=1)] | None, BeforeValidator(none_in_toml)]
"""Whose tokens are taken; ``None`` written out (in TOML: ``false``): anybody's."""

dotted = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*").fullmatch
"""Matches ``MODULE:NAME``; the name may be a dotted path."""


def _is_dotted(path: str) -> str:
    if dotted(path) is None:
        msg = f"{path!r} is not MODULE:NAME; write both, as in myapp.auth:deliver"
        raise ValueError(msg)
    return path


Dotted = Annotated[str, AfterValidator(_is_dotted)]
"""``MODULE:NAME`` of something to import."""

Flag = Annotated[bool, Field(strict=True)]
"""``True`` or ``False``, and nothing that is like one of them."""

VerifyTLS = Flag | str
"""``True``, the path of a CA bundle, or ``False``."""


def one_line(path: Sequence[object], message: str) -> str:
    """Return ``message`` behind the dotted path of the setting it is about."""
    setting = setting_at(path)
    return f"{setting}: {message}" if setting else message


def setting_at(path: Sequence[object]) -> str:
    """Return the dotted path of a setting."""
    setting = ""
    for part in path:
        setting += f"[{part}]" if isinstance(part, int) else f".{part}" if setting else str(part)
    return setting
