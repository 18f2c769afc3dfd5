"""The demo, run as a person runs it: started, pasted from, interrupted, killed."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs

import pytest
import requests
from benchmarks.ports import free_port
from unmeasured import unmeasured

from tokenward.cli.serve import Server, listen
from tokenward.commands.demo.mail import Mailbox, deliver
from tokenward.commands.demo.programs import clone, prepare
from tokenward.commands.demo.tour import Tour
from tokenward.commands.demo.visit import Browser, visit, visit_admin
from tokenward.schemas import User

PORTS = (8000, 8001, 8002)
PATIENCE = 90
JSON = [("Content-Type", "application/json")]


def command(folder, *options):
    return [sys.executable, "-m", "tokenward", "demo", "--folder", folder, *options]


def check(folder):
    return subprocess.run(
        command(folder, "--check"), capture_output=True, text=True, check=False, timeout=150
    )


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "demo"


@contextmanager
def running(folder, environment=None):
    """A demo that is up, and what it has said until then; stopped at last."""
    process = subprocess.Popen(
        command(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    watchdog = threading.Timer(150, process.kill)
    watchdog.start()
    try:
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith("Ctrl-C"):
                break
        # From here on each test has its own limit, and what they share has none.
        watchdog.cancel()
        yield process, "".join(said)
    finally:
        watchdog.cancel()
        # Not killed: what it has started would still be there for the next test.
        process.terminate()
        process.communicate()


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """One that several tests use, and what it has said; Ctrl-C ends it, and all that it started."""
    with running(tmp_path_factory.mktemp("shared") / "demo") as (process, said):
        yield process, said
        process.send_signal(signal.SIGINT)
        assert 0 == process.wait(PATIENCE)
        assert not any(runs(pid) for pid in pids(said))


def ports(said):
    """Return where the three programs listen."""
    found = re.findall(r" at http://127\.0\.0\.1:(\d+) \(process ", said)
    assert 3 == len(found), said
    return [int(port) for port in found]


def pids(said):
    """Return the processes of the three programs."""
    found = re.findall(r" \(process (\d+), log ", said)
    assert 3 == len(found), said
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
        time.sleep(0.02)


def lines_to_paste(said):
    return re.findall(r"^(?:curl|ANSWER=|until ).*$", said, re.MULTILINE)


BEARER = {
    "register": "201",
    "log in": "200",
    "call with the token": "200",
    "call without": '401 and Bearer realm="example"',
    "refresh": "200",
    "call with the new token": "200",
    "log out": "200",
    "call again": '401 and error="invalid_token"',
    "log in by the application": "200",
    "revoke": "200",
    "call with the revoked token": '401 and error="invalid_token"',
    "forget the password": "204",
    "reset the password": "204",
    "log in with the old password": "401",
    "log in with the new one": "200",
}
PAGES = {
    "profile, signed out": "302 and /sign-in?next=/profile",
    "sign-in page": "200",
    "wrong password": "403",
    "sign in": "302 and /profile",
    "profile, signed in": "200",
    "sign out": "302 and /",
    "profile, signed out again": "302 and /sign-in?next=/profile",
}


def test_check_makes_every_round_trip(folder):
    """Every step says what was expected and what came; what it leaves is its owner's only."""
    done = check(folder)
    assert (0, "") == (done.returncode, done.stderr.replace(_taken(done.stderr), ""))
    lines = done.stdout.splitlines()
    steps = dict(re.search(r"^ok   (.*): expected (.*), got", line).groups() for line in lines)
    assert len(lines) == len(steps)
    for application in ("Flask", "Django"):
        for title, expected in {**BEARER, **PAGES}.items():
            assert expected == steps.pop(f"{application}, {title}")
    admin = [(re.sub("ada-[0-9a-f]{6}", "ada", title), came) for title, came in steps.items()]
    assert [
        ("admin, the form for demo", "200"),
        ("admin, log in as demo", "302 and /admin/"),
        ("admin, the first page for demo", "200"),
        ("admin, the form for ada", "200"),
        ("admin, log in as ada", "200"),
        ("admin, the first page for ada", "302 and /admin/login/?next=/admin/"),
    ] == admin
    assert 0o700 == folder.stat().st_mode & 0o777
    assert "*\n" == (folder / ".gitignore").read_text("utf-8")
    secrets = ("example-flask", "example-django", "django", "keys")
    for name in (*(f"{secret}.secret" for secret in secrets), "store.db", "tokenward.toml"):
        assert 0o600 == (folder / name).stat().st_mode & 0o777


