"""The three programs of the demo: an auth service, and what it protects with Flask and Django."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenward.commands import store, users
from tokenward.commands.demo import files
from tokenward.commands.demo.mail import Mailbox
from tokenward.commands.demo.processes import HOST, Process
from tokenward.config import Settings
from tokenward.errors import ConfigurationError

AUTH_PORT, FLASK_PORT, DJANGO_PORT = PORTS = (8000, 8001, 8002)

ADMIN = "demo"
EDITOR = "editor"
PASSWORD = "demo-password"  # noqa: S105 - printed on purpose, for a service on this machine only
NEW_PASSWORD = "another-demo-password"  # noqa: S105 - the same

_AUTH_LOG = "auth-service"
_PEOPLE = {ADMIN: ["admin"], EDITOR: ["editor"]}
_FLASK = Path("examples", "example_flask", "app.py")
_DJANGO = Path("examples", "example_django", "app.py")
_NEEDED = ("flask", "django", "waitress", "limits")


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs, in the order in which they start, and what was written for them."""

    auth: Process
    flask: Process
    django: Process
    files: files.Files

    @property
    def all(self) -> tuple[Process, ...]:
        """Each of them."""
        return self.auth, self.flask, self.django

    @property
    def mailbox(self) -> Mailbox:
        """Where the auth service's mail goes."""
        return Mailbox(self.files.log(_AUTH_LOG))


def clone() -> Path:
    """Return the clone that this package is imported from, with all that the demo needs.

    Raises:
        ConfigurationError: There is none, or something is not installed.
    """
    root = Path(__file__).resolve().parents[4]
    if not all((root / example).is_file() for example in (_FLASK, _DJANGO)):
        raise ConfigurationError(
            "The demo runs the example applications, and an installed tokenward does not bring "
            "them: clone the repository, and run `make demo` there."
        )
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"The demo needs {' and '.join(missing)}; run: "
            "pip install 'tokenward[flask,django,serve]'"
        )
    return root


def prepare(root: Path, folder: Path, ports: Sequence[int]) -> Programs:
    """Write what the programs need, and return them, not started yet.

    Args:
        root: The clone.
        folder: Where the demo keeps its files.
        ports: One for each program.

    Raises:
        ConfigurationError: A file cannot be written, or cannot be used.
    """
    auth_bind, flask_bind, django_bind = (f"{HOST}:{port}" for port in ports)
    auth_url = f"http://{auth_bind}"
    written = files.write(folder, auth_url)
    _fill_store(written)
    return Programs(
        Process(
            "the auth service",
            ["tokenward", "serve", "--config", str(written.config), "--bind", auth_bind],
            bind=auth_bind,
            health="/health/ready",
            log=written.log(_AUTH_LOG),
        ),
        Process(
            "the Flask application",
            [str(root / _FLASK), "--bind", flask_bind],
            bind=flask_bind,
            health="/health",
            log=written.log("example-flask"),
            environment={
                "AUTH_URL": auth_url,
                "AUTH_SECRET_FILE": str(written.client_secret(files.FLASK_CLIENT)),
            },
        ),
        Process(
            "the Django site",
            [str(root / _DJANGO), "--bind", django_bind],
            bind=django_bind,
            health="/health",
            log=written.log("example-django"),
            environment={
                "AUTH_URL": auth_url,
                "AUTH_SECRET_FILE": str(written.client_secret(files.DJANGO_CLIENT)),
                "DATA_FOLDER": str(folder),
            },
        ),
        written,
    )


def _fill_store(written: files.Files) -> None:
    settings = Settings.from_file(written.config)
    try:
        store.init(settings)
        for name, roles in _PEOPLE.items():
            users.add(
                settings,
                name,
                email=f"{name}@example.com",
                password=PASSWORD,
                roles=roles,
                if_missing=True,
            )
    except ConfigurationError as error:
        raise ConfigurationError(
            f"{error} The demo's files are for trying out only: remove {written.folder}, and "
            "start again."
        ) from None
