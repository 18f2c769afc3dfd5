"""manage.py tokenward_…: exit statuses, what is said, and what is left behind (RULES 44, 53)."""

import getpass
import io
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command, get_commands
from django.core.management.base import BaseCommand
from django.db import OperationalError, connection

from tokenward.django.models import Account
from tokenward.passwords import verify_password
from tokenward.repositories import open_repositories
from tokenward.testing._loopback import Answer, LoopbackServer

SUPPORT = Path(__file__).parents[2] / "support"
PASSWORD = "correct horse battery"
SECRET = "9f8a-77e1-quartz-lantern"
COMMANDS = [
    ("tokenward_check",),
    ("tokenward_cleanup",),
    ("tokenward_keys", "list"),
    ("tokenward_store", "init"),
    ("tokenward_user", "list"),
]


class Stdin(io.TextIOWrapper):
    """Standard input that holds some bytes, or that somebody sits at."""

    def __init__(self, data=b"", *, tty=False):
        super().__init__(io.BytesIO(data))
        self._tty = tty

    def isatty(self):
        return self._tty


@pytest.fixture
def mapping(settings, tmp_path):
    """A right configuration whose store does not exist yet."""
    secret = tmp_path / "keys.secret"
    secret.write_text(f"{SECRET}\n", "utf-8")
    secret.chmod(0o600)
    settings.TOKENWARD = {
        "service": {
            "issuer": "https://auth.example",
            "audience": "shop",
            "store": f"sqlite:///{tmp_path}/store.db",
            "password": {"bcrypt_cost": 4, "min_length": 8},
            "keys": {"secrets": [{"file": str(secret)}]},
        }
    }
    return settings.TOKENWARD


@pytest.fixture
def run(monkeypatch):
    """Run one command; return its exit status, its output and what it says beside it."""

    def run(name, *argv, stdin=b"", tty=False):
        monkeypatch.setattr(sys, "stdin", Stdin(stdin, tty=tty))
        out, err = io.StringIO(), io.StringIO()
        try:
            call_command(name, *argv, stdout=out, stderr=err)
        except CommandError as error:
            return error.returncode, out.getvalue(), f"{err.getvalue()}{error}"
        return 0, out.getvalue(), err.getvalue()

    return run


@pytest.fixture
def store(run, mapping):
    """The path of a store that was made."""
    assert 0 == run("tokenward_store", "init")[0]
    return Path(mapping["service"]["store"].removeprefix("sqlite:///"))


@pytest.fixture(params=["store", "model"])
def users(request, mapping, settings, store, db):
    """Users in either place; what is said and done is the same."""
    settings.TOKENWARD = {**mapping, "django": {"service_users": request.param}}
    return request.param


@pytest.fixture
def alice(run, users):
    added = run(
        *("tokenward_user", "add", "alice", "--email", "alice@example.com", "--role", "editor"),
        *("--password-file", "-"),
        stdin=PASSWORD.encode(),
    )
    assert (0, "") == (added[0], added[2])
    return users


# --- every command ------------------------------------------------------------------------------


def test_there_are_these_commands_and_no_others():
    """A name that Django finds is a promise."""
    ours = {name for name, app in get_commands().items() if app == "tokenward.django"}
    assert {name for name, *_ in COMMANDS} == ours


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_without_a_configuration_each_says_so(run, settings, command):
    """Exit 2 and one sentence, the doctor's in its own form."""
    settings.TOKENWARD = None
    status, out, err = run(*command)
    assert (1 if command[0] == "tokenward_check" else 2) == status
    assert "settings.TOKENWARD is missing" in f"{out}{err}"


@pytest.mark.parametrize("command", COMMANDS[1:], ids=" ".join)
def test_a_wrong_configuration_is_said_by_its_path(run, mapping, command):
    """Exit 2; no other check of the project's stands in the way."""
    mapping["service"]["isuer"] = "x"
    status, out, err = run(*command)
    assert (2, "") == (status, out)
    assert "did you mean 'issuer'" in err


@pytest.mark.parametrize("command", COMMANDS[1:], ids=" ".join)
def test_without_a_service_there_is_nothing_to_look_after(run, settings, command):
    """The message names the section."""
    settings.TOKENWARD = {"credentials": []}
    status, _, err = run(*command)
    assert 2 == status
    assert "'service'" in err


@pytest.mark.parametrize("command", [COMMANDS[1], COMMANDS[2], COMMANDS[4]], ids=" ".join)
def test_a_missing_store_is_not_made_and_the_message_is_djangos(run, mapping, tmp_path, command):
    """The command that makes one is named as it is typed here."""
    before = sorted(tmp_path.iterdir())
    status, out, err = run(*command)
    assert (2, "") == (status, out)
    assert "`manage.py tokenward_store init`" in err
    assert before == sorted(tmp_path.iterdir())