def _taken(said):
    """Return what was said about ports that others on this machine have."""
    return "".join(re.findall(r"Port \d+ is taken; using \d+ instead\.\n", said))


def paste(lines):
    """Return what bash says to some lines, and the statuses among it."""
    shell = subprocess.run(
        ["bash"], input="\n".join(lines), capture_output=True, text=True, check=True, timeout=150
    )
    assert "" == shell.stderr
    return shell.stdout, re.findall(r"^HTTP/1\.1 (\d+)", shell.stdout, re.MULTILINE)


def test_the_lines_work_as_a_person_pastes_them(demo):
    """Nine lines into one bash, and the statuses that the comments name; the mail is shown."""
    process, said = demo
    lines = lines_to_paste(said)
    assert 9 == len(lines)
    shown, statuses = paste(lines)
    refreshed, logged_out, revoked = ["200"], ["200", "401"], ["200", "401"]
    reset = ["204", "204", "200"]
    assert ["201", "200", "401", *refreshed, *logged_out, *revoked, *reset] == statuses
    assert statuses == [
        status
        for comment in re.findall(r"^# \d+\. (.*)$", said, re.MULTILINE)
        for status in re.findall(r"\b\d{3}\b", comment)
    ]
    challenges = re.findall(r"(?i)^www-authenticate: (.*?)\r?$", shown, re.MULTILINE)
    assert 'Bearer realm="example"' == challenges[0]
    assert 'error="invalid_token"' in challenges[1]
    name = pasted_name(lines)
    mail = []
    while len(mail) < 2:
        line = process.stdout.readline()
        if not line.startswith("MAIL to eva-"):
            mail.append(line)
    assert ["verify_email", "reset_password"] == [
        re.fullmatch(rf"MAIL to {name}@example\.com, (\w+): \S{{43}}\n", line)[1] for line in mail
    ]


def pasted_name(lines):
    """Return the name that the lines register."""
    return re.search(r'"username": "(ada-\w{6})"', lines[0])[1]


def test_the_administrator_it_names_can_log_in(demo):
    """With the role that opens /api/admin, which is closed to who registered."""
    said = demo[1]
    name, password = re.search(r"Sign in as (\S+) .* with the password (\S+)\.", said).groups()
    lines = lines_to_paste(said)
    # Somebody else than who is registered by pasting the lines as they are.
    newcomer = pasted_name(lines).replace("ada-", "eva-")
    lines = [line.replace(pasted_name(lines), newcomer) for line in lines]
    admin = lines[2].replace("/api/profile", "/api/admin")
    theirs = re.sub(r'"username": "[^"]*", "password": "[^"]*"', "%s", lines[1])
    log_in = theirs % f'"username": "{name}", "password": "{password}"'
    _, statuses = paste([lines[0], lines[1], admin, log_in, admin])
    assert ["201", "403", "200"] == statuses


def test_it_says_where_to_click(demo):
    """Each page it names is there, and answers as a page."""
    named = re.findall(r"^  (http://127\.0\.0\.1:\d+(/\S*))  ", demo[1], re.MULTILINE)
    assert ["/", "/", "/admin/"] == [path for _, path in named]
    for url, _ in named:
        answer = requests.get(url, timeout=PATIENCE)
        assert (200, "text/html; charset=utf-8") == (
            answer.status_code,
            answer.headers["Content-Type"],
        )
        assert "form-action 'self'" in answer.headers["Content-Security-Policy"]


