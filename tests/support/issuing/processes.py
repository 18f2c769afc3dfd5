"""`tokenward serve` as a process that a test may kill, and a visitor who speaks HTTP to it."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import requests
from benchmarks.ports import free_port

from tokenward.config import Settings
from tokenward.config.build.store import initialize_store

PATIENCE = 90.0
CLIENT = ("shop", "9f8a-77e1-quartz-lantern")
# The throttle counts, and refuses nobody.
CONFIG = """
[service]
issuer = "https://auth.example"
audience = "orders"
store = "{store}"
registration = "open"
password = {{ bcrypt_cost = 4 }}

[service.throttle]
storage = "{counters}"
per_name_and_address = "{many}"
per_address = "{many}"
per_name = "{many}"

[service.keys]
secrets = ["kq3V-new-8fJ2_0pTzXw7Lm"]

[[service.clients]]
client_id = "shop"
client_secret = "9f8a-77e1-quartz-lantern"
scopes = ["read"]
grants = ["client_credentials", "refresh_token"]
"""


class Site:
    """A store, its configuration, and the processes that serve it.

    Args:
        folder: Where configuration and logs go.
        store: The URL of a store; it is made.
        counters: The storage of the throttle.

    Attributes:
        config: The path of the configuration.
        settings: The same, read.
    """

    def __init__(self, folder, store, *, counters="memory"):
        self.folder = folder
        self.config = folder / "tokenward.toml"
        text = CONFIG.format(store=store, counters=counters, many="1000000/hour")
        self.config.write_text(text, "utf-8")
        self.settings = Settings.from_file(str(self.config))
        initialize_store(self.settings)

    def command(self, *arguments):
        """Return the command line of a command on this site."""
        return [sys.executable, "-m", "tokenward", *arguments, "--config", str(self.config)]

    @contextmanager
    def serving(self, number=1):
        """Run so many processes; each is started at the same moment, and killed at the end."""
        processes = [Process(self, f"serve-{at}") for at in range(number)]
        try:
            for process in processes:
                process.launch()
            for process in processes:
                process.wait()
            yield processes
        finally:
            for process in processes:
                process.kill()


class Process:
    """One process of a site, always at the same address.

    Args:
        site: The site.
        name: Of its log.
    """

    def __init__(self, site, name):
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._site = site
        self._log = site.folder / f"{name}.log"
        self._log.touch()
        self._seen = 0
        self._process = None

    @property
    def pid(self):
        return self._process.pid

    @property
    def log(self):
        """What it, and those before it at this address, have said."""
        return self._log.read_text("utf-8")

    def launch(self):
        """Start it; `wait` until it answers."""
        self._seen = len(self._log.read_bytes())
        bind = ["--bind", f"127.0.0.1:{self._port}", "--threads", "8"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._site.command("serve"), *bind], stdout=log, stderr=log
            )

    def wait(self):
        deadline = time.monotonic() + PATIENCE
        while not re.search(rb"(?m)^Serving https://", self._log.read_bytes()[self._seen :]):
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)

    def kill(self):
        """End it as ``kill -9`` does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._process = None


class Visitor:
    """Asks one service, and sends nothing twice; one thread's own."""

    def __init__(self, url):
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._session.close()

    def get(self, path, *, token=None):
        return self._ask("GET", path, headers=_bearer(token))

    def post(self, path, members=None, *, token=None, by_client=False):
        """Post JSON; as the bearer of a token, or as a client that passes it on."""
        auth = CLIENT if by_client else None
        return self._ask("POST", path, json=members, headers=_bearer(token), auth=auth)

    def form(self, path, **fields):
        """Post a form, as the client."""
        return self._ask("POST", path, data=fields, auth=CLIENT)

    def register(self, name, password):
        account = {"username": name, "email": f"{name}@example.com", "password": password}
        return self.post("/register", account)

    def log_in(self, name, password, *, by_client=False):
        return self.post("/login", {"username": name, "password": password}, by_client=by_client)

    def refresh(self, refresh_token, *, by_client=False):
        """Trade a refresh token: a person's own, or at the token endpoint the client's."""
        if by_client:
            return self.form("/token", grant_type="refresh_token", refresh_token=refresh_token)
        return self.post("/refresh", {"refresh_token": refresh_token})

    def is_active(self, token):
        answer = self.form("/introspect", token=token)
        assert answer.status_code == 200, answer.text
        return answer.json()["active"]

    def _ask(self, method, path, **how):
        return self._session.request(method, self._url + path, timeout=PATIENCE, **how)


def _bearer(token):
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def at_once(urls, number, ask):
    """Have so many threads ask at the same moment, in turn at each service; return all answers.

    Args:
        urls: Where.
        number: How many threads.
        ask: Is given a visitor, and which of all it is.
    """
    barrier = threading.Barrier(number)
    answers = []

    def one(url, at):
        with Visitor(url) as visitor:
            # The connection is there before the others are waited for.
            visitor.get("/health/live")
            barrier.wait(PATIENCE)
            answers.append(ask(visitor, at))

    threads = [
        threading.Thread(target=one, args=(urls[at % len(urls)], at)) for at in range(number)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * PATIENCE)
    assert len(answers) == number
    return answers