def test_wrong_usage_is_an_error_of_django(run):
    """From a program, CommandError; on the command line, exit 2 and the usage."""
    with pytest.raises(CommandError, match="COMMAND"):
        call_command("tokenward_user")
    with pytest.raises(CommandError, match="--email"):
        call_command("tokenward_user", "add", "bob")


def test_options_may_be_handed_in_by_name(users, tmp_path):
    """As to any command of Django's."""
    (tmp_path / "password").write_text(PASSWORD, "utf-8")
    out = io.StringIO()
    call_command(
        *("tokenward_user", "add", "bob"),
        email="b@example.com",
        password_file=str(tmp_path / "password"),
        stdout=out,
    )
    assert out.getvalue().startswith("Added bob")


# --- check --------------------------------------------------------------------------------------


def test_check_says_what_works(run, store, mapping):
    """Exit 0; a line each, by the path of the setting."""
    status, out, err = run("tokenward_check")
    assert (0, "") == (status, err)
    said = {line[5:].partition(": ")[0]: line[:4].strip() for line in out.splitlines()}
    assert "ok" == said["settings.TOKENWARD"] == said["service.store"] == said["service.keys"]


def test_check_fails_with_what_is_broken(run, mapping):
    """Exit 1; the command that mends it is Django's."""
    status, out, err = run("tokenward_check")
    assert 1 == status
    assert "FAIL service.store: " in out
    assert "`manage.py tokenward_store init`" in out
    assert "see above" in err


def test_check_warns_of_secrets_that_stand_in_the_settings(run, store, mapping):
    """Tuples and lists alike; the secret is not shown."""
    mapping["service"]["clients"] = ({"client_id": "a", "client_secret": SECRET},)
    status, out, _ = run("tokenward_check")
    assert 0 == status
    line = next(li for li in out.splitlines() if "client_secret" in li)
    assert line.startswith("warn service.clients[0].client_secret: stands in settings.TOKENWARD")
    assert '{"env": "NAME"}' in line
    assert SECRET not in out


def test_check_counts_the_users_where_they_are(run, alice):
    """In the store, or among the project's."""
    get_user_model().objects.create_user("somebody")
    expected = {"store": 1, "model": 2}[alice]
    assert f"users: {expected}" in run("tokenward_check")[1]


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        (Answer.json(401, {"error": "invalid_token"}), 0, "ok   django.login.issuer: answers"),
        (Answer(404), 1, "FAIL django.login.issuer: "),
        (
            Answer.json(200, {"id": "1", "username": "eve", "is_active": True}),
            1,
            "FAIL django.login.issuer: takes a token that was made up",
        ),
    ],
    ids=["service", "something else", "anything goes"],
)
def test_check_asks_the_login_service(run, settings, answer, status, said):
    """About a token that nobody has."""
    server = LoopbackServer(lambda _request: answer)
    server.start()
    try:
        settings.TOKENWARD = logging_in(f"http://127.0.0.1:{server.server_port}")
        found = run("tokenward_check")
    finally:
        server.stop()
    assert status == found[0]
    assert said in found[1]