def test_other_ports_are_used_when_some_are_taken(folder):
    """It says so, and everything it names is there and not here."""
    with ExitStack() as stack:
        for port in (PORTS[0], PORTS[2]):
            holder = stack.enter_context(socket.socket())
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Whoever has it, it is taken.
            with suppress(OSError):
                holder.bind(("127.0.0.1", port))
                holder.listen()
        with running(folder) as (process, said):
            auth, _, django = ports(said)
            assert not {PORTS[0], PORTS[2]} & {auth, django}
            assert f"http://127.0.0.1:{auth}/register" in said
            assert f"http://127.0.0.1:{django}/admin/" in said
            process.terminate()
            _, err = process.communicate(timeout=PATIENCE)
            assert 0 == process.returncode
            assert f"Port {PORTS[0]} is taken; using {auth} instead." in err
            assert f"Port {PORTS[2]} is taken; using {django} instead." in err


def test_killed_it_leaves_nothing_running_and_starts_again(folder):
    """Kill -9 of the demo alone: all three end, and the next run finds its files."""
    with running(folder, unmeasured()) as (process, said):
        process.kill()
        wait_until_none_runs(*pids(said))
    store = (folder / "store.db").stat().st_ino
    with running(folder, unmeasured()) as (process, said):
        name, password = re.search(r"Sign in as (\S+) .* with the password (\S+)\.", said).groups()
        url = f"http://127.0.0.1:{ports(said)[0]}/login"
        answer = requests.post(url, json={"username": name, "password": password}, timeout=PATIENCE)
        assert 200 == answer.status_code
    assert 0 == process.returncode
    assert store == (folder / "store.db").stat().st_ino


@pytest.mark.parametrize(
    ("which", "name"),
    [(0, "the auth service"), (1, "the Flask application"), (2, "the Django site")],
)
def test_a_program_that_ends_ends_the_demo(folder, which, name):
    """It says which one, and with what words; the others are stopped."""
    with running(folder, None if which == 0 else unmeasured()) as (process, said):
        started = pids(said)
        os.kill(started.pop(which), signal.SIGKILL)
        _, err = process.communicate(timeout=PATIENCE)
        assert 3 == process.returncode
        assert f"{name} has ended" in err
        assert f"http://127.0.0.1:{ports(said)[which]}" in err
        assert "Traceback" not in err
        assert not any(runs(pid) for pid in started)


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ({"django"}, "The demo needs django; run: pip install 'tokenward[flask,django,serve]'"),
        ({"flask", "waitress"}, "The demo needs flask and waitress; run: pip install"),
    ],
)
def test_what_is_not_installed_is_named(tmp_path, missing, said):
    """With the line that installs it; nothing is written, and nothing started."""
    names = ", ".join(map(repr, missing))
    script = f"""
import sys
for name in [{names}]:
    sys.modules[name] = None
from tokenward.cli import main
sys.exit(main(["demo", "--folder", sys.argv[1]]))
"""
    folder = tmp_path / "demo"
    done = subprocess.run(
        [sys.executable, "-c", script, folder], capture_output=True, text=True, check=False
    )
    assert (2, "") == (done.returncode, done.stdout)
    assert said in done.stderr
    assert not folder.exists()


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


def test_a_service_that_throttles_is_told_to_people(folder):
    """Both sign-in pages and the admin's form: not that the password is wrong, but how to wait."""

    def application(environ, start_response):
        start_response("429 Too Many Requests", [*JSON, ("Retry-After", "7")])
        return [b'{"error":"too_many_attempts"}']

    server = Server(application, listen("127.0.0.1", 0), threads=2)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        auth = int(server.url.rpartition(":")[2])
        programs = prepare(clone(), folder, (auth, free_port(), free_port()))
        with programs.flask, programs.django:
            for program in (programs.flask, programs.django):
                program.wait_until_ready()
                browser = Browser(program.url)
                browser.get("/sign-in")
                answer = browser.post("/sign-in", username="demo", password="a password")
                assert 429 == answer.status
                assert "Too many attempts. Wait 7 seconds." in answer.text
            browser.get("/admin/login/")
            answer = browser.post("/admin/login/", username="demo", password="a password")
            assert "Too many attempts; try again in 7 seconds." in answer.text
    finally:
        server.stop()
        thread.join()


