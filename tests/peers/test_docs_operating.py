"""docs/service/production.md and backup.md, typed as they are written."""

import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from filled_stores import everything

DOCS = Path(__file__).parents[2] / "docs" / "service"
BIN = Path(sys.executable).parent


def blocks(page, language):
    """Return what a page shows in a language, in order."""
    text = (DOCS / page).read_text("utf-8")
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```", text, re.DOTALL | re.MULTILINE)
    return [block for _, block in found]


@pytest.fixture(scope="module", autouse=True)
def _environment():
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TOKENWARD_CONFIG", raising=False)
        patch.setenv("PATH", f"{BIN}:{os.environ['PATH']}")
        yield


def run(script, folder):
    """Run a script in a folder; the first line that fails is the last."""
    return subprocess.run(
        ["bash", "-euo", "pipefail"],
        input=script,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )


@pytest.fixture
def bash(tmp_path):
    """Run a script in a folder of the test's own."""

    def bash(script, folder=tmp_path):
        return run(script, folder)

    return bash


@pytest.fixture(scope="module")
def set_up(tmp_path_factory):
    """The folder of a service that was set up as production.md says; nobody changes it."""
    folder = tmp_path_factory.mktemp("production")
    done = run(blocks("production.md", "sh")[0], folder)
    assert 0 == done.returncode, done.stdout + done.stderr
    return folder / "auth"


@pytest.fixture
def auth(set_up, tmp_path):
    """A copy of that folder: nothing in it knows where it is."""
    return shutil.copytree(set_up, tmp_path / "auth")


def test_a_service_is_set_up(auth, bash):
    """The doctor has nothing to add; done again, it changes nothing."""
    begin = blocks("production.md", "sh")[0]
    again = "export TOKENWARD_CONFIG" + begin.partition("export TOKENWARD_CONFIG")[2]
    before = everything(f"sqlite:///{auth}/tokenward.db")
    done = bash(again, auth)
    assert 0 == done.returncode, done.stderr
    assert "nothing was changed" in done.stdout
    assert "There is already root" in done.stdout
    assert before == everything(f"sqlite:///{auth}/tokenward.db")
    levels = re.findall(r"^(ok|warn|FAIL) +[\w./\[\]]+: ", done.stdout, re.MULTILINE)
    assert {"ok"} == set(levels)
    (shown,) = blocks("production.md", "text")
    kid = re.compile(r"signs as [\w-]{43},")
    assert kid.sub("signs as", shown) in kid.sub("signs as", done.stdout)
    for path in auth.iterdir():
        if path.suffix in {".secret", ".password", ".db"}:
            assert 0o600 == path.stat().st_mode & 0o777


@contextmanager
def served(line, auth, says):
    """Run the server that a line starts, on any free port; yield its URL."""
    log = auth / "server.log"
    with log.open("wb") as writing:
        command = line.replace("127.0.0.1:8000", "127.0.0.1:0")
        server = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=auth,
            stdout=writing,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TOKENWARD_CONFIG": "tokenward.toml"},
        )
    try:
        found = None
        while found is None:
            assert server.poll() is None, log.read_text("utf-8")
            found = re.search(says, log.read_text("utf-8"))
            time.sleep(0.02)
        yield found[1]
    finally:
        server.terminate()
        assert 0 == server.wait(90)


@pytest.mark.parametrize("says", [r" at (http://127\.0\.0\.1:\d+)\n", r"at: (http://\S+)"])
def test_it_is_served(auth, says):
    """By each of the two lines, behind what adds X-Forwarded-For."""
    lines = [block.removeprefix("$ ").strip() for block in blocks("production.md", "console")]
    tokenward, gunicorn = lines
    line = gunicorn if "at:" in says else tokenward
    password = (auth / "root.password").read_text().strip()
    with served(line, auth, says) as url:
        headers = {"X-Forwarded-For": "192.0.2.1"}
        account = {"username": "root", "password": password}
        login = requests.post(f"{url}/login", json=account, headers=headers, timeout=90)
        assert 200 == login.status_code
        assert 200 == requests.get(f"{url}/health/ready", timeout=90).status_code
    assert '"192.0.2.1"' in (auth / "server.log").read_text() or line == gunicorn


def test_the_cost_of_a_hash_is_measured(auth, bash):
    """By the line that production.md gives."""
    measure = blocks("production.md", "sh")[1]
    done = bash(measure, auth)
    assert re.search(r"loop.* (msec|sec) per loop", done.stdout), done.stderr


def test_it_is_backed_up_restored_and_moved(auth, bash):
    """Every line of backup.md in its order; what is there in the end is what was."""
    before = everything(f"sqlite:///{auth}/tokenward.db")
    script = "".join(blocks("backup.md", "sh"))
    done = bash(script, auth)
    assert 0 == done.returncode, done.stdout + done.stderr
    assert (auth / "broken" / "tokenward.db").exists()
    for name in ("tokenward.db", "moved.db"):
        assert before == everything(f"sqlite:///{auth}/{name}")
        assert 0o600 == (auth / name).stat().st_mode & 0o777


def test_a_mongodb_is_copied_into_a_file(mongo, bash, tmp_path):
    """By the line for it, with the URL in a variable; a backup of it by us is refused."""
    url = mongo.new_url()
    (line,) = blocks("backup.md", "console")
    (tmp_path / "tokenward.toml").write_text(
        '[service]\nissuer = "https://auth.example"\naudience = "a"\n'
        'store = { env = "STORE_URL" }\n'
    )
    begin = f"export STORE_URL='{url}'\n"
    made = f"{begin}tokenward store init --config tokenward.toml\n"
    done = bash(made + line.removeprefix("$ "))
    assert 0 == done.returncode, done.stderr
    assert everything(url) == everything(f"sqlite:///{tmp_path}/backup.db")
    done = bash(f"{begin}tokenward store backup x.db --config tokenward.toml")
    assert 2 == done.returncode
    assert "mongodump" in done.stderr
    assert not (tmp_path / "x.db").exists()
    done = bash(f"{begin}tokenward doctor --config tokenward.toml")
    assert 0 == done.returncode
    assert re.search(r"^ok +service\.store: opens, with every index", done.stdout, re.MULTILINE)
    assert re.search(
        r"^warn service\.keys\.secrets: .*whoever reads the", done.stdout, re.MULTILINE
    )


def test_a_mongodb_that_is_down_is_an_outage_to_the_doctor(bash, tmp_path, impatient):
    """Exit 3; the password in the URL is not shown."""
    impatient(1)
    (tmp_path / "tokenward.toml").write_text(
        '[service]\nissuer = "https://auth.example"\naudience = "a"\n'
        'store = "mongodb://root:LEAK@127.0.0.1:1/tokenward"\n'
    )
    done = bash("tokenward doctor --config tokenward.toml")
    assert 3 == done.returncode, done.stdout + done.stderr
    assert "FAIL service.store: " in done.stdout
    assert "warn service.store: stands in the file" in done.stdout
    assert "LEAK" not in done.stdout + done.stderr
