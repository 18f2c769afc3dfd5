"""The machine: example applications, auth service, Redis and store, each a process of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Literal

from benchmarks.machine import files
from benchmarks.machine.files import CLIENTS
from benchmarks.machine.people import People
from benchmarks.machine.programs import Mongo, Redis, Server, Unavailable
from benchmarks.ports import HOST, free_port
from tokenward.commands import keys
from tokenward.commands import store as stores
from tokenward.config import Settings

__all__ = ["CLIENTS", "PLAIN", "PROTECTED", "TTL", "Stack", "stack"]

ROOT = Path(__file__).parents[2]
TTL = 300.0
"""Seconds for which an answer about a token is kept, if nothing else is said."""

PROTECTED, PLAIN = "/api/profile", "/health"
"""Of both applications: what wants a token and says whose it is, and what asks nobody."""

_TARGETS = {"flask": "app:app", "django": "project.wsgi:application"}


class Stack(People):
    """The machine, running, and the people who sign in at it; `stack` makes it.

    Attributes:
        folder: Where everything is kept, and logs.
        config: The auth service's configuration, for the command line's ``--config``.
        auth: The auth service.
        redis: The shared cache, and what carries revocations.
        mongo: The store's server; ``None``: the store is a file.
        apps: The applications, by their name.
    """

    def __init__(
        self,
        folder: Path,
        *,
        config: Path,
        auth: Server,
        redis: Redis,
        mongo: Mongo | None,
        apps: Mapping[str, Server],
    ) -> None:
        super().__init__(auth.port, files.client_secrets(folder))
        self.folder = folder
        self.config = config
        self.auth = auth
        self.redis = redis
        self.mongo = mongo
        self.apps = apps

    @property
    def flask(self) -> Server:
        """The Flask application."""
        return self.apps["flask"]

    @property
    def django(self) -> Server:
        """The Django site."""
        return self.apps["django"]

    def upstream_calls(self) -> Counter[str]:
        """Return how many requests each path of the auth service was asked, as gunicorn counts."""
        return self.auth.calls()

    def rotate_keys(self) -> None:
        """Have the next key sign, as ``tokenward keys rotate --force`` does.

        Without ``--force`` it waits until whoever verifies signatures knows the key.
        """
        keys.rotate(Settings.from_file(self.config), force=True)


@contextlib.contextmanager
def stack(
    folder: Path,
    *,
    store: Literal["sqlite", "mongodb"] = "mongodb",
    ttl: float = TTL,
    workers: int = 2,
    threads: int = 4,
    apps: Collection[str] = ("flask", "django"),
    entries: int = 10_000,
    service: Mapping[str, int] | None = None,
    targets: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Iterator[Stack]:
    """Start the machine; what is yielded runs, and is ended with the block.

    Args:
        folder: Where everything is kept, and logs; empty.
        store: The auth service's.
        ttl: Seconds for which an application keeps an answer about a token.
        workers: Processes of each application, and of the auth service.
        threads: Of each process; the auth service's have twice as many, so that both applications
            can ask at once.
        apps: Which applications: ``flask``, ``django``.
        entries: Bound of each cache of an application.
        service: Numbers of the section ``service``, such as ``access_token_lifetime``.
        targets: What gunicorn runs in place of an application, by its name: ``module:name``, in
            the application's own folder, with this repository on the path.
        environ: More of the environment of the applications.

    Raises:
        Unavailable: A program is not installed, or does not start.
    """
    with contextlib.ExitStack() as running:
        redis = running.enter_context(Redis(folder))
        mongo = running.enter_context(Mongo(folder)) if store == "mongodb" else None
        auth_port = free_port()
        config = files.write(
            folder,
            issuer=f"http://{HOST}:{auth_port}",
            store=mongo.url if mongo else f"sqlite:///{folder / 'tokenward.db'}",
            redis=redis.url,
            service=service or {},
        )
        auth = Server(
            "auth",
            folder,
            "tokenward.wsgi:service_app()",
            port=auth_port,
            environ={"TOKENWARD_CONFIG": str(config)},
            workers=workers,
            threads=2 * threads,
            health="/health/ready",
        )
        served = {
            name: _application(
                name,
                folder,
                target=(targets or {}).get(name, _TARGETS[name]),
                workers=workers,
                threads=threads,
                environ={
                    "AUTH_URL": auth.url,
                    "AUTH_TTL": str(ttl),
                    "AUTH_CACHE_ENTRIES": str(entries),
                    "REDIS_URL": redis.url,
                }
                | dict(environ or {}),
            )
            for name in apps
        }
        stores.init(Settings.from_file(config))
        # All at once: most of what each does until it answers is to import modules.
        for server in (auth, *served.values()):
            running.callback(server.kill)
            server.launch()
        for server in (auth, *served.values()):
            server.wait()
        yield Stack(folder, config=config, auth=auth, redis=redis, mongo=mongo, apps=served)


def _application(
    name: str,
    folder: Path,
    *,
    target: str,
    workers: int,
    threads: int,
    environ: Mapping[str, str],
) -> Server:
    home = ROOT / "examples" / f"example_{name}"
    own = {
        "AUTH_SECRET_FILE": str(files.path(folder, CLIENTS[name])),
        "REDIS_SECRET_FILE": str(files.path(folder, "redis")),
        "PYTHONPATH": str(ROOT),
    }
    if name == "django":
        own |= {"DATA_FOLDER": str(folder), "DJANGO_SETTINGS_MODULE": "project.settings"}
        _migrate(home, own | dict(environ))
    return Server(
        name,
        folder,
        target,
        port=free_port(),
        environ=own | dict(environ),
        workers=workers,
        threads=threads,
        chdir=home,
    )


def _migrate(home: Path, environ: Mapping[str, str]) -> None:
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, str(home / "manage.py"), "migrate", "-v0"],
        env=os.environ | dict(environ),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Unavailable(f"the Django site has no database: {done.stderr[-2000:]}")
