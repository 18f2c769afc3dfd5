"""One request of the demo's round trip: as a command to paste, and as it is made and judged."""

from __future__ import annotations

import base64
import http.client
import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode, urlsplit

TIMEOUT = 15.0

_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"
_BEARER = '"Authorization: Bearer $TOKEN"'
_variable = re.compile(r"\$([A-Z]+)")


@dataclass(frozen=True, slots=True)
class Step:
    """One request, and what must come back.

    ``$NAME`` in a body stands for what an earlier step has kept under that name.

    Attributes:
        title: What it is, as the imperative.
        method: Its method.
        url: Where it goes.
        status: The status that must come back.
        body: Its JSON body.
        form: Its form.
        bears_token: Whether it carries the token that was kept.
        as_client: Whether it is from a client of the service, who says so.
        challenge: What ``WWW-Authenticate`` must hold.
        says: What the body of the answer must hold.
        keeps: What is kept of the answer, by the name it is kept under.
    """

    title: str
    method: str
    url: str
    status: int
    body: Mapping[str, str] | None = None
    form: Mapping[str, str] | None = None
    bears_token: bool = False
    as_client: bool = False
    challenge: str = ""
    says: str = ""
    keeps: Mapping[str, str] = field(default_factory=dict)

    @property
    def expected(self) -> str:
        """What must come back, for a person."""
        return f"{self.status} and {self.challenge}" if self.challenge else str(self.status)

    def curl(self, *options: str, client: str = "") -> str:
        """Return the request as a command.

        Args:
            options: What to show; otherwise the whole answer.
            client: How a shell says whom it is from, where it is from a client.
        """
        words = ["curl", "-sS", *(options or ("-i", "-w", r"'\n'"))]
        if self.method != "GET":
            words += ["-X", self.method]
        words.append(self.url)
        if self.as_client:
            words += ["-u", client]
        if self.bears_token:
            words += ["-H", _BEARER]
        if self.body is not None:
            words += ["-H", shlex.quote(f"Content-Type: {_JSON}"), "-d", _said(self.body)]
        for name, value in (self.form or {}).items():
            words += ["-d", f'"{name}={value}"']
        return " ".join(words)

    def keeping(self, *, client: str = "") -> str:
        """Return the request as a command that keeps what is to be kept, and shows nothing."""
        kept = "; ".join(
            rf"""{name}=$(sed -n 's/.*"{member}": *"\([^"]*\)".*/\1/p' <<<"$ANSWER")"""
            for name, member in self.keeps.items()
        )
        return f"ANSWER=$({self.curl('-f', client=client)}); {kept}"

    def make(self, kept: Mapping[str, str], client: tuple[str, str]) -> Answer:
        """Make the request.

        Args:
            kept: What ``$NAME`` stands for.
            client: The client's name and secret.

        Raises:
            OSError: Nobody answers.
            http.client.HTTPException: What answers does not speak HTTP.
        """
        headers = {}
        if self.bears_token:
            headers["Authorization"] = f"Bearer {kept['TOKEN']}"
        if self.as_client:
            credentials = base64.b64encode(":".join(client).encode()).decode()
            headers["Authorization"] = f"Basic {credentials}"
        sent = None
        if self.body is not None:
            headers["Content-Type"] = _JSON
            sent = json.dumps(_filled(self.body, kept))
        elif self.form is not None:
            headers["Content-Type"] = _FORM
            sent = urlencode(_filled(self.form, kept))
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT)
        try:
            connection.request(self.method, parts.path, sent, headers)
            response = connection.getresponse()
            text = response.read().decode("utf-8", "replace")
            return Answer(response.status, response.headers.get("WWW-Authenticate", ""), text)
        finally:
            connection.close()

    def judge(self, answer: Answer) -> Outcome:
        """Say whether that is what had to come back."""
        passed = (
            answer.status == self.status
            and self.challenge in answer.challenge
            and self.says in answer.body
            and all(f'"{member}"' in answer.body for member in self.keeps.values())
        )
        if passed and self.challenge and not self.bears_token:
            passed = "error=" not in answer.challenge
        return Outcome(self.title, self.expected, passed, str(answer))

    def kept_of(self, answer: Answer) -> dict[str, str]:
        """Return what is to be kept."""
        if not self.keeps:
            return {}
        said = json.loads(answer.body)
        return {name: str(said[member]) for name, member in self.keeps.items()}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    challenge: str
    body: str

    def __str__(self) -> str:
        return f"{self.status} and {self.challenge}" if self.challenge else str(self.status)


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


def _said(body: Mapping[str, str]) -> str:
    text = json.dumps(body)
    if _variable.search(text) is None:
        return shlex.quote(text)
    # In double quotes, so that the shell puts in what it has kept.
    return '"' + text.replace('"', '\\"') + '"'


def _filled(said: Mapping[str, str], kept: Mapping[str, str]) -> dict[str, str]:
    return {
        name: _variable.sub(lambda found: kept[found[1]], value) for name, value in said.items()
    }
