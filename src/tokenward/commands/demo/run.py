"""The demo itself."""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from tokenward.commands.demo.files import DJANGO_CLIENT, FLASK_CLIENT
from tokenward.commands.demo.processes import PortTaken, Process, free_ports
from tokenward.commands.demo.programs import (
    ADMIN,
    EDITOR,
    NEW_PASSWORD,
    PASSWORD,
    PORTS,
    Programs,
    clone,
    prepare,
)
from tokenward.commands.demo.tour import Tour
from tokenward.commands.demo.visit import visit, visit_admin
from tokenward.errors import AuthServiceUnavailable

if TYPE_CHECKING:
    from tokenward.commands import Output
    from tokenward.commands.demo.step import Outcome

FOLDER = ".demo"

_WATCH_SECONDS = 0.25
_MORE_TRIES = 3


def run(output: Output, *, check: bool = False, folder: Path | None = None) -> bool:
    """Start an auth service and two applications it protects, on this machine.

    Args:
        output: Where to say what to do with them.
        check: Make every round trip at once, and stop; otherwise run until interrupted.
        folder: Where to keep the store, the secrets and the logs; ``None``: ``.demo`` in the
            clone.

    Returns:
        Whether everything went as it should.

    Raises:
        ConfigurationError: The examples or what they need are not installed.
        AuthServiceUnavailable: A process does not start.
    """
    root = clone()
    folder = (folder or root / FOLDER).absolute()
    try:
        with _terminable(), _started(root, folder, output) as programs:
            if check:
                return _say(output, _everything(programs))
            running = ",\n".join(map(str, programs.all))
            output.say(f"Running {running}.\n")
            _show(programs, folder, output)
            _watch(programs, output)
    except KeyboardInterrupt:
        if check:
            raise
        output.note("Stopped.")
        return True


@contextmanager
def _started(root: Path, folder: Path, output: Output) -> Iterator[Programs]:
    """Start all, on the usual ports or others; stop them, all at once, at the end."""
    # Somebody may be quicker with a port that was free a moment ago: then any free one will do.
    for wanted in (PORTS, *[[0] * len(PORTS)] * _MORE_TRIES):
        ports = free_ports(*wanted)
        programs = prepare(root, folder, ports)
        with ExitStack() as stack:
            for process in programs.all:
                stack.enter_context(process)
            for process in programs.all:
                stack.callback(process.ask_to_stop)
            try:
                for process in programs.all:
                    process.wait_until_ready()
            except PortTaken:
                continue
            for port, instead in zip(PORTS, ports, strict=True):
                if port != instead:
                    output.note(f"Port {port} is taken; using {instead} instead.")
            yield programs
            return
    raise AuthServiceUnavailable("no port could be had", reason="no_port")


def _tour(programs: Programs, app: Process) -> Tour:
    client_id = FLASK_CLIENT if app is programs.flask else DJANGO_CLIENT
    return Tour(
        programs.auth.url,
        app.url,
        # A name of its own each time: the store, and who registered, outlive the demo.
        f"ada-{secrets.token_hex(3)}",
        PASSWORD,
        NEW_PASSWORD,
        client_id,
        programs.files.client_secret(client_id),
        programs.mailbox,
    )


def _everything(programs: Programs) -> Iterator[Outcome]:
    """Make every round trip; each user is one that the round trip before it has registered."""
    for name, app in (("Flask", programs.flask), ("Django", programs.django)):
        tour = _tour(programs, app)
        for outcomes in (tour.check(), visit(app.url, tour.username, NEW_PASSWORD)):
            for outcome in outcomes:
                yield outcome.of(name)
    for name, password in ((ADMIN, PASSWORD), (tour.username, NEW_PASSWORD)):
        yield from visit_admin(programs.django.url, name, password, opens=name == ADMIN)


def _say(output: Output, outcomes: Iterable[Outcome]) -> bool:
    for outcome in outcomes:
        word = "ok  " if outcome.passed else "FAIL"
        output.say(f"{word} {outcome.title}: expected {outcome.expected}, got {outcome.got}")
        if not outcome.passed:
            return False
    return True


def _show(programs: Programs, folder: Path, output: Output) -> None:
    output.say(f"""\
Open these in a browser:

  {programs.flask.url}/          Flask: sign in, see your profile, sign out
  {programs.django.url}/          Django: the same
  {programs.django.url}/admin/    Django's own admin, with Django's own form

Sign in as {ADMIN} (role admin) or {EDITOR} (role editor), with the password {PASSWORD}.

Or paste these into another terminal, into bash, in this order:
""")
    for number, (comment, line) in enumerate(_tour(programs, programs.flask).lines(), 1):
        output.say(f"# {number}. {comment}\n{line}\n")
    output.say(f"""\
The same with {programs.django.url} asks Django. {ADMIN}'s role opens /api/admin of both.
What the service sends by mail is printed here. Everything is kept in {folder}: remove it to start
anew.
Ctrl-C stops all three.""")


def _watch(programs: Programs, output: Output) -> NoReturn:
    """Pass the mail on; raise `AuthServiceUnavailable` when a program ends by itself."""
    mailbox = programs.mailbox
    while True:
        for process in programs.all:
            process.check_alive()
        for line in mailbox.new():
            output.say(line)
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
