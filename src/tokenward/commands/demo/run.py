"""The demo itself."""

from __future__ import annotations

import importlib.util
import secrets
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from tokenward.commands import store, users
from tokenward.commands.demo import files
from tokenward.commands.demo.processes import HOST, PortTaken, Process, free_ports
from tokenward.commands.demo.tour import Tour
from tokenward.config import Settings
from tokenward.errors import AuthServiceUnavailable, ConfigurationError

if TYPE_CHECKING:
    from tokenward.commands import Output

FOLDER = ".demo"
AUTH_PORT = 8000
APP_PORT = 8001
ADMIN = "demo"
PASSWORD = "demo-password"  # noqa: S105 - printed on purpose, for a service on this machine only

_EXAMPLE = Path("examples", "example_flask", "app.py")
_WATCH_SECONDS = 0.25


def run(output: Output, *, check: bool = False, folder: Path | None = None) -> bool:
    """Start an auth service and an application it protects, on this machine.

    Args:
        output: Where to say what to do with them.
        check: Make the round trip at once, and stop; otherwise run until interrupted.
        folder: Where to keep the store, the secrets and the logs; ``None``: ``.demo`` in the
            clone.

    Returns:
        Whether everything went as it should.

    Raises:
        ConfigurationError: The examples or what they need are not installed.
        AuthServiceUnavailable: A process does not start.
    """
    root = _clone()
    folder = (folder or root / FOLDER).absolute()
    try:
        with _terminable(), _started(root, folder, output) as (auth, app):
            # A name of its own each time: the store, and who registered, outlive the demo.
            tour = Tour(auth.url, app.url, f"ada-{secrets.token_hex(3)}", PASSWORD)
            if check:
                return _make(tour, output)
            output.say(f"Running {auth}\nand {app}.\n")
            _show(tour, folder, output)
            _watch(auth, app)
    except KeyboardInterrupt:
        if check:
            raise
        output.note("Stopped.")
        return True


def _clone() -> Path:
    """Return the clone that this package is imported from."""
    root = Path(__file__).resolve().parents[4]
    if not (root / _EXAMPLE).is_file():
        raise ConfigurationError(
            "The demo runs the example applications, and an installed tokenward does not bring "
            "them: clone the repository, and run `make demo` there."
        )
    missing = [name for name in ("flask", "waitress") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"The demo needs {' and '.join(missing)}; run: pip install 'tokenward[flask,serve]'"
        )
    return root


@contextmanager
def _started(root: Path, folder: Path, output: Output) -> Iterator[tuple[Process, Process]]:
    """Start both, on the usual ports or others; stop them, both at once, at the end."""
    usual = (AUTH_PORT, APP_PORT)
    # Somebody may be quicker with a port that was free a moment ago: then any free one will do.
    for ports in (free_ports(*usual), free_ports(0, 0)):
        processes = _processes(root, folder, ports)
        with ExitStack() as stack:
            for process in processes:
                stack.enter_context(process)
            for process in processes:
                stack.callback(process.ask_to_stop)
            try:
                for process in processes:
                    process.wait_until_ready()
            except PortTaken:
                continue
            for port, instead in zip(usual, ports, strict=True):
                if port != instead:
                    output.note(f"Port {port} is taken; using {instead} instead.")
            yield processes
            return
    raise AuthServiceUnavailable("no port could be had", reason="no_port")


def _processes(root: Path, folder: Path, ports: Sequence[int]) -> tuple[Process, Process]:
    """Write what the two processes need, and return them, not started yet."""
    auth_bind, app_bind = (f"{HOST}:{port}" for port in ports)
    written = files.write(folder, f"http://{auth_bind}")
    _fill_store(written)
    auth = Process(
        "the auth service",
        ["tokenward", "serve", "--config", str(written.config), "--bind", auth_bind],
        bind=auth_bind,
        health="/health/ready",
        log=written.log("auth-service"),
    )
    app = Process(
        "the protected application",
        [str(root / _EXAMPLE), "--bind", app_bind],
        bind=app_bind,
        health="/health",
        log=written.log("example-flask"),
        environment={"AUTH_URL": auth.url, "AUTH_SECRET_FILE": str(written.client_secret)},
    )
    return auth, app


def _fill_store(written: files.Files) -> None:
    settings = Settings.from_file(written.config)
    try:
        store.init(settings)
        users.add(
            settings,
            ADMIN,
            email=f"{ADMIN}@example.com",
            password=PASSWORD,
            roles=["admin"],
            if_missing=True,
        )
    except ConfigurationError as error:
        raise ConfigurationError(
            f"{error} The demo's files are for trying out only: remove {written.folder}, and "
            "start again."
        ) from None


def _make(tour: Tour, output: Output) -> bool:
    passed = False
    for outcome in tour.check():
        step, passed = outcome.step, outcome.passed
        expected = f"{step.status} and {step.challenge}" if step.challenge else str(step.status)
        word = "ok  " if passed else "FAIL"
        output.say(f"{word} {step.title}: expected {expected}, got {outcome.got}")
    return passed


def _show(tour: Tour, folder: Path, output: Output) -> None:
    output.say("Paste these into another terminal, in this order:\n")
    for number, (comment, line) in enumerate(tour.lines(), 1):
        output.say(f"# {number}. {comment}\n{line}\n")
    output.say(f"""\
There is also the user {ADMIN} with the password {PASSWORD}, whose role opens {tour.app}/admin.
Everything is kept in {folder}: remove it to start anew.
Ctrl-C stops both.""")


def _watch(*processes: Process) -> NoReturn:
    """Wait for an interrupt; raise `AuthServiceUnavailable` when a process ends by itself."""
    while True:
        for process in processes:
            process.check_alive()
        time.sleep(_WATCH_SECONDS)


@contextmanager
def _terminable() -> Iterator[None]:
    """Make SIGTERM what Ctrl-C is, for as long as there is something to stop."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
