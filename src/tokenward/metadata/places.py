"""Where an issuer's metadata is, and fetching a document from such a place."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from tokenward._http import (
    JSON,
    json_object,
    max_age_of,
    media_type,
    report_unreadable,
    retry_in,
)
from tokenward._log import shown
from tokenward.errors import AuthServiceUnavailable
from tokenward.protocols import Request, Response

if TYPE_CHECKING:
    from tokenward.protocols import Transport

MAX_DOCUMENT_BYTES: Final = 1_048_576
"""Larger metadata and key sets are not read, however much the transport takes."""

_WELL_KNOWN: Final = "/.well-known/"
_OAUTH: Final = _WELL_KNOWN + "oauth-authorization-server"
_OPENID: Final = _WELL_KNOWN + "openid-configuration"
# Come back later; every other 4xx says that there is nothing for us here.
_LATER: Final = frozenset({408, 425, 429})


class Document(NamedTuple):
    """A JSON object, and for how many seconds its source says that it may be kept."""

    members: dict[str, Any]
    max_age: float | None


def places_of(issuer: str) -> list[str]:
    """Return the URLs at which an issuer's metadata may be, in the order to try.

    RFC 8414, section 3.1: the well-known part goes between host and path. OpenID Connect
    Discovery, section 4: it goes behind the path. Section 5 of RFC 8414 wants to see the latter's
    name in the former's place too, and some servers have it nowhere else. In each of them a
    terminating slash is removed first.
    """
    parts = urlsplit(issuer)
    path = parts.path.removesuffix("/")
    root = f"{parts.scheme}://{parts.netloc}"
    found = [root + _OAUTH + path, root + path + _OPENID]
    return [*found, root + _OPENID + path] if path else found


def issuer_at(discovery_url: str) -> str:
    """Return the issuer whose metadata belongs at a well-known URL; empty if it is none."""
    before, mark, after = discovery_url.partition(_WELL_KNOWN)
    _name, slash, path = after.partition("/")
    return before + slash + path if mark else ""


def first_document(
    transport: Transport, places: Sequence[str], *, deadline: float
) -> tuple[str, Document]:
    """Return the first of several documents that is there, and its URL.

    A place that says that it has none is passed over, and so is one that redirects, as sites send
    whoever they do not know to sign in. One that fails or has something broken is not: another
    document might say something else.

    Raises:
        AuthServiceUnavailable: None is there (``no_metadata``); or see `fetch_json`.
    """
    missing = []
    for url in places:
        request = Request("GET", url, headers={"Accept": JSON})
        response = transport.send(request, deadline=deadline)
        absent = _absence(response, is_only=len(places) == 1)
        if absent is None:
            return url, _read(transport, url, response, (JSON,))
        missing.append(f"{_shown(url)} answered {absent}")
    hint = f"there is no metadata: {'; '.join(missing)}. Check the issuer, or name discovery_url"
    raise AuthServiceUnavailable(hint, reason="no_metadata")


def fetch_json(
    transport: Transport, url: str, *, types: Collection[str], deadline: float
) -> Document:
    """Fetch a JSON document.

    Args:
        transport: What sends the request.
        url: Where; checked by the caller.
        types: The content types it may have.
        deadline: When to give up, on the ``time.monotonic()`` scale.

    Raises:
        AuthServiceUnavailable: The server cannot be asked; or ``bad_response``, ``too_large``.
    """
    request = Request("GET", url, headers={"Accept": ", ".join(types)})
    return _read(transport, url, transport.send(request, deadline=deadline), types)


def _absence(response: Response, *, is_only: bool) -> str | None:
    status = response.status
    if 400 <= status < 500 and status not in _LATER:
        return str(status)
    # Of the one URL that was configured, the final one can be configured instead.
    if 300 <= status < 400 and not is_only:
        return f"{status} (redirects are not followed)"
    # A site whose every unknown path is its start page.
    if status == 200 and media_type(response) != JSON:
        return f"with {shown(media_type(response)) or 'no content type'}"
    return None


def _read(transport: Transport, url: str, response: Response, types: Collection[str]) -> Document:
    if response.status != 200:
        hint = f"{_shown(url)} answered {response.status}"
        if 300 <= response.status < 400:
            hint += " (redirects are not followed: configure the final URL)"
        raise AuthServiceUnavailable(hint, reason="bad_response", retry_after=retry_in(response))
    if len(response.body) > MAX_DOCUMENT_BYTES:
        hint = f"{_shown(url)} has more than {MAX_DOCUMENT_BYTES} bytes"
        raise AuthServiceUnavailable(hint, reason="too_large")
    try:
        members = json_object(response, types=types)
    except AuthServiceUnavailable as error:
        what = error.hint
    else:
        return Document(members, max_age_of(response))
    report_unreadable(transport, url)
    raise AuthServiceUnavailable(f"{_shown(url)} answered 200 with {what}", reason="bad_response")


def _shown(url: str) -> str:
    return url.partition("?")[0]