class TestTour:
    """The round trip finds what is wrong, whichever of the two applications it is."""

    CLIENT = "YXBwOnRoZSBzZWNyZXQ="  # app:the secret
    TOKENS = '{"access_token": "token-%d", "refresh_token": "refresh-%d"}'
    INVALID = 'Bearer realm="example", error="invalid_token"'

    # In the order in which they are asked, by what presents itself.
    GOOD: ClassVar = {
        "POST /register": (201, "", '{"username":"alice"}'),
        "POST /login first": (200, "", TOKENS % (1, 1)),
        "GET /api/profile token-1": (200, "", '{"username":"alice"}'),
        "GET /api/profile": (401, 'Bearer realm="example"', "{}"),
        "POST /refresh refresh-1": (200, "", TOKENS % (2, 2)),
        "GET /api/profile token-2": (200, "", '{"username":"alice"}'),
        "POST /logout token-2": (200, "", "{}"),
        "GET /api/profile token-2 again": (401, INVALID, "{}"),
        "POST /login first app": (200, "", '{"access_token": "token-3"}'),
        "POST /revoke token-3 app": (200, "", ""),
        "GET /api/profile token-3": (401, INVALID, "{}"),
        "POST /password/forgot": (204, "", ""),
        "POST /password/reset mailed": (204, "", ""),
        "POST /login first again": (401, "", "{}"),
        "POST /login second": (200, "", TOKENS % (4, 4)),
    }

    @pytest.fixture
    def tour(self, tmp_path):
        """A tour of applications that behave, but for the answers that are replaced."""
        answers, calls = {}, []
        (tmp_path / "log").write_text("INFO begins\n")
        (tmp_path / "app.secret").write_text("the secret\n")

        def application(environ, start_response):
            kind = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
            said = environ["wsgi.input"].read().decode()
            for name in ("refresh-1", "mailed", "first", "second", "token=token-3"):
                if name in said and "register" not in kind:
                    kind += f" {name.rpartition('=')[2]}"
                    break
            scheme, _, presented = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
            kind += {"Bearer": f" {presented}", "": ""}.get(scheme, f" {presented}")
            kind = kind.replace(self.CLIENT, "app")
            kind += " again" if kind in calls else ""
            calls.append(kind)
            if "forgot" in kind:
                mail = "MAIL to alice@example.com, reset_password: "
                with (tmp_path / "log").open("a") as log:
                    log.write(f"{mail}older\n{mail}mailed\n{mail}half")
            status, challenge, body = answers.get(kind, self.GOOD[kind])
            headers = [("WWW-Authenticate", challenge)] if challenge else []
            start_response(f"{status} Whatever", [*headers, ("Content-Length", str(len(body)))])
            return [body.encode()]

        server = Server(application, listen("127.0.0.1", 0), threads=1)
        thread = threading.Thread(target=server.run)
        thread.start()
        yield tour_of(server.url, tmp_path), answers
        server.stop()
        thread.join()

    def test_what_behaves_passes(self, tour):
        """Fifteen steps."""
        assert [True] * 15 == [outcome.passed for outcome in tour[0].check()]
        assert len(self.GOOD) == len(tour[0].steps)

    @pytest.mark.parametrize("at", range(15))
    def test_a_wrong_status_is_found(self, tour, at):
        """At the step where it is, which is the last one made."""
        tour[1][list(self.GOOD)[at]] = (500, "", "{}")
        *before, last = tour[0].check()
        assert [True] * at == [outcome.passed for outcome in before]
        assert (tour[0].steps[at].title, False, "500") == (last.title, last.passed, last.got)

    @pytest.mark.parametrize(
        ("kind", "answer", "step"),
        [
            ("POST /login first", (200, "", "{}"), "log in"),
            ("POST /login first", (200, "", '{"access_token": "token-1"}'), "log in"),
            ("GET /api/profile token-1", (200, "", '{"username":"bob"}'), "call with the token"),
            ("GET /api/profile", (401, "", "{}"), "call without"),
            ("GET /api/profile", (401, INVALID, "{}"), "call without"),
            ("POST /refresh refresh-1", (200, "", "{}"), "refresh"),
            ("GET /api/profile token-2", (200, "", "{}"), "call with the new token"),
            ("GET /api/profile token-2 again", (401, 'Bearer realm="example"', ""), "call again"),
        ],
    )
    def test_what_does_not_behave_is_found(self, tour, kind, answer, step):
        """What an answer must say counts like its status."""
        tour[1][kind] = answer
        *before, last = tour[0].check()
        assert all(outcome.passed for outcome in before)
        assert (step, False) == (last.title, last.passed)
        assert str(answer[0]) in last.got

    def test_nobody_there_is_a_failure_too(self, tmp_path):
        """The kind of error is what came."""
        url = f"http://127.0.0.1:{free_port()}"
        (tmp_path / "app.secret").write_text("the secret\n")
        (outcome,) = tour_of(url, tmp_path).check()
        assert (False, "ConnectionRefusedError") == (outcome.passed, outcome.got)

    def test_mail_is_what_was_printed(self, tmp_path, capsys):
        """The line that the service prints is the one that is looked for."""
        mailbox = Mailbox(tmp_path / "log")
        now = datetime.now(UTC)
        user = User(username="ada", email="ada@example.com", created_at=now, updated_at=now)
        deliver("verify_email", user, "a-token")
        (tmp_path / "log").write_text(f"INFO begins\n{capsys.readouterr().out}")
        assert "a-token" == mailbox.wait_for("ada@example.com", "verify_email")
        assert ["MAIL to ada@example.com, verify_email: a-token"] == mailbox.new()
        assert [] == mailbox.new()


