"""The demo, run as a person runs it: started, pasted from, interrupted, killed."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar

import pytest

from tokenward.cli.serve import Server, listen
from tokenward.commands.demo.tour import Tour

PORT = 8000


def command(folder, *options):
    return [sys.executable, "-m", "tokenward", "demo", "--folder", folder, *options]


def check(folder):
    return subprocess.run(
        command(folder, "--check"), capture_output=True, text=True, check=False, timeout=50
    )


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "demo"


@contextmanager
def running(folder):
    """A demo that is up, and what it has said until then; stopped at last."""
    process = subprocess.Popen(
        command(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    watchdog = threading.Timer(45, process.kill)
    watchdog.start()
    try:
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith("Ctrl-C"):
                break
        yield process, "".join(said)
    finally:
        # Not killed: what it has started would still be there for the next test.
        process.terminate()
        process.communicate()
        watchdog.cancel()


def ports(said):
    """Return where the two applications listen."""
    found = re.findall(r" at http://127\.0\.0\.1:(\d+) \(process ", said)
    assert 2 == len(found), said
    return [int(port) for port in found]


def pids(said):
    """Return the processes of the two applications."""
    found = re.findall(r" \(process (\d+), log ", said)
    assert 2 == len(found), said
    return [int(pid) for pid in found]


def runs(pid):
    """Tell whether a process is there, and not only waiting for its parent to look at it."""
    with suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
        return state != "Z"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until_none_runs(*numbers):
    # The test's own time limit bounds this.
    while any(runs(number) for number in numbers):
        pass


def lines_to_paste(said):
    return re.findall(r"^(?:curl|TOKEN=).*$", said, re.MULTILINE)


def test_check_makes_the_round_trip(folder):
    """Every step says what was expected and what came; what it leaves is its owner's only."""
    done = check(folder)
    assert (0, "") == (done.returncode, done.stderr.replace(_taken(done.stderr), ""))
    steps = dict(re.findall(r"^ok   ([a-z ]+): expected (.*), got", done.stdout, re.MULTILINE))
    assert {
        "register": "201",
        "log in": "200",
        "call with the token": "200",
        "call without": '401 and Bearer realm="example"',
        "log out": "200",
        "call again": '401 and error="invalid_token"',
    } == steps
    assert 6 == len(done.stdout.splitlines())
    assert 0o700 == folder.stat().st_mode & 0o777
    assert "*\n" == (folder / ".gitignore").read_text("utf-8")
    for name in ("client.secret", "keys.secret", "store.db", "tokenward.toml"):
        assert 0o600 == (folder / name).stat().st_mode & 0o777


def _taken(said):
    """Return what was said about ports that others on this machine have."""
    return "".join(re.findall(r"Port \d+ is taken; using \d+ instead\.\n", said))


def test_the_lines_work_as_a_person_pastes_them(folder):
    """Five lines into one bash, and the statuses that the comments name."""
    with running(folder) as (process, said):
        lines = lines_to_paste(said)
        assert 5 == len(lines)
        shell = subprocess.run(
            ["bash"], input="\n".join(lines), capture_output=True, text=True, check=True, timeout=40
        )
        assert "" == shell.stderr
        statuses = re.findall(r"^HTTP/1\.1 (\d+)", shell.stdout, re.MULTILINE)
        assert ["201", "200", "401", "200", "401"] == statuses
        challenges = re.findall(r"(?i)^www-authenticate: (.*?)\r?$", shell.stdout, re.MULTILINE)
        assert 'Bearer realm="example"' == challenges[0]
        assert 'error="invalid_token"' in challenges[1]
        process.send_signal(signal.SIGINT)
        assert 0 == process.wait(30)
        assert not any(runs(pid) for pid in pids(said))


def test_the_administrator_it_names_can_log_in(folder):
    """With the role that opens /admin, which is closed to who registered."""
    with running(folder) as (_, said):
        name, password = re.search(r"the user (\S+) with the password (\S+),", said).groups()
        lines = lines_to_paste(said)
        admin = lines[2].replace("/profile", "/admin")
        theirs = re.sub(r'"username": "[^"]*", "password": "[^"]*"', "%s", lines[1])
        log_in = theirs % f'"username": "{name}", "password": "{password}"'
        script = "\n".join([lines[0], lines[1], admin, log_in, admin])
        shell = subprocess.run(
            ["bash"], input=script, capture_output=True, text=True, check=True, timeout=40
        )
        statuses = re.findall(r"^HTTP/1\.1 (\d+)", shell.stdout, re.MULTILINE)
        assert ["201", "403", "200"] == statuses