def test_check_tells_an_outage_from_a_mistake(run, settings):
    """Nobody listens there: exit 3."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        settings.TOKENWARD = logging_in(f"http://127.0.0.1:{taken.getsockname()[1]}")
        status, out, _ = run("tokenward_check")
    assert 3 == status
    assert "FAIL django.login.issuer: cannot be reached" in out


def logging_in(issuer):
    login = {"issuer": issuer, "client_id": "shop", "client_secret": SECRET}
    return {"django": {"login": login}}


# --- store, keys, cleanup -----------------------------------------------------------------------


def test_keys_are_rotated_and_the_store_is_carried_elsewhere(run, store, mapping, tmp_path):
    """As by the command line."""
    assert 1 == run("tokenward_keys", "rotate")[0]
    assert run("tokenward_keys", "rotate", "--force")[1].startswith("Signs now: ")
    assert (0, "Removed: 0\n", "") == run("tokenward_keys", "prune")
    backup, moved = tmp_path / "backup.db", f"sqlite:///{tmp_path}/moved.db"
    assert 0 == run("tokenward_store", "backup", str(backup))[0]
    status, out, err = run("tokenward_store", "copy", f"sqlite:///{backup}", moved)
    assert (0, 6, "") == (status, out.count("equal  "), err)
    listed = run("tokenward_keys", "list")[1]
    mapping["service"]["store"] = moved
    assert listed == run("tokenward_keys", "list")[1]


def test_store_init_makes_store_and_keys_once(run, mapping, tmp_path):
    """For its owner only; again, nothing is changed."""
    status, out, err = run("tokenward_store", "init")
    assert (0, "") == (status, err)
    assert "Made" in out
    assert 0o600 == (tmp_path / "store.db").stat().st_mode & 0o777
    assert "nothing was changed" in run("tokenward_store", "init")[1]


def test_keys_list_shows_what_may_be_known(run, store, mapping):
    """Id, algorithm, state and since when; nothing of the key itself."""
    status, out, err = run("tokenward_keys", "list")
    assert (0, "") == (status, err)
    rows = [line.split("\t") for line in out.splitlines()]
    assert [("ES256", "current"), ("ES256", "next")] == [(row[1], row[2]) for row in rows]
    repositories = open_repositories(mapping["service"]["store"], create=False)
    stored = {key.kid: key for key in repositories.keys.load()[1]}
    repositories.close()
    assert stored.keys() == {row[0] for row in rows}
    assert all(row[3].endswith("+00:00") for row in rows)
    assert not any(key.material.decode("latin-1") in out for key in stored.values())


def test_cleanup_says_how_many_it_forgot(run, store, mapping):
    """What expired goes, what has not stays."""
    repositories = open_repositories(mapping["service"]["store"], create=False)
    repositories.tokens.revoke("long ago", 1)
    repositories.tokens.revoke("far ahead", 2**40)
    assert (0, "Forgotten: 1\n", "") == run("tokenward_cleanup")
    assert repositories.tokens.is_revoked("far ahead")
    repositories.close()


# --- users --------------------------------------------------------------------------------------


def test_a_user_is_added_and_listed(run, alice):
    """One line, with tabs between."""
    status, out, err = run("tokenward_user", "list")
    assert (0, "") == (status, err)
    assert ["alice", "alice@example.com", "editor"] == out.strip().split("\t")[:3]
    in_the_project = get_user_model().objects.filter(username="alice").exists()
    assert (alice == "model") is in_the_project


def test_a_name_that_is_taken_is_a_refusal(run, alice):
    """Exit 1; with --if-missing that is what was wanted."""
    again = ("tokenward_user", "add", "ALICE", "--email", "o@example.com", "--password-file", "-")
    status, out, err = run(*again, stdin=b"another password")
    assert (1, "") == (status, out)
    assert "[user_already_exists]" in err
    assert 0 == run(*again, "--if-missing", stdin=b"another password")[0]


def test_roles_activity_and_password_are_changed(run, alice, caplog):
    """Each is audited, and ends the tokens there are."""
    assert (0, "editor\n", "") == run("tokenward_user", "roles", "alice")
    with caplog.at_level("INFO", "tokenward.audit"):
        assert "admin\n" == run("tokenward_user", "roles", "alice", "--role", "admin")[1]
        assert 0 == run("tokenward_user", "deactivate", "alice")[0]
        assert "1" in run("tokenward_user", "list")[2]
        assert 0 == run("tokenward_user", "reactivate", "alice")[0]
        changed = run(
            "tokenward_user", "passwd", "alice", "--password-file", "-", stdin=b"another one 9"
        )
        assert 0 == changed[0]
    audited = [json.loads(r.getMessage()) for r in caplog.records if r.name == "tokenward.audit"]
    assert ["role_changed", "user_disabled", "user_enabled", "password_changed"] == [
        line["event"] for line in audited
    ]
    assert "another one 9" not in caplog.text
    if alice == "model":
        user = get_user_model().objects.get(username="alice")
        assert user.is_active
        assert user.check_password("another one 9") or verify_password(
            "another one 9", user.password.removeprefix("tokenward$")
        )


@pytest.mark.parametrize("change", ["deactivate", "reactivate", "roles", "passwd"])
def test_nobody_of_that_name_is_a_refusal(run, alice, change):
    """Exit 1, and the name, escaped."""
    options = ["--password-file", "-"] if change == "passwd" else []
    status, _, err = run("tokenward_user", change, "b\x1bb", *options, stdin=b"long enough")
    assert 1 == status
    assert "there is no user named b\\x1bb" in err


def test_a_new_password_follows_the_policy(run, alice):
    """That of the service, wherever the users are."""
    options = ("tokenward_user", "passwd", "alice", "--password-file", "-")
    status, _, err = run(*options, stdin=b"seven77")
    assert 1 == status
    assert "at least 8 characters" in err
    assert "seven77" not in err


def test_a_password_is_asked_for_or_in_a_file(run, alice, monkeypatch):
    """Without a terminal and without a file: exit 2."""
    status, _, err = run("tokenward_user", "passwd", "alice")
    assert 2 == status
    assert "--password-file" in err
    monkeypatch.setattr(getpass, "getpass", lambda _prompt: "typed twice 1")
    assert 0 == run("tokenward_user", "passwd", "alice", tty=True)[0]


def test_users_of_the_project_need_no_store_of_their_own(run, mapping, settings, db):
    """They last, even where the service keeps nothing else."""
    mapping["service"]["store"] = "memory://"
    options = ("add", "alice", "--email", "a@example.com", "--password-file", "-")
    assert 2 == run("tokenward_user", *options, stdin=PASSWORD.encode())[0]
    settings.TOKENWARD = {**mapping, "django": {"service_users": "model"}}
    assert 0 == run("tokenward_user", *options, stdin=PASSWORD.encode())[0]
    assert "alice" in run("tokenward_user", "list")[1]


def test_adopt_makes_the_accounts_that_are_missing(run, users):
    """Of the project's users; who cannot have one is named beside the result."""
    for name in ("bob", "BOB", "carol"):
        get_user_model().objects.create_user(name, f"{name.lower()}@example.com")
    Account.objects.all().delete()
    status, out, err = run("tokenward_user", "adopt")
    if users == "store":
        assert (2, "") == (status, out)
        assert '"service_users": "model"' in err
        return
    assert (0, "Accounts made: 2\n") == (status, out)
    assert "No account for BOB: " in err
    assert 2 == Account.objects.count()
    assert (0, "Accounts made: 0\n") == run("tokenward_user", "adopt")[:2]


