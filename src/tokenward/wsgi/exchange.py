"""One WSGI request, and the response as far as we take part in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from itertools import chain, islice
from typing import TYPE_CHECKING

from tokenward.errors import AuthError

if TYPE_CHECKING:
    from types import TracebackType
    from wsgiref.types import StartResponse

    from tokenward.bearer import ErrorResponse

    Respond = Callable[[AuthError], ErrorResponse]
    ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]


class Exchange:
    """One request and the response to it, as far as we take part in them.

    What the application starts is held back until its body is at hand, so that an error can take
    its place: of two starts, some servers send the headers of both.
    """

    __slots__ = (
        "_held",
        "_method",
        "_respond",
        "_server_write",
        "_start_response",
        "has_begun",
        "is_ambient",
        "is_preflight",
        "vary",
    )

    def __init__(self, method: str, start_response: StartResponse, respond: Respond) -> None:
        self._method = method
        self._start_response = start_response
        self._respond = respond
        self._held: tuple[str, list[tuple[str, str]], ExcInfo | None] | None = None
        self.vary = ""
        self.is_ambient = False
        self.is_preflight = False
        self.has_begun = False

    @property
    def is_started(self) -> bool:
        """Whether the application has said what it answers."""
        return self.has_begun or self._held is not None

    def start(
        self,
        status: str,
        headers: list[tuple[str, str]],
        exc_info: ExcInfo | None = None,
        /,
    ) -> Callable[[bytes], object]:
        """Be the application's ``start_response``."""
        if self._held is not None and exc_info is None:
            msg = "start_response was called again without exc_info (PEP 3333)"
            raise AssertionError(msg)
        self._held = (status, headers, exc_info)
        if self.has_begun:
            # The server knows whether it is too late, and raises if it is.
            self.begin()
        return self._write

    def _write(self, data: bytes) -> object:
        self.begin()
        return self._server_write(data)

    def begin(self) -> None:
        """Hand what is held back, if anything is, to the server; from now on nothing is."""
        if self._held is not None:
            (status, headers, exc_info), self._held = self._held, None
            if self.vary:
                headers = _with_vary(headers, self.vary)
            if self.is_ambient:
                headers = _unstored(headers)
            if self.is_preflight:
                headers = _without_a_body(status, headers)
            self._server_write = (
                self._start_response(status, headers)
                if exc_info is None
                else self._start_response(status, headers, exc_info)
            )
        self.has_begun = True

    def answer(self, error: AuthError) -> list[bytes]:
        """Answer with ``error``, whatever was held back."""
        made = self._respond(error)
        headers = [*made.headers, ("Content-Length", str(len(made.body)))]
        self._held = (f"{made.status} {_phrase(made.status)}", headers, None)
        self.begin()
        return [] if self._method == "HEAD" else [made.body]


class Late:
    """A body whose making starts the response, so that an error can still be answered."""

    def __init__(self, body: Iterable[bytes], exchange: Exchange) -> None:
        self._body = body
        self._exchange = exchange

    def __iter__(self) -> Iterator[bytes]:
        try:
            chunks = iter(self._body)
            first = list(islice(chunks, 1))
        except AuthError as error:
            if self._exchange.has_begun:
                raise
            return iter(self._exchange.answer(error))
        self._exchange.begin()
        if self._exchange.is_preflight:
            return iter(())
        # Not by a generator of ours, which would close the body a second time.
        return chain(first, chunks)

    def close(self) -> None:
        """Close the body, as PEP 3333 wants it whatever happened."""
        close_body(self._body)


def close_body(body: Iterable[bytes]) -> None:
    """Close a body that can be closed."""
    close = getattr(body, "close", None)
    if close is not None:
        close()


def _without_a_body(status: str, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    others = [pair for pair in headers if pair[0].lower() != "content-length"]
    # RFC 9110, section 8.6: a 204 has no length either.
    return others if status.startswith("204") else [*others, ("Content-Length", "0")]


def _unstored(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    # A browser must not show a page again once its person has signed out.
    if any(name.lower() == "cache-control" for name, _ in headers):
        return headers
    return [*headers, ("Cache-Control", "no-store")]


def _with_vary(headers: list[tuple[str, str]], names: str) -> list[tuple[str, str]]:
    there = ", ".join(value for name, value in headers if name.lower() == "vary")
    if not there:
        return [*headers, ("Vary", names)]
    known = {part.strip().lower() for part in there.split(",")}
    if "*" in known:
        return headers
    more = [name for name in names.split(", ") if name.lower() not in known]
    others = [pair for pair in headers if pair[0].lower() != "vary"]
    return [*others, ("Vary", ", ".join([there, *more]))]


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Refused"
