"""The round trip of a program with a bearer token: to be pasted, or to be made by itself."""

from __future__ import annotations

import http.client
import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

REALM = "example"

_JSON = "Content-Type: application/json"
_BEARER = '"Authorization: Bearer $TOKEN"'
TIMEOUT = 15.0


@dataclass(frozen=True, slots=True)
class Step:
    """One request, and what must come back.

    Attributes:
        title: What it is, as the imperative.
        method: Its method.
        url: Where it goes.
        status: The status that must come back.
        body: Its JSON body.
        bears_token: Whether it carries the token of the login.
        challenge: What ``WWW-Authenticate`` must hold.
        says: What the body of the answer must hold.
    """

    title: str
    method: str
    url: str
    status: int
    body: Mapping[str, str] | None = None
    bears_token: bool = False
    challenge: str = ""
    says: str = ""

    @property
    def expected(self) -> str:
        """What must come back, for a person."""
        return f"{self.status} and {self.challenge}" if self.challenge else str(self.status)

    def curl(self, *options: str) -> str:
        """Return the request as a command, with options that say what to show."""
        words = ["curl", "-sS", *(options or ("-i", "-w", r"'\n'"))]
        if self.method != "GET":
            words += ["-X", self.method]
        words.append(self.url)
        if self.bears_token:
            words += ["-H", _BEARER]
        if self.body is not None:
            words += ["-H", shlex.quote(_JSON), "-d", shlex.quote(json.dumps(self.body))]
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a step went: its title, what had to come back, whether it did, and what came."""

    title: str
    expected: str
    passed: bool
    got: str

    def of(self, application: str) -> Outcome:
        """Return the same, saying which application it is about."""
        return replace(self, title=f"{application}, {self.title}")


@dataclass(frozen=True, slots=True)
class Tour:
    """The round trip between an auth service and what it protects."""

    auth: str
    app: str
    username: str
    password: str

    @property
    def steps(self) -> tuple[Step, ...]:
        """The requests, in order."""
        account = {"username": self.username, "password": self.password}
        new = {**account, "email": f"{self.username}@example.com"}
        profile = f"{self.app}/api/profile"
        return (
            Step("register", "POST", f"{self.auth}/register", 201, new, says=self.username),
            Step("log in", "POST", f"{self.auth}/login", 200, account, says="access_token"),
            Step("call with the token", "GET", profile, 200, bears_token=True, says=self.username),
            Step("call without", "GET", profile, 401, challenge=f'Bearer realm="{REALM}"'),
            Step("log out", "POST", f"{self.auth}/logout", 200, bears_token=True),
            Step(
                "call again",
                "GET",
                profile,
                401,
                bears_token=True,
                challenge='error="invalid_token"',
            ),
        )

    def lines(self) -> list[tuple[str, str]]:
        """Return what a person can paste into a shell, each with a comment before it."""
        register, login, call, call_bare, logout, call_again = self.steps
        keep = r"""sed -n 's/.*"access_token": *"\([^"]*\)".*/\1/p'"""
        return [
            ("Register: 201", register.curl()),
            ("Log in; the token is kept in TOKEN", f"TOKEN=$({login.curl('-f')} | {keep})"),
            ("Call what is protected: 200", call.curl()),
            ("The same without a token: 401, and WWW-Authenticate says how", call_bare.curl()),
            (
                "Log out: 200; the token is good no more: 401",
                f"{logout.curl()}; {call_again.curl()}",
            ),
        ]

    def check(self) -> Iterator[Outcome]:
        """Make every request and judge what comes back; the first that fails is the last."""
        token = ""
        for step in self.steps:
            try:
                status, challenge, body = _send(step, token)
            except (OSError, http.client.HTTPException) as error:
                yield Outcome(step.title, step.expected, passed=False, got=type(error).__name__)
                return
            passed = status == step.status and step.challenge in challenge and step.says in body
            if passed and not step.bears_token and step.challenge:
                passed = "error=" not in challenge
            got = f"{status} and {challenge}" if challenge else str(status)
            yield Outcome(step.title, step.expected, passed, got)
            if not passed:
                return
            if step.says == "access_token":
                token = str(json.loads(body)["access_token"])


def _send(step: Step, token: str) -> tuple[int, str, str]:
    parts = urlsplit(step.url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT)
    headers = {"Authorization": f"Bearer {token}"} if step.bears_token else {}
    body = None
    if step.body is not None:
        headers["Content-Type"] = "application/json"
        body = json.dumps(step.body)
    try:
        connection.request(step.method, parts.path, body, headers)
        response = connection.getresponse()
        text = response.read().decode("utf-8", "replace")
        return response.status, response.headers.get("WWW-Authenticate", ""), text
    finally:
        connection.close()
