"""The auth service as a process of its own, and what asks it: programs that nobody here wrote."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.ports import free_port

PEERS = Path(__file__).parents[3] / "build" / "peers"
SCRIPTS = Path(__file__).parent
PATIENCE = 90.0


class Service:
    """Runs ``tokenward serve`` with a store of its own, on a free loopback port.

    A context manager. The issuer is where it listens, with ``path`` behind it.

    Args:
        folder: Where it keeps its log, its configuration and, with SQLite, its store.
        store: The URL of the store.
        path: Of the issuer.
        settings: The rest of the section ``service``.
    """

    def __init__(self, folder, store, *, path="", **settings):
        self.root = f"http://127.0.0.1:{free_port()}"
        self.issuer = self.root + path
        self.log = Path(folder) / "serve.log"
        self._config = Path(folder) / "tokenward.toml"
        section = {"issuer": self.issuer, "store": store, **settings}
        self._config.write_text(f"service = {_toml(section)}\n", "utf-8")
        self._process = None

    def __enter__(self):
        self._run("store", "init")
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                self._command("serve", "--bind", self.root.removeprefix("http://")),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + PATIENCE
        while b"\nServing " not in b"\n" + self.log.read_bytes():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise AssertionError(f"the service did not start:\n{self.log.read_text('utf-8')}")
            time.sleep(0.02)
        return self

    def __exit__(self, *_):
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        finally:
            self._process.kill()
            self._process.wait()

    def _run(self, *arguments):
        done = subprocess.run(
            self._command(*arguments), capture_output=True, text=True, check=False, timeout=PATIENCE
        )
        assert 0 == done.returncode, done.stdout + done.stderr

    def _command(self, *arguments):
        return [sys.executable, "-m", "tokenward", *arguments, "--config", self._config]


def by_node(script, settings):
    """Return what a script of this folder says, run by Node with the packages of package.json."""
    installed = PEERS / "relying"
    assert (installed / "node_modules").is_dir(), _missing(installed)
    # From where the packages are: that is where Node looks for them.
    command = [PEERS / "bin" / "node", "--input-type=module", "-", json.dumps(settings)]
    return _said(command, cwd=installed, stdin=(SCRIPTS / script).read_text("utf-8"))


def by_python(package, script, settings):
    """Return what a script of this folder says, run in the virtual environment of a package."""
    python = PEERS / package / "bin" / "python"
    assert python.exists(), _missing(python)
    command = [python, SCRIPTS / script, json.dumps(settings)]
    return _said(command, cwd=PEERS, stdin=None)


def _said(command, *, cwd, stdin):
    done = subprocess.run(
        command,
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    return json.loads(done.stdout)


def _missing(path):
    return f"{path} is missing: run tools/install_peers.sh"


def _toml(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_toml(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    # A JSON string, number or boolean is one of TOML too.
    return json.dumps(value, ensure_ascii=False)