def tour_of(url, folder):
    mailbox = Mailbox(folder / "log")
    names = ("alice", "first", "second", "app")
    return Tour(url, url, *names, folder / "app.secret", mailbox)


class TestVisit:
    """The round trip of a person finds what is wrong, whichever page it is on."""

    FORM = '<form method="post"><input name="csrfmiddlewaretoken" value="hidden">'
    SIGNED_IN = ("Set-Cookie", "site=alice; Path=/; HttpOnly; Max-Age=900")
    SIGNED_OUT = ("Set-Cookie", "site=; Path=/; Max-Age=0")
    TO_SIGN_IN = ("Location", "/sign-in?next=/profile")
    TO_LOG_IN = ("Location", "/admin/login/?next=/admin/")

    # By what is asked, and who asks: with which password, or with which cookie.
    GOOD: ClassVar = {
        "GET /profile": (302, [TO_SIGN_IN], ""),
        "GET /sign-in": (200, [], FORM),
        "POST /sign-in wrong": (403, [], FORM),
        "POST /sign-in right": (302, [SIGNED_IN, ("Location", "http://{host}/profile")], ""),
        "GET /profile alice": (200, [], "alice" + FORM),
        "POST /sign-out alice": (302, [SIGNED_OUT, ("Location", "/")], ""),
        "GET /admin/login/": (200, [], FORM),
        "POST /admin/login/ right": (302, [SIGNED_IN, ("Location", "/admin/")], ""),
        "GET /admin/ alice": (200, [], "Welcome, alice"),
        "GET /admin/": (302, [TO_LOG_IN], ""),
    }

    @pytest.fixture
    def site(self):
        """A site that behaves, but for the answers that are replaced."""
        answers = {}

        def application(environ, start_response):
            method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
            kind = f"{method} {path}"
            form = parse_qs(environ["wsgi.input"].read().decode())
            if method == "POST":
                site = (environ["HTTP_ORIGIN"], environ["HTTP_SEC_FETCH_SITE"])
                assert (f"http://{environ['HTTP_HOST']}", "same-origin") == site
                assert ["hidden"] == form["csrfmiddlewaretoken"]
            if "password" in form:
                kind += " right" if form["password"] == ["a password"] else " wrong"
            elif "site=alice" in environ.get("HTTP_COOKIE", ""):
                kind += " alice"
            status, headers, body = answers.get(kind, self.GOOD[kind])
            headers = [(name, v.format(host=environ["HTTP_HOST"])) for name, v in headers]
            start_response(f"{status} Whatever", [*headers, ("Content-Length", str(len(body)))])
            return [body.encode()]

        server = Server(application, listen("127.0.0.1", 0), threads=1)
        thread = threading.Thread(target=server.run)
        thread.start()
        yield server.url, answers
        server.stop()
        thread.join()

    def test_what_behaves_passes(self, site):
        """Seven steps on the pages, and three in the admin, whoever comes."""
        url, answers = site
        assert [True] * 7 == [outcome.passed for outcome in visit(url, "alice", "a password")]
        opened = visit_admin(url, "alice", "a password", opens=True)
        assert [True] * 3 == [outcome.passed for outcome in opened]
        answers["POST /admin/login/ right"] = (200, [], self.FORM)
        closed = visit_admin(url, "alice", "a password", opens=False)
        assert [True] * 3 == [outcome.passed for outcome in closed]

    @pytest.mark.parametrize(
        ("kind", "answer", "step"),
        [
            ("GET /profile", (200, [], "alice"), "profile, signed out"),
            ("GET /profile", (302, [("Location", "/")], ""), "profile, signed out"),
            ("GET /profile", (401, [], ""), "profile, signed out"),
            ("GET /sign-in", (200, [], "no such thing"), "sign-in page"),
            ("POST /sign-in wrong", (200, [], FORM), "wrong password"),
            ("POST /sign-in wrong", (302, [SIGNED_IN], ""), "wrong password"),
            ("POST /sign-in right", (403, [], FORM), "sign in"),
            ("POST /sign-in right", (302, [("Location", "/elsewhere")], ""), "sign in"),
            ("POST /sign-in right", (302, [("Location", "/profile")], ""), "profile, signed in"),
            ("GET /profile alice", (200, [], "bob" + FORM), "profile, signed in"),
            ("POST /sign-out alice", (405, [], ""), "sign out"),
            ("POST /sign-out alice", (302, [("Location", "/")], ""), "profile, signed out again"),
        ],
    )
    def test_what_does_not_behave_is_found(self, site, kind, answer, step):
        """At the step where it shows, which is the last one made."""
        url, answers = site
        answers[kind] = answer
        *before, last = visit(url, "alice", "a password")
        assert all(outcome.passed for outcome in before)
        assert (step, False) == (last.title, last.passed)

    @pytest.mark.parametrize(
        ("opens", "kind", "answer", "step"),
        [
            (True, "GET /admin/login/", (500, [], ""), "admin, the form for alice"),
            (True, "POST /admin/login/ right", (200, [], FORM), "admin, log in as alice"),
            (True, "GET /admin/ alice", (403, [], ""), "admin, the first page for alice"),
            (False, "GET /admin/", (200, [], ""), "admin, log in as alice"),
        ],
    )
    def test_an_admin_that_opens_wrongly_is_found(self, site, opens, kind, answer, step):
        """Whether it should have opened, or should not."""
        url, answers = site
        answers[kind] = answer
        *before, last = visit_admin(url, "alice", "a password", opens=opens)
        assert all(outcome.passed for outcome in before)
        assert (step, False) == (last.title, last.passed)

    def test_nobody_there_is_a_failure_too(self):
        """The kind of error is what came."""
        url = f"http://127.0.0.1:{free_port()}"
        (outcome,) = visit(url, "alice", "a password")
        assert (False, "ConnectionRefusedError") == (outcome.passed, outcome.got)