def test_a_database_that_cannot_be_used_is_an_outage(run, mapping, settings, db):
    """Exit 3, and nothing is said to be wrong with a user."""
    settings.TOKENWARD = {**mapping, "django": {"service_users": "model"}}

    def broken(*_query):
        raise OperationalError("the server closed the connection")

    with connection.execute_wrapper(broken):
        status, out, err = run("tokenward_user", "roles", "alice")
    assert (3, "") == (status, out)
    assert "the database cannot be used" in err


# --- as a program -------------------------------------------------------------------------------


def manage(*argv, stdin=b"", mapping=None):
    """Run manage.py in a process of its own."""
    script = (
        "import json, os, sys\n"
        "from django.conf import settings\n"
        "from django.core.management import execute_from_command_line\n"
        "given = json.loads(os.environ['SHOP_TOKENWARD'])\n"
        "if given is not None: settings.TOKENWARD = given\n"
        "execute_from_command_line(['manage.py', *sys.argv[1:]])\n"
    )
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "shop.settings",
        "PYTHONPATH": os.pathsep.join([str(SUPPORT), *sys.path]),
        "SHOP_TOKENWARD": json.dumps(mapping),
    }
    done = subprocess.run(
        [sys.executable, "-c", script, *argv],
        input=stdin,
        capture_output=True,
        check=False,
        timeout=150,
        env=environment,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_djangos_options_stand_before_or_behind_what_is_to_be_done(store, mapping):
    """The exit status is that of the command line."""
    for argv in (
        ("tokenward_keys", "--settings", "shop.settings", "list"),
        ("tokenward_keys", "list", "--settings=shop.settings", "--no-color", "-v", "0"),
    ):
        status, out, err = manage(*argv, mapping=mapping)
        assert (0, "", 2) == (status, err, len(out.splitlines()))
    refused = manage("tokenward_user", "roles", "nobody", "--no-color", mapping=mapping)
    assert (1, "") == refused[:2]
    assert refused[2].startswith("CommandError: there is no user named nobody")
    for argv in (("--traceback", "roles", "x"), ("roles", "x", "--traceback")):
        assert "Traceback" in manage("tokenward_user", *argv, mapping=mapping)[2]
    assert 2 == manage("tokenward_user", "list")[0]


def test_a_password_on_the_command_line_is_refused_and_not_repeated(store, mapping):
    """As an option or as an argument too many: exit 2."""
    status, out, err = manage(
        *("tokenward_user", "add", "bob", "--email", "b@example.com"),
        *("--password", "hunter2hunter2"),
        mapping=mapping,
    )
    assert (2, "") == (status, out)
    assert "--password-file" in err
    assert "hunter2" not in err
    status, out, err = manage("tokenward_user", "passwd", "bob", "hunter2", mapping=mapping)
    assert (2, "") == (status, out)
    assert "hunter2" not in err


def test_the_help_of_each_command_names_the_exit_statuses(capsys):
    """And what can be done."""
    for name, *_ in COMMANDS:
        command = __import__(
            f"tokenward.django.management.commands.{name}", fromlist=["Command"]
        ).Command()
        assert isinstance(command, BaseCommand)
        command.print_help("manage.py", name)
        said = capsys.readouterr().out
        all_is_well = "nothing failed" if name == "tokenward_check" else "done"
        assert f"exit status: 0 {all_is_well}" in said
        assert command.help in " ".join(said.split())
