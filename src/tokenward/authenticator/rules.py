"""What is decided from the request line and `Origin`, before or beside any credential."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from tokenward.errors import ConfigurationError, CrossSiteRequest

if TYPE_CHECKING:
    from tokenward.protocols import Headers

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods that change nothing (RFC 9110, section 9.2.1)."""

# What servers, proxies and frameworks resolve in different ways.
_odd = re.compile(r"//|\\|;|[\x00-\x1f\x7f-\x9f]|/\.{1,2}(?:/|\Z)").search
# An ASCII name or an IPv4 address, or an IPv6 address in brackets.
_host = re.compile(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]").fullmatch
_rule = re.compile(r"(?:([A-Z]+) )?(/.*)", re.DOTALL).fullmatch
_REQUESTED = "HTTP_ACCESS_CONTROL_REQUEST_METHOD"
# A field of the query that stands for the method.
_override = re.compile(r"_method|.*method[_-]?override.*", re.IGNORECASE | re.DOTALL).fullmatch


class PublicPaths:
    """Rules that say which paths need no credential: ``[METHOD ]PATH``.

    Args:
        rules: Each a path that must match exactly, or one that ends in ``/*`` and matches
            everything below (``/docs/*``: ``/docs/`` and ``/docs/a/b``, not ``/docs``). Without
            a method, a rule speaks of ``GET`` and ``HEAD``; ``GET`` includes ``HEAD``.

    Raises:
        ConfigurationError: A rule is none, or could never match.
    """

    __slots__ = ("_below", "_exact")

    def __init__(self, rules: Iterable[str]) -> None:
        exact: dict[str, set[str]] = {}
        below: dict[str, list[str]] = {}
        for rule in _texts(rules, "public"):
            methods, path = _parse(rule)
            for method in methods:
                if path.endswith("/*"):
                    below.setdefault(method, []).append(path[:-1])
                else:
                    exact.setdefault(method, set()).add(path)
        self._exact = {method: frozenset(paths) for method, paths in exact.items()}
        self._below = {method: tuple(paths) for method, paths in below.items()}

    def match(self, method: str, path: str) -> bool:
        """Tell whether ``path``, percent-decoded once, is public for ``method``.

        A path with ``//``, a dot segment, a backslash, ``;`` or a control character never is:
        what checks it and what serves it might read it differently.
        """
        if path not in self._exact.get(method, ()) and not path.startswith(
            self._below.get(method, ())
        ):
            return False
        return _odd(path) is None


def _parse(rule: str) -> tuple[tuple[str, ...], str]:
    found = _rule(rule)
    path = found[2] if found else ""
    stem = path.removesuffix("/*")
    if found is None or any(c in stem for c in "*?#%") or _odd(path):
        raise ConfigurationError(
            f"{rule!r} is not a rule for public paths; write '/health', '/docs/*' or "
            "'POST /webhook': a decoded path without '//', '.', '..', '\\' or ';', "
            "and '*' only as a final '/*'."
        )
    method = found[1]
    return (("GET", "HEAD") if method in (None, "GET") else (method,)), path


class Origins:
    """The origins whose pages may send unsafe requests with ambient credentials.

    Args:
        origins: As browsers write them: ``https://shop.example``, ``http://localhost:3000``.

    Raises:
        ConfigurationError: One is not what a browser would ever send.
    """

    __slots__ = ("_origins",)

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(_origin(o) for o in _texts(origins, "origins"))

    def check(self, headers: Headers) -> None:
        """Refuse a request that another site may have made a browser send.

        ``Sec-Fetch-Site`` comes from the browser itself and no page can set it. Where it is
        missing, or says that another site asks, only a configured ``Origin`` will do.

        Raises:
            CrossSiteRequest: Nothing shows that the request comes from the same origin, from
                the person (a bookmark, the address bar), or from a configured origin.
        """
        site = headers.get("Sec-Fetch-Site")
        if site in ("same-origin", "none"):
            return
        if headers.get("Origin") not in self._origins:
            raise CrossSiteRequest(
                "an unsafe method came with a credential that browsers attach by themselves, and "
                "neither Sec-Fetch-Site: same-origin nor a configured Origin; if the page may do "
                "this, add its origin to 'origins'"
            )


def _origin(origin: str) -> str:
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    default = {"http": 80, "https": 443}.get(parts.scheme)
    serialized = f"{parts.scheme}://{host}" + (f":{port}" if port is not None else "")
    if default is None or not _host(host) or port == default or origin != serialized:
        raise ConfigurationError(
            f"{origin!r} is not an origin; write it as browsers do: scheme and host in lower "
            "case, the port unless it is the default, and no path, as in 'https://shop.example'."
        )
    return origin


def is_preflight(environ: Mapping[str, Any]) -> bool:
    """Tell whether this is a CORS preflight, which browsers send without credentials.

    What could have an application take it for another method makes it none: a further header with
    ``METHOD`` in its name (``X-HTTP-Method-Override``), a body, or ``_method`` and the like in the
    query.

    Args:
        environ: The WSGI environment (PEP 3333).
    """
    return (
        environ["REQUEST_METHOD"] == "OPTIONS"
        and "HTTP_ORIGIN" in environ
        and _REQUESTED in environ
        and not any(
            key.startswith("HTTP_") and "METHOD" in key and key != _REQUESTED for key in environ
        )
        and environ.get("CONTENT_LENGTH") in (None, "", "0")
        and "HTTP_TRANSFER_ENCODING" not in environ
        and not any(map(_override, _query_names(environ.get("QUERY_STRING", ""))))
    )


def _query_names(query: str) -> list[str]:
    # Some parsers part fields at a semicolon too.
    return [name for name, _ in parse_qsl(query.replace(";", "&"), keep_blank_values=True)]


def _texts(values: Iterable[str], what: str) -> Sequence[str]:
    if isinstance(values, str):
        raise ConfigurationError(f"{what!r} takes a list of strings, not one string.")
    return tuple(values)
