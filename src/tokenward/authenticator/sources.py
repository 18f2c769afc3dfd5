"""Where in a request a credential may be: a header, or a cookie.

A source says what was *presented* there. Whether it is any good is the verifier's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from tokenward.bearer import read_bearer, refuse_query_token
from tokenward.errors import ConfigurationError, InvalidAuthorizationHeader

if TYPE_CHECKING:
    from tokenward.protocols import Headers

# RFC 9110, section 5.6.2: token. Header and cookie names are tokens (RFC 6265, section 4.1.1).
_token = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch

_ALWAYS_AMBIENT = frozenset({"cf-access-jwt-assertion"})


class Source(Protocol):
    """A place in a request where a credential may be.

    Attributes:
        place: How the configuration writes it; no two credentials share one.
        reads: The request header it reads, for ``Vary``.
        ambient: Whether a browser or a proxy attaches the credential by itself.
        declarable: Whether a `Credential` may say otherwise.
    """

    @property
    def place(self) -> str: ...  # noqa: D102 - an attribute, described above
    @property
    def reads(self) -> str: ...  # noqa: D102 - the same
    @property
    def ambient(self) -> bool: ...  # noqa: D102 - the same
    @property
    def declarable(self) -> bool: ...  # noqa: D102 - the same

    def read(self, headers: Headers, query: str, /) -> str | None:
        """Return the token, or ``None`` when nothing is presented here.

        Raises:
            InvalidAuthorizationHeader: Something is, but it cannot be one token.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Authorization:
    place: str = "authorization"
    reads: str = "Authorization"
    ambient: bool = False
    declarable: bool = True

    def read(self, headers: Headers, query: str, /) -> str | None:
        token = read_bearer(headers.get("Authorization"))
        if query and token is not None:
            refuse_query_token(query)
        return token


@dataclass(frozen=True, slots=True)
class _Header:
    reads: str
    ambient: bool = True

    @property
    def place(self) -> str:
        return f"header:{self.reads.lower()}"

    @property
    def declarable(self) -> bool:
        return self.reads.lower() not in _ALWAYS_AMBIENT

    def read(self, headers: Headers, _query: str, /) -> str | None:
        value = headers.get(self.reads)
        if not value:
            return None
        if "," in value:
            raise InvalidAuthorizationHeader(
                hint=f"expected one {self.reads} header with one token, got several, or a comma",
                reason="repeated_header",
            )
        return value.strip(" \t") or None


@dataclass(frozen=True, slots=True)
class _Cookie:
    name: str
    reads: str = field(default="Cookie", init=False)
    ambient: bool = field(default=True, init=False)
    declarable: bool = field(default=False, init=False)

    @property
    def place(self) -> str:
        return f"cookie:{self.name}"

    def read(self, headers: Headers, _query: str, /) -> str | None:
        sent = headers.get("Cookie")
        if not sent or self.name not in sent:
            return None
        values = {
            _unquoted(value)
            for name, _, value in (pair.strip(" \t").partition("=") for pair in sent.split(";"))
            if name == self.name
        } - {""}
        if len(values) > 1:
            # Another application, or an attacker, on a sibling host can plant a second cookie;
            # which one a server takes is chance, so neither counts (RFC 6265, section 8.6).
            raise InvalidAuthorizationHeader(
                hint=f"the cookie {self.name} came more than once, with different values; "
                "find who else sets it for this host or its parent domain",
                reason="repeated_cookie",
            )
        return values.pop() if values else None


def _unquoted(value: str) -> str:
    # RFC 6265, section 4.1.1: the whole value may stand in double quotes.
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value


def authorization() -> Source:
    """Read ``Authorization: Bearer …`` (RFC 6750, section 2.1)."""
    return _Authorization()


def header(name: str) -> Source:
    """Read a token that is the whole value of the header ``name``.

    It counts as ambient unless the `Credential` says that it is not: a proxy may attach it.

    Raises:
        ConfigurationError: ``name`` is no header name, or has a source of its own.
    """
    if _token(name) is None:
        raise ConfigurationError(f"{name!r} is not a header name; write one like 'X-Api-Token'.")
    if name.lower() in ("authorization", "cookie"):
        raise ConfigurationError(
            f"The {name} header holds more than a token; write authorization() or cookie(NAME)."
        )
    return _Header(name)


def cookie(name: str) -> Source:
    """Read a token that is the value of the cookie ``name``, in exactly this case.

    A cookie is always ambient. One that came twice with different values is refused.

    Raises:
        ConfigurationError: ``name`` is no cookie name.
    """
    if _token(name) is None:
        raise ConfigurationError(f"{name!r} is not a cookie name; write one like 'session'.")
    return _Cookie(name)


class EnvironHeaders:
    """The request headers of a WSGI environment (PEP 3333), by name in any case."""

    __slots__ = ("_environ",)

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._environ = environ

    def get(self, name: str, /) -> str | None:
        """Return the header's value, or ``None``."""
        return self._environ.get(_environ_key(name))

    def keys(self) -> Iterator[str]:
        """Iterate over the names of the headers that are there."""
        for key in self._environ:
            if key.startswith("HTTP_"):
                yield key[5:].replace("_", "-").title()


@lru_cache(maxsize=256)
def _environ_key(name: str) -> str:
    return "HTTP_" + name.upper().replace("-", "_")
