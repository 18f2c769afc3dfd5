"""The example applications, running, and the Chromium of this machine to look at them."""

import http.client
import json
import shutil
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from benchmarks.ports import free_port
from playwright.sync_api import Page, sync_playwright

from tokenward.commands.demo.programs import ADMIN, PASSWORD, PORTS, clone, prepare
from tokenward.errors import AuthServiceUnavailable

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "build" / "screenshots"
PATIENCE = 90_000  # milliseconds
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


class Server:
    """Something that can be asked without a browser."""

    def __init__(self, url):
        self.url = url

    def ask(self, method, path, *, token=None, members=None):
        """Send a request as a program does; return the status, the headers and the JSON."""
        headers = {"Content-Type": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=90)
        try:
            body = None if members is None else json.dumps(members)
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.headers, json.loads(response.read())
        finally:
            connection.close()


class Site(Server):
    """One of the two examples."""

    def __init__(self, url, name, cookie, auth):
        super().__init__(url)
        self.name = name
        self.cookie = cookie
        self._auth = auth

    def sign_in(self, page, username=ADMIN, password=PASSWORD, *, path="/sign-in"):
        """Fill in the form at a path as a person does, and send it."""
        page.goto(f"{self.url}{path}")
        page.get_by_label("Name").fill(username)
        page.get_by_label("Password").fill(password)
        with page.expect_navigation() as sent:
            page.get_by_role("button", name="Sign in").click()
        return sent.value

    def enter(self, page):
        """Open the profile as somebody who has signed in; that was not this page's business."""
        cookie = {"name": self.cookie, "value": self._token, "url": self.url}
        page.context.add_cookies([{**cookie, "httpOnly": True, "sameSite": "Lax"}])
        assert 200 == page.goto(f"{self.url}/profile").status

    def cookie_in(self, page):
        """Return the sign-in cookie as the browser keeps it; `None`: there is none with a value."""
        kept = page.context.cookies(self.url)
        mine = (c for c in kept if c["name"] == self.cookie and c["value"].strip('"'))
        return next(mine, None)

    @cached_property
    def _token(self):
        account = {"username": ADMIN, "password": PASSWORD}
        return self._auth.ask("POST", "/login", members=account)[2]["access_token"]


class Sites:
    """Everything that runs."""

    def __init__(self, programs, *, secure):
        self.programs = programs
        self.auth = Server(programs.auth.url)
        prefix = "__Host-" if secure else ""
        self.flask, self.django = (
            Site(program.url, name, f"{prefix}example_{name}", self.auth)
            for name, program in (("flask", programs.flask), ("django", programs.django))
        )


@pytest.fixture(scope="session")
def running(tmp_path_factory):
    """A function that runs the three programs, on ports and in a folder of their own."""

    def running(*, secure=False):
        return _running(tmp_path_factory.mktemp("browser") / "demo", secure=secure)

    return running


@contextmanager
def _running(folder, *, secure):
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        # What the examples say about their cookies; see their settings.
        patch.setenv("HTTPS", "1" if secure else "0")
        programs = prepare(clone(), folder, [free_port() for _ in PORTS])
        for process in programs.all:
            stack.enter_context(process)
        for process in programs.all:
            stack.callback(process.ask_to_stop)
        for process in programs.all:
            try:
                process.wait_until_ready()
            except AuthServiceUnavailable as error:
                pytest.fail(error.hint)
        yield Sites(programs, secure=secure)


@pytest.fixture(scope="session")
def sites(running):
    """What a person who runs the demo has before them."""
    with running() as sites:
        yield sites


@pytest.fixture(params=["flask", "django"])
def site(request, sites):
    """Each of the two examples."""
    return getattr(sites, request.param)


@pytest.fixture(scope="module")
def browser():
    """One browser for all tests of a module.

    Closed with it: its event loop lives in this thread, where Django would find it and refuse to
    speak to a database.
    """
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        pytest.fail("no Chromium on this machine; run: tools/install_browser.sh", pytrace=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            timeout=PATIENCE,
            args=ARGUMENTS,
            # Back is to be what it is for a person.
            ignore_default_args=["--disable-back-forward-cache"],
        )
        yield browser
        browser.close()


@dataclass
class Window:
    """A page, and what went on in it that must not.

    Attributes:
        page: The page.
        elsewhere: What was asked for, by a page or by a redirect, that is not of this machine.
        forbidden: What a page needed and its own policy forbids.
    """

    page: Page
    elsewhere: list[str] = field(default_factory=list)
    forbidden: list[str] = field(default_factory=list)

    def watch(self, request):
        if urlsplit(request.url).hostname not in ("127.0.0.1", "localhost", None):
            self.elsewhere.append(request.url)

    def listen(self, message):
        if "Content Security Policy" in message.text:
            self.forbidden.append(message.text)


@pytest.fixture(scope="module")
def window(browser):
    """One window for all tests of a module: a new one takes a quarter of a second."""
    with browser.new_context() as context:
        window = Window(context.new_page())
        window.page.set_default_timeout(PATIENCE)
        window.page.on("request", window.watch)
        window.page.on("console", window.listen)
        yield window


@pytest.fixture
def page(window):
    """A page without cookies, in which nothing goes on that must not."""
    page = window.page
    page.goto("about:blank")
    page.context.clear_cookies()
    page.set_viewport_size({"width": 1280, "height": 720})
    page.emulate_media(color_scheme="light")
    yield page
    went_on = (window.elsewhere[:], window.forbidden[:])
    window.elsewhere.clear()
    window.forbidden.clear()
    assert ([], []) == went_on


@pytest.fixture(scope="session")
def look():
    """A function that takes pictures of a page, narrow and wide, by day and by night.

    They are for people to look at; what can be told without looking is checked here.
    """
    PICTURES.mkdir(parents=True, exist_ok=True)

    def look(page, name):
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            for width in (375, 1280):
                page.set_viewport_size({"width": width, "height": 720})
                page.screenshot(path=PICTURES / f"{name}-{width}-{scheme}.png")
                needed = page.evaluate("document.documentElement.scrollWidth")
                assert (name, scheme, width) == (name, scheme, max(width, needed))

    return look
