"""The callers of a soak: they log in, use their tokens, end them, and try bad ones.

Each caller has one request under way at a time and tokens of its own. What it is answered it
compares with what must be: who is named, and which status. A session goes like this: log in or
refresh; present the token to an application, on a connection that changes in between so that both
workers see it, to both kinds of verifier; present bad ones; and log out, have a client revoke the
token, refresh it, or leave the session to expire.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from benchmarks.served import FORM
from benchmarks.soak.observer import SIGNED_HEADER

if TYPE_CHECKING:
    from benchmarks.soak.load import Tally

PLAIN, PROTECTED = "/", "/api/profile"

NAMES_EACH = 4

_HOST = "127.0.0.1"
_PASSWORD = "correct horse battery"  # noqa: S105 - of users that live for one run
_PATIENCE = 30.0
_ENDS = ("log out", "leave", "refresh", "leave", "revoke", "refresh", "leave", "refresh")


class Line:
    """One caller's connection to one server, made anew when it is hung up."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection(_HOST, port, timeout=_PATIENCE)

    def ask(
        self, method: str, path: str, body: str | None = None, headers: Mapping[str, str] = {}
    ) -> tuple[int, bytes]:
        """Return status and body of the answer."""
        try:
            self._connection.request(method, path, body, dict(headers))
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except BaseException:
            self.hang_up()
            raise

    def hang_up(self) -> None:
        """Close the connection; the next request makes another."""
        self._connection.close()


class Caller:
    """One caller; `run` goes on until it is stopped.

    Args:
        number: Tells its users from those of others.
        auth: The port of the auth service.
        applications: Their ports, by name; it turns to one after the other.
        client: The Authorization header of the client by which they log in.
        tally: What is counted.
        pace: Called before each request; returns when it may be made, or ``False``: no more.
        settles: Seconds after which a token that was ended is surely refused.
        clock: Seconds.
    """

    def __init__(
        self,
        number: int,
        *,
        auth: int,
        applications: Mapping[str, int],
        client: str,
        tally: Tally,
        pace: Callable[[], bool],
        settles: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._names = itertools.cycle(f"caller{number}-{n}" for n in range(NAMES_EACH))
        self._auth = Line(auth)
        self._lines = {name: Line(port) for name, port in applications.items()}
        self._turns = itertools.islice(itertools.cycle(applications), number, None)
        self._ends = itertools.islice(itertools.cycle(_ENDS), number, None)
        self._client = client
        self._tally = tally
        self._pace = pace
        self._settles = settles
        self._clock = clock
        self._ended: deque[tuple[float, str]] = deque(maxlen=64)
        self._refreshable: tuple[str, str] | None = None

    def register(self) -> None:
        """Open its users' accounts.

        Raises:
            RuntimeError: The auth service does not.
        """
        for name in itertools.islice(self._names, NAMES_EACH):
            account = {"username": name, "email": f"{name}@example.com", "password": _PASSWORD}
            if self._post("/register", json.dumps(account))[0] != 201:
                raise RuntimeError("the auth service registers nobody")

    def run(self) -> None:
        """Have one session after the other until there is no more pace, and hang up."""
        with contextlib.suppress(_Stopped):
            while True:
                try:
                    self._session(next(self._turns), next(self._ends))
                except (OSError, http.client.HTTPException) as error:
                    self._tally.lose(type(error).__name__)
        for line in (self._auth, *self._lines.values()):
            line.hang_up()

    def _session(self, application: str, end: str) -> None:
        started = self._start()
        if started is None:
            return
        name, access, refresh = started
        bearing = {"Authorization": f"Bearer {access}"}
        for headers, expected in self._visits(application, access):
            self._visit(application, PROTECTED, headers or bearing, expected, name)
        self._visit(application, PLAIN, {}, 200)
        if end == "refresh":
            self._refreshable = name, refresh
        elif end != "leave":
            self._finish(end, access)

    def _visits(self, application: str, access: str) -> Iterator[tuple[dict[str, str], int]]:
        """Return what is presented one after the other, and the status that it must have.

        No headers: the token of the session.
        """
        line = self._lines[application]
        good: tuple[dict[str, str], int] = {}, 200
        signed = {SIGNED_HEADER: access}, 200
        yield from (good, good, signed, good)
        line.hang_up()
        yield from (good, signed, good)
        unknown = secrets.token_urlsafe(24)
        yield from (({"Authorization": f"Bearer {unknown}"}, 401),) * 2
        forged = _forged(access)
        yield {"Authorization": f"Bearer {forged}"}, 401
        yield {SIGNED_HEADER: forged}, 401
        yield {"Authorization": 'Bearer "quoted"'}, 400
        while self._ended and self._clock() - self._ended[0][0] > self._settles:
            yield {"Authorization": f"Bearer {self._ended.popleft()[1]}"}, 401
        yield good
        line.hang_up()

    def _visit(
        self,
        application: str,
        path: str,
        headers: Mapping[str, str],
        expected: int,
        name: str = "",
    ) -> None:
        self._wait()
        status, body = self._lines[application].ask("GET", path, headers=headers)
        self._tally.answer(application, status)
        if status != expected:
            self._tally.amiss(f"{status} instead of {expected}")
        elif status == 200 and path == PROTECTED:
            # A signed token says who its subject is, and no name.
            named = (name, None) if SIGNED_HEADER in headers else (name,)
            if json.loads(body)["username"] not in named:
                self._tally.amiss("somebody else's name")

    def _start(self) -> tuple[str, str, str] | None:
        # As a client's users: a client can revoke no others (RFC 7009, section 2.1).
        client = {"Authorization": self._client}
        if self._refreshable is not None:
            name, token = self._refreshable
            self._refreshable = None
            status, granted = self._post("/refresh", json.dumps({"refresh_token": token}), client)
        else:
            name = next(self._names)
            asked = {"username": name, "password": _PASSWORD}
            status, granted = self._post("/login", json.dumps(asked), client)
        if status != 200:
            self._tally.amiss(f"{status} at the auth service")
            return None
        return name, granted["access_token"], granted["refresh_token"]

    def _finish(self, end: str, access: str) -> None:
        if end == "log out":
            bearer = {"Authorization": f"Bearer {access}"}
            status, _ = self._post("/logout", "{}", bearer)
        else:
            form = {"Content-Type": FORM, "Authorization": self._client}
            status, _ = self._post("/revoke", urlencode({"token": access}), form)
        if status != 200:
            self._tally.amiss(f"{status} at the auth service")
        self._ended.append((self._clock(), access))

    def _post(
        self, path: str, body: str, headers: Mapping[str, str] = {}
    ) -> tuple[int, dict[str, Any]]:
        self._wait()
        self._tally.send(path)
        sent = {"Content-Type": "application/json", **headers}
        status, answer = self._auth.ask("POST", path, body, sent)
        return status, json.loads(answer or b"{}")

    def _wait(self) -> None:
        if not self._pace():
            raise _Stopped


class _Stopped(Exception):
    """There is nothing more to send."""


def _forged(token: str) -> str:
    """Return the token with another signature of the same length."""
    signed, _, signature = token.rpartition(".")
    first = "B" if signature[0] == "A" else "A"
    return f"{signed}.{first}{signature[1:]}"
