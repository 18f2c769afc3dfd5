"""A `Request` as `requests` sends it: what is not in it is not sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from requests import PreparedRequest
from requests.structures import CaseInsensitiveDict

from tokenward.errors import AuthServiceUnavailable

if TYPE_CHECKING:
    from tokenward.protocols import Request


def prepared(request: Request) -> PreparedRequest:
    """Return ``request`` with its body encoded, without what a ``Session`` would add.

    Raises:
        AuthServiceUnavailable: The body cannot be written (``bad_request``).
    """
    headers = {"User-Agent": "tokenward", "Accept-Encoding": "identity"}
    ready = PreparedRequest()
    ready.method = request.method
    ready.url = request.url
    if request.form is not None:
        ready.body = urlencode(request.form)
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        headers["Content-Length"] = str(len(ready.body))
    elif request.json is not None:
        ready.body = _encoded(request.json)
        headers["Content-Type"] = "application/json"
        headers["Content-Length"] = str(len(ready.body))
    ready.headers = CaseInsensitiveDict(headers)
    ready.headers.update(request.headers)
    return ready


def _encoded(members: Mapping[str, Any]) -> bytes:
    try:
        text = json.dumps(dict(members), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        why = type(error).__name__
    # Raised here and not above: as its context, the library's error would quote a member. And no
    # failure of the server's, so that nobody can close the way to it with a lone surrogate.
    raise AuthServiceUnavailable(
        f"the body of the request cannot be written as JSON in UTF-8 ({why})", reason="bad_request"
    )