def test_another_port_is_used_when_one_is_taken(folder):
    """It says so, and the lines name the other one."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Whoever has it, it is taken.
        with suppress(OSError):
            holder.bind(("127.0.0.1", PORT))
            holder.listen()
        with running(folder) as (process, said):
            auth, app = ports(said)
            assert PORT not in (auth, app)
            assert f"http://127.0.0.1:{auth}/register" in said
            process.terminate()
            _, err = process.communicate(timeout=30)
            assert 0 == process.returncode
            assert f"Port {PORT} is taken; using {auth} instead." in err


def test_killed_it_leaves_nothing_running_and_starts_again(folder):
    """Kill -9 of the demo alone: both applications end, and the next run finds its files."""
    with running(folder) as (process, said):
        process.kill()
        wait_until_none_runs(*pids(said))
    done = check(folder)
    assert 0 == done.returncode, done.stdout + done.stderr


def test_an_application_that_ends_ends_the_demo(folder):
    """It says which one, and with what words; the other one is stopped."""
    with running(folder) as (process, said):
        auth, app = pids(said)
        os.kill(auth, signal.SIGKILL)
        _, err = process.communicate(timeout=30)
        assert 3 == process.returncode
        assert "the auth service has ended" in err
        assert f"http://127.0.0.1:{ports(said)[0]}" in err
        assert "Traceback" not in err
        assert not runs(app)


def test_files_that_cannot_be_used_are_named(folder):
    """Something else where the store should be: exit 2, and which folder to remove."""
    folder.mkdir()
    (folder / "store.db").write_bytes(b"dear diary, " * 100)
    (folder / "store.db").chmod(0o600)
    done = check(folder)
    assert (2, "") == (done.returncode, done.stdout)
    assert f"remove {folder}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    """Exit 2, one line."""
    done = check(tmp_path / "missing" / "demo")
    assert 2 == done.returncode
    assert str(tmp_path / "missing" / "demo") in done.stderr
    assert "Traceback" not in done.stderr


class TestTour:
    """The round trip finds what is wrong, whichever of the two applications it is."""

    TOKEN = "the.token.of-alice"

    @pytest.fixture
    def tour(self):
        """A tour of applications that behave, but for the answers that are replaced."""
        answers = {}

        def application(environ, start_response):
            method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
            presented = "bearer" if environ.get("HTTP_AUTHORIZATION") else "bare"
            kind = f"{method} {path} {presented}"
            calls.append(kind)
            if kind == "GET /profile bearer" and "POST /logout bearer" in calls:
                kind = "GET /profile again"
            status, challenge, body = answers.get(kind, self.GOOD[kind])
            headers = [("WWW-Authenticate", challenge)] if challenge else []
            start_response(f"{status} Whatever", [*headers, ("Content-Length", str(len(body)))])
            return [body.encode()]

        calls = []
        server = Server(application, listen("127.0.0.1", 0), threads=1)
        thread = threading.Thread(target=server.run)
        thread.start()
        yield Tour(server.url, server.url, "alice", "a password"), answers
        server.stop()
        thread.join()

    GOOD: ClassVar = {
        "POST /register bare": (201, "", '{"username":"alice"}'),
        "POST /login bare": (200, "", f'{{"access_token":"{TOKEN}"}}'),
        "GET /profile bearer": (200, "", '{"username":"alice"}'),
        "GET /profile bare": (401, 'Bearer realm="example"', "{}"),
        "POST /logout bearer": (200, "", "{}"),
        "GET /profile again": (401, 'Bearer realm="example", error="invalid_token"', "{}"),
    }

    def test_what_behaves_passes(self, tour):
        """Six steps."""
        assert [True] * 6 == [outcome.passed for outcome in tour[0].check()]

    @pytest.mark.parametrize(
        ("kind", "answer", "step"),
        [
            ("POST /register bare", (403, "", "{}"), "register"),
            ("POST /login bare", (200, "", "{}"), "log in"),
            ("GET /profile bearer", (200, "", '{"username":"bob"}'), "call with the token"),
            ("GET /profile bare", (200, "", "{}"), "call without"),
            ("GET /profile bare", (401, "", "{}"), "call without"),
            ("GET /profile bare", (401, GOOD["GET /profile again"][1], "{}"), "call without"),
            ("POST /logout bearer", (204, "", ""), "log out"),
            ("GET /profile again", (200, "", '{"username":"alice"}'), "call again"),
            ("GET /profile again", (401, 'Bearer realm="example"', "{}"), "call again"),
        ],
    )
    def test_what_does_not_behave_is_found(self, tour, kind, answer, step):
        """At the step where it is, which is the last one made."""
        tour[1][kind] = answer
        *before, last = tour[0].check()
        assert all(outcome.passed for outcome in before)
        assert (step, False) == (last.step.title, last.passed)
        assert str(answer[0]) in last.got

    def test_nobody_there_is_a_failure_too(self):
        """The kind of error is what came."""
        with socket.create_server(("127.0.0.1", 0)) as closed:
            url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        (outcome,) = Tour(url, url, "alice", "a password").check()
        assert (False, "ConnectionRefusedError") == (outcome.passed, outcome.got)
