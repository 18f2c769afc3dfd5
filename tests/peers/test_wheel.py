"""The wheel, installed with one extra into an environment that has nothing else."""

import http.client
import json
import os
import signal
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = """
[service]
issuer = "http://127.0.0.1:8000"
audience = "orders"
store = "sqlite:///wheel.db"
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A virtual environment with the wheel of this tree and its extra ``serve``."""
    home = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", home, ROOT], check=True)
    (wheel,) = home.glob("tokenward-*.whl")
    venv.create(home / "venv", with_pip=False)
    python = home / "venv" / "bin" / "python"
    subprocess.run([*pip, "--python", python, "install", f"{wheel}[serve]"], check=True)
    return home


def _run(environment, *arguments):
    # Nothing of this checkout, and nothing of the suite's own environment, may leak in.
    clean = {"PATH": os.environ["PATH"], "HOME": str(environment), "LANG": "C.UTF-8"}
    return subprocess.run(
        [environment / "venv" / "bin" / arguments[0], *arguments[1:]],
        cwd=environment,
        env=clean,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )


@pytest.mark.timeout(300)
def test_every_public_name_imports_without_a_framework(environment):
    """Every root name resolves where neither Flask nor a driver is installed."""
    script = (
        "import importlib.util as u, tokenward, tokenward.wsgi;"
        "assert u.find_spec('flask') is None;"
        "[getattr(tokenward, name) for name in tokenward.__all__]"
    )
    done = _run(environment, "python", "-W", "error", "-c", script)
    assert (0, "") == (done.returncode, done.stderr)


@pytest.mark.timeout(300)
def test_the_flask_adapter_says_which_extra_it_needs(environment):
    """Importing the Flask adapter without Flask names the module that is missing."""
    done = _run(environment, "python", "-c", "import tokenward.flask")
    assert 1 == done.returncode
    assert "No module named 'flask'" in done.stderr


@pytest.mark.timeout(300)
def test_the_demo_says_that_it_needs_the_clone(environment):
    """The demo runs the clone's examples, and says so where there is no clone."""
    done = _run(environment, "tokenward", "demo")
    assert 2 == done.returncode
    assert "Traceback" not in done.stderr
    assert "clone" in done.stderr


@pytest.mark.timeout(300)
def test_it_serves(environment):
    """A store is made and served by the installed command, and SIGTERM ends it well."""
    (environment / "tokenward.toml").write_text(CONFIG, "utf-8")
    made = _run(environment, "tokenward", "store", "init", "--config", "tokenward.toml")
    assert (0, "") == (made.returncode, made.stderr)
    command = [environment / "venv" / "bin" / "tokenward", "serve"]
    options = ["--config", "tokenward.toml", "--bind", "127.0.0.1:0"]
    with subprocess.Popen(
        [*command, *options], cwd=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            ready = process.stdout.readline()
            port = int(ready.rsplit(":", 1)[1].strip().rstrip("/. "))
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=90)
            connection.request("GET", "/.well-known/jwks.json")
            answer = connection.getresponse()
            assert 200 == answer.status
            assert 2 == len(json.loads(answer.read())["keys"])
            connection.close()
        finally:
            process.send_signal(signal.SIGTERM)
        assert 0 == process.wait(90)
