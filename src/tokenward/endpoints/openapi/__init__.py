"""What the service answers to, for programs and for people: OpenAPI 3.1, and a page of it.

Both are made from `ENDPOINTS` and the models of `tokenward.schemas`, once for each service.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from tokenward.endpoints.incoming import JSON, Request, Response
from tokenward.endpoints.openapi._document import make_document
from tokenward.endpoints.openapi._page import PAGE_HEADERS, render

if TYPE_CHECKING:
    from tokenward.service import AuthService

__all__ = ["PAGE_HEADERS", "answer_document", "answer_page", "document", "page"]

_MAX_AGE = 300
_made: WeakKeyDictionary[AuthService, tuple[_Published, _Published]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class _Published:
    """A body and what it is sent with."""

    body: bytes
    headers: tuple[tuple[str, str], ...]
    etag: str

    @classmethod
    def of(cls, text: str, media: str, *headers: tuple[str, str]) -> _Published:
        body = text.encode()
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        fixed = (("ETag", etag), ("Cache-Control", f"public, max-age={_MAX_AGE}"))
        return cls(body, (("Content-Type", media), *fixed, *headers), etag)

    def answer(self, request: Request) -> Response:
        known = request.headers.get("If-None-Match") or ""
        # RFC 9110, section 13.1.2: compared weakly.
        tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}
        if tags & {self.etag, "*"}:
            return Response(304, self.headers)
        return Response(200, self.headers, self.body)


def document(service: AuthService) -> dict[str, Any]:
    """Return the service's OpenAPI 3.1 document, a new one each time."""
    made: dict[str, Any] = json.loads(_published(service)[0].body)
    return made


def page(service: AuthService) -> str:
    """Return the document as a page of HTML, to be sent with `PAGE_HEADERS`.

    It loads nothing, and holds neither a script nor a form.
    """
    return _published(service)[1].body.decode()


def answer_document(service: AuthService, request: Request) -> Response:
    """Answer a request for the document; 304 where it is known already."""
    return _published(service)[0].answer(request)


def answer_page(service: AuthService, request: Request) -> Response:
    """Answer a request for the page; 304 where it is known already."""
    return _published(service)[1].answer(request)


def _published(service: AuthService) -> tuple[_Published, _Published]:
    found = _made.get(service)
    if found is None:
        # Made by two threads at once it is the same twice.
        made = make_document(service)
        found = (
            _Published.of(json.dumps(made, separators=(",", ":")), JSON),
            _Published.of(render(made), "text/html; charset=utf-8", *PAGE_HEADERS),
        )
        _made[service] = found
    return found
