"""A server that speaks MongoDB's protocol, on a free loopback port, for tests to kill and restart.

It is SecantusDB, in a virtual environment of its own: a process to talk to, and nothing to import.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import subprocess
import time
from pathlib import Path

import pymongo
from benchmarks.ports import free_port
from pymongo.errors import PyMongoError

PATIENCE = 90.0
_PROGRAM = Path(__file__).parents[2] / "build/peers/secantus/bin/secantusd-py"
_FOR_EVER = 2**31 - 1


class MongoServer:
    """Runs ``secantusd-py`` in a folder of the test's; a context manager.

    Args:
        folder: Where it keeps its log and its data.
        options: Further options, such as ``"--enable-test-commands"``, ``"--standalone"``.
        password: What clients must say, as the user ``root``.
    """

    def __init__(self, folder, *options, password=None):
        self.folder = Path(folder)
        self.password = password
        self.port = free_port()
        self._options = options
        self._process = None
        self._numbers = itertools.count(1)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()

    def url(self, database, *, port=None):
        """Return the URL of a database; through a proxy on ``port``, if there is one."""
        secret = f"root:{self.password}@" if self.password else ""
        source = "&authSource=admin" if self.password else ""
        at = f"127.0.0.1:{port or self.port}"
        return f"mongodb://{secret}{at}/{database}?directConnection=true{source}"

    def new_url(self, *, port=None):
        """Return the URL of a database that nobody has used."""
        return self.url(f"tokenward{next(self._numbers)}", port=port)

    def start(self):
        """Start it, on the same port and the same data as before, and wait until it answers."""
        assert _PROGRAM.exists(), "these tests need SecantusDB: run tools/install_peers.sh"
        if self.password and not (self.folder / "data").exists():
            self._launch()
            with self.client() as client:
                client.admin.command("createUser", "root", pwd=self.password, roles=["root"])
            self._stop()
        self._launch(*(["--auth"] if self.password else []))

    def kill(self):
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._process = None

    def _stop(self):
        self._process.terminate()
        self._process.wait(PATIENCE)

    @contextlib.contextmanager
    def client(self, url=None, **options):
        """Return a client that is closed again; without ``url``, one that nobody has to let in."""
        at = url or f"mongodb://127.0.0.1:{self.port}/?directConnection=true"
        with pymongo.MongoClient(at, **options) as client:
            yield client

    def keep_expired(self, url):
        """Have the server's own clock delete nothing in a store that is there.

        For tests whose clock stands still somewhere in the past.
        """
        with self.client(url) as client:
            database = client.get_default_database()
            for name in database.list_collection_names():
                for index in database[name].list_indexes():
                    if "expireAfterSeconds" in index:
                        longer = {"name": index["name"], "expireAfterSeconds": _FOR_EVER}
                        database.command("collMod", name, index=longer)

    def _launch(self, *options):
        # A run of tests that is killed takes it along, where there is util-linux to say so.
        along = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        command = [*along, _PROGRAM, "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--storage-path", self.folder / "data", "--cache-size", "128M"]
        # No settings that lie around on this machine.
        empty = self.folder / "secantusd.toml"
        empty.touch()
        command += ["--log-level", "WARNING", "--config", empty, *self._options, *options]
        with (self.folder / "mongo.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            assert self._process.poll() is None, (self.folder / "mongo.log").read_text()
            assert time.monotonic() < deadline, "secantusd-py does not answer"
            time.sleep(0.05)

    def _answers(self):
        with (
            contextlib.suppress(PyMongoError),
            self.client(serverSelectionTimeoutMS=500) as client,
        ):
            client.admin.command("ping")
            return True
        return False
