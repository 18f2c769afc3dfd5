"""Where a Redis is, as its URL says."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import parse_qsl, unquote, urlsplit

from tokenward._http.tls import TLSContexts
from tokenward._log import shown
from tokenward.errors import ConfigurationError

if TYPE_CHECKING:
    from urllib.parse import SplitResult

_PORT = 6_379
_TLS_OPTIONS = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})
_HOST = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")
_EXPECTED = (
    "write redis://HOST:PORT/DB, rediss://HOST:PORT/DB for TLS, or unix:///PATH?db=DB, with"
    " USER:PASSWORD@ after the // where it asks for one, percent-encoded"
)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a Redis is, and who we are to it.

    Attributes:
        shown: For logs: no user name, password or file name.
        host: A name or an address; empty with a path.
        port: The TCP port.
        path: Of a Unix socket; ``None``: TCP.
        db: The number of the database.
        username: The user's name, if one is given.
        password: The password, if one is given.
        tls: Makes contexts; ``None``: the connection is in the clear.
        cert: Paths of a client certificate and its key.
    """

    shown: str
    host: str = ""
    port: int = _PORT
    path: str | None = None
    db: int = 0
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    tls: TLSContexts | None = field(default=None, repr=False)
    cert: tuple[str, str] | None = field(default=None, repr=False)


def read(url: str) -> Address:
    """Return what a URL says.

    Args:
        url: ``redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]``; ``rediss://`` likewise, for TLS that is
            always verified, with ``?ssl_ca_certs=PATH`` for authorities of your own and
            ``ssl_certfile`` and ``ssl_keyfile`` for a client certificate;
            ``unix://[[USER]:PASSWORD@]/PATH[?db=DB]``.

    Raises:
        ConfigurationError: It says something else. The message does not hold the URL.
    """
    if not isinstance(url, str):
        _refuse("is a string")
    if not url.isprintable() or " " in url:
        _refuse("has no white space")
    try:
        parts = urlsplit(url)
        port = _PORT if parts.port is None else parts.port
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        # Not the library's text: it may hold the password.
        query = None
    if query is None:
        _refuse("has a malformed port or query; a password is percent-encoded")
    options = dict(query)
    if len(options) != len(query):
        _refuse("has an option twice")
    if parts.scheme == "unix":
        return _unix(parts, options)
    if parts.scheme not in ("redis", "rediss"):
        _refuse("has another scheme than redis, rediss and unix")
    return _tcp(parts, port, options)


def _unix(parts: SplitResult, options: dict[str, str]) -> Address:
    path = unquote(parts.path)
    db = _database(options.pop("db", ""))
    if options:
        _refuse(f"has the option {shown(min(options))}, which means nothing here")
    if parts.hostname or not path.startswith("/") or parts.fragment:
        _refuse("has no absolute path")
    username, password = _credentials(parts)
    return Address(f"unix://{shown(path)}", path=path, db=db, username=username, password=password)


def _tcp(parts: SplitResult, port: int, options: dict[str, str]) -> Address:
    host = parts.hostname or ""
    if not _is_host(host) or port == 0:
        # A "/" or "#" in a password that is not percent-encoded ends up here.
        _refuse("has no host; a password is percent-encoded")
    if parts.fragment or "#" in parts.geturl():
        _refuse("has a fragment")
    if unknown := options.keys() - (_TLS_OPTIONS if parts.scheme == "rediss" else set()):
        _refuse(f"has the option {shown(min(unknown))}, which means nothing here")
    db = _database(parts.path.removeprefix("/"))
    tls, cert = None, None
    if parts.scheme == "rediss":
        tls, cert = _tls(options)
    username, password = _credentials(parts)
    name = f"[{host}]" if ":" in host else host
    return Address(
        f"{parts.scheme}://{shown(name)}:{port}/{db}",
        host=host,
        port=port,
        db=db,
        username=username,
        password=password,
        tls=tls,
        cert=cert,
    )


def _tls(options: dict[str, str]) -> tuple[TLSContexts, tuple[str, str] | None]:
    certificate, key = options.get("ssl_certfile"), options.get("ssl_keyfile")
    if (certificate is None) != (key is None):
        _refuse("names one of ssl_certfile and ssl_keyfile; a client certificate needs both")
    try:
        contexts = TLSContexts(options.get("ssl_ca_certs", True))
    except ConfigurationError:
        contexts = None
    if contexts is None:
        _refuse("names as ssl_ca_certs a file that holds no CA certificates that can be read")
    return contexts, None if certificate is None or key is None else (certificate, key)


def _credentials(parts: SplitResult) -> tuple[str | None, str | None]:
    username, password = unquote(parts.username or ""), unquote(parts.password or "")
    if username and not password:
        _refuse("has a user name without a password; a password alone stands after a colon")
    return username or None, password or None


def _database(number: str) -> int:
    if not number:
        return 0
    if not (number.isascii() and number.isdigit() and len(number) < 6):
        _refuse("has something else than the number of a database after the host")
    return int(number)


def _is_host(host: str) -> bool:
    if ":" in host:
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            return False
        return True
    return _HOST.fullmatch(host) is not None


def _refuse(what: str) -> NoReturn:
    raise ConfigurationError(f"The URL of the Redis {what}: {_EXPECTED}.")
