"""`Witness`: a transport that remembers what it saw."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenward.protocols import Request, Response, Transport

_DIGITS = 10


def age_of(response: Response) -> float:
    """Return the seconds for which an answer says that others kept it (RFC 9111, section 5.1)."""
    said = response.headers.get("age", "").strip()
    return float(said) if said.isdecimal() and len(said) < _DIGITS else 0.0


class Witness:
    """A transport that remembers where it was, what it was told and what time it is there.

    Args:
        transport: Sends the requests.

    Attributes:
        url: Where the last answer came from.
        response: The last answer.
        date: The last ``Date`` that an answer had (RFC 9110, section 6.6.1), and when it came.
        age: The seconds for which that answer was kept on its way (RFC 9111, section 5.1).
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.url = ""
        self.response: Response | None = None
        self.date: tuple[str, float] | None = None
        self.age = 0.0

    def send(self, request: Request, *, deadline: float) -> Response:
        """See `Transport.send`."""
        response = self._transport.send(request, deadline=deadline)
        self.url, self.response = request.url, response
        if "date" in response.headers:
            self.date = response.headers["date"], time.time()
            self.age = age_of(response)
        return response

    def close(self) -> None:
        """See `Transport.close`."""
        self._transport.close()
