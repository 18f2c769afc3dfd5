"""The round trip of a person with a browser, made without one."""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.cookies import SimpleCookie
from urllib.parse import urlencode, urlsplit

from tokenward.commands.demo.step import TIMEOUT, Outcome

PROFILE = "/profile"
SIGN_IN = "/sign-in"
SIGN_IN_FIRST = f"{SIGN_IN}?next={PROFILE}"
ADMIN = "/admin/"
ADMIN_LOGIN = f"{ADMIN}login/"

# What Django puts into its forms.
_csrf_field = re.compile(r'name="(csrfmiddlewaretoken)" value="([^"]+)"').search


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; ``location`` is where a redirect leads, without scheme and host."""

    status: int
    location: str
    text: str

    def __str__(self) -> str:
        return f"{self.status} and {self.location}" if self.location else str(self.status)


class Browser:
    """What a browser does: it keeps cookies, fills in forms, and says where they are from.

    Args:
        url: The origin that it visits.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._host = urlsplit(url).netloc
        self._cookies: dict[str, str] = {}
        self._hidden: dict[str, str] = {}

    def get(self, path: str) -> Answer:
        """Open a page."""
        return self._request("GET", path, None, {"Sec-Fetch-Site": "none"})

    def post(self, path: str, **fields: str) -> Answer:
        """Send the form of the page that was opened last."""
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Origin": self._url,
            "Sec-Fetch-Site": "same-origin",
        }
        return self._request("POST", path, urlencode({**self._hidden, **fields}), headers)

    def _request(
        self, method: str, path: str, body: str | None, headers: Mapping[str, str]
    ) -> Answer:
        sent = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", **headers}
        if self._cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        connection = http.client.HTTPConnection(self._host, timeout=TIMEOUT)
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            text = response.read().decode("utf-8", "replace")
        finally:
            connection.close()
        for line in response.headers.get_all("Set-Cookie", []):
            self._keep(line)
        if response.status < 300:
            field = _csrf_field(text)
            self._hidden = {field[1]: field[2]} if field else {}
        location = urlsplit(response.headers.get("Location", ""))
        return Answer(response.status, location._replace(scheme="", netloc="").geturl(), text)

    def _keep(self, line: str) -> None:
        for name, morsel in SimpleCookie(line).items():
            if morsel["max-age"] == "0" or not morsel.value:
                self._cookies.pop(name, None)
            else:
                self._cookies[name] = morsel.coded_value


def visit(url: str, username: str, password: str) -> Iterator[Outcome]:
    """Sign in, look at the profile, sign out; the first step that fails is the last.

    Args:
        url: Where the application is.
        username: Somebody who may sign in.
        password: Theirs.
    """
    browser = Browser(url)
    wrong = {"username": username, "password": f"not {password}"}
    right = {"username": username, "password": password}
    yield from _until_one_fails(
        ("profile, signed out", f"302 and {SIGN_IN_FIRST}", "", lambda: browser.get(PROFILE)),
        ("sign-in page", "200", "<form", lambda: browser.get(SIGN_IN_FIRST)),
        ("wrong password", "403", "<form", lambda: browser.post(SIGN_IN_FIRST, **wrong)),
        ("sign in", f"302 and {PROFILE}", "", lambda: browser.post(SIGN_IN_FIRST, **right)),
        ("profile, signed in", "200", username, lambda: browser.get(PROFILE)),
        ("sign out", "302 and /", "", lambda: browser.post("/sign-out")),
        ("profile, signed out again", f"302 and {SIGN_IN_FIRST}", "", lambda: browser.get(PROFILE)),
    )


def visit_admin(url: str, username: str, password: str, *, opens: bool) -> Iterator[Outcome]:
    """Try to get into Django's admin by its own form; the first step that fails is the last.

    Args:
        url: Where the Django site is.
        username: Somebody who may sign in.
        password: Theirs.
        opens: Whether their role opens it.
    """
    browser = Browser(url)
    account = {"username": username, "password": password, "next": ADMIN}
    back = f"302 and {ADMIN_LOGIN}?next={ADMIN}"
    yield from _until_one_fails(
        (f"admin, the form for {username}", "200", "<form", lambda: browser.get(ADMIN_LOGIN)),
        (
            f"admin, log in as {username}",
            f"302 and {ADMIN}" if opens else "200",
            "" if opens else "<form",
            lambda: browser.post(ADMIN_LOGIN, **account),
        ),
        (
            f"admin, the first page for {username}",
            "200" if opens else back,
            username if opens else "",
            lambda: browser.get(ADMIN),
        ),
    )


def _until_one_fails(*steps: tuple[str, str, str, Callable[[], Answer]]) -> Iterator[Outcome]:
    """Make each step: its title, what must come, what that must hold, and how it is made."""
    for title, expected, says, make in steps:
        try:
            answer = make()
        except (OSError, http.client.HTTPException) as error:
            yield Outcome(title, expected, passed=False, got=type(error).__name__)
            return
        passed = expected == str(answer) and says in answer.text
        yield Outcome(title, expected, passed, str(answer))
        if not passed:
            return
