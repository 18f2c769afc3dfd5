"""The command line: exit statuses, what is said, and what is left behind."""

import getpass
import importlib
import io
import json
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tokenward import _jose
from tokenward.cli import main
from tokenward.commands.line.arguments import EXIT
from tokenward.config import Settings, build_service
from tokenward.passwords import verify_password

PASSWORD = "correct horse battery"
SECRET = "9f8a-77e1-quartz-lantern"
CONFIG = """
[service]
issuer = "https://auth.example"
audience = "orders"
store = "sqlite:///{folder}/store.db"
password = {{ bcrypt_cost = 4, min_length = 8 }}
keys = {{ secrets = [{{ file = "{folder}/keys.secret" }}] }}
"""
CLIENT = f"""
[[service.clients]]
client_id = "orders"
client_secret = "{SECRET}"
"""


class Stdin(io.TextIOWrapper):
    """Standard input that holds some bytes, or that somebody sits at."""

    def __init__(self, data=b"", *, tty=False):
        super().__init__(io.BytesIO(data))
        self._tty = tty

    def isatty(self):
        return self._tty


@pytest.fixture(autouse=True)
def no_configuration_around(monkeypatch):
    monkeypatch.delenv("TOKENWARD_CONFIG", raising=False)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "keys.secret").write_text(f"{SECRET}\n", "utf-8")
    (tmp_path / "keys.secret").chmod(0o600)
    return tmp_path


@pytest.fixture
def config(folder):
    """A right configuration whose store does not exist yet."""
    path = folder / "tokenward.toml"
    path.write_text(CONFIG.format(folder=folder), "utf-8")
    return path


@pytest.fixture
def run(capsys, monkeypatch):
    """Run one command; return its exit status, standard output and standard error."""

    def run(*argv, stdin=b"", tty=False):
        monkeypatch.setattr(sys, "stdin", Stdin(stdin, tty=tty))
        try:
            status = main([str(argument) for argument in argv])
        except SystemExit as stopped:
            status = stopped.code
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


@pytest.fixture
def store(run, config):
    """The configuration of a store that was made."""
    assert 0 == run("store", "init", "--config", config)[0]
    return config


@pytest.fixture
def alice(run, store):
    """The configuration of a store in which there is alice, an editor."""
    added = run(
        *("users", "add", "alice", "--email", "alice@example.com", "--role", "editor"),
        *("--password-file", "-", "--config", store),
        stdin=PASSWORD.encode(),
    )
    assert 0 == added[0]
    return store


@pytest.fixture
def token(run, alice):
    """A token for alice, as standard input has it."""
    status, out, _ = run("token", "issue", "--user", "alice", "--config", alice)
    assert 0 == status
    return out.encode()


def explained(out):
    """Return the outcome of each check by its name."""
    checks = out.splitlines()[1:-1]
    return {line[9:].partition(":")[0]: line[:8].rstrip() for line in checks}


class TestUsage:
    def test_no_command_is_wrong_usage(self, run):
        """Nothing was asked for: exit 2, and what there is."""
        status, out, err = run()
        assert (2, "") == (status, out)
        assert "COMMAND" in err

    @pytest.mark.parametrize("command", ["verify", "introspect"])
    @pytest.mark.parametrize("extra", [[], ["-"]])
    def test_a_token_on_the_command_line_is_refused_and_not_repeated(self, run, command, extra):
        """The message says why, and where the token should come from."""
        status, out, err = run(command, *extra, "eyJ.secret.token")
        assert (2, "") == (status, out)
        assert "shell's history" in err
        assert "standard input" in err
        assert "eyJ" not in err

    def test_a_token_in_place_of_a_command_is_not_repeated(self, run):
        """What cannot be read as a command may be a secret."""
        status, _, err = run("eyJ.secret.token")
        assert 2 == status
        assert "eyJ" not in err

    def test_a_password_on_the_command_line_is_refused_and_not_repeated(self, run, config):
        """There is no such option, and the value is not shown."""
        status, _, err = run(
            *("users", "add", "bob", "--email", "b@example.com", "--config", config),
            *("--password", "hunter2hunter2"),
        )
        assert 2 == status
        assert "--password-file" in err
        assert "hunter2" not in err

    @pytest.mark.parametrize("bind", ["8000", ":8000", "localhost", "::1:8000", "h:65536", "h:x"])
    def test_an_address_is_a_host_and_a_port(self, run, config, bind):
        """Anything else is wrong usage."""
        status, _, err = run("serve", "--config", config, "--bind", bind)
        assert 2 == status
        assert "HOST:PORT" in err

    def test_threads_are_counted_from_one(self, run, config):
        """No thread could answer nothing."""
        assert 2 == run("serve", "--config", config, "--threads", "0")[0]

    @pytest.mark.parametrize("error", [KeyboardInterrupt, EOFError])
    def test_an_interrupt_is_quiet(self, run, config, monkeypatch, error):
        """Ctrl-C or Ctrl-D at a prompt: 130, and no word."""

        def interrupted(_prompt):
            raise error

        monkeypatch.setattr(getpass, "getpass", interrupted)
        assert (130, "", "") == run("hash-password", tty=True)

    def test_a_broken_pipe_is_quiet(self, alice):
        """Whoever read the output went away: no traceback, and not "done"."""
        reader, writer = os.pipe()
        os.close(reader)
        command = [sys.executable, "-m", "tokenward", "users", "list", "--config", alice]
        done = subprocess.run(
            command, stdout=writer, stderr=subprocess.PIPE, check=False, timeout=150
        )
        os.close(writer)
        assert (141, b"") == (done.returncode, done.stderr)


class TestConfiguration:
    COMMANDS = (
        ["serve"],
        ["users", "list"],
        ["store", "init"],
        ["token", "issue", "--user", "alice"],
        ["verify", "-"],
        ["introspect", "-"],
        ["check-config"],
    )

    @pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
    def test_none_at_all_says_how_to_name_one(self, run, command):
        """Neither --config nor the variable: exit 2."""
        status, out, err = run(*command)
        assert (2, "") == (status, out)
        assert "--config" in err
        assert "TOKENWARD_CONFIG" in err

    @pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
    def test_a_missing_file_is_named(self, run, tmp_path, monkeypatch, command):
        """The variable stands in for --config."""
        monkeypatch.setenv("TOKENWARD_CONFIG", str(tmp_path / "nothing.toml"))
        status, _, err = run(*command)
        assert 2 == status
        assert "nothing.toml" in err
        assert 1 == len(err.splitlines())

    @pytest.mark.parametrize("named", [["--config"], []], ids=["option", "alone"])
    def test_check_config_takes_its_file_either_way(self, run, config, monkeypatch, named):
        """As every other command does, and shorter; what the environment names does not matter."""
        monkeypatch.setenv("TOKENWARD_CONFIG", "/no/such/file.toml")
        status, out, _ = run("check-config", *named, config)
        assert (0, f"{config} is right.") == (status, out.partition(" Whether")[0])

    def test_check_config_takes_the_file_of_the_environment(self, run, config, monkeypatch):
        """Where none is named."""
        monkeypatch.setenv("TOKENWARD_CONFIG", str(config))
        assert f"{config} is right." == run("check-config")[1].partition(" Whether")[0]

    def test_check_config_takes_one_file(self, run, config):
        """Two are wrong usage, and none of them is passed over in silence."""
        status, _, err = run("check-config", "--config", config, config)
        assert 2 == status
        assert "not allowed with argument --config" in err

    def test_a_right_one_is_right_before_its_store_exists(self, run, config, folder):
        """check-config reaches for nothing and leaves nothing behind."""
        before = sorted(folder.iterdir())
        assert 0 == run("check-config", config)[0]
        assert before == sorted(folder.iterdir())

    @pytest.mark.parametrize(
        ("old", "new", "named"),
        [
            ('issuer = "https:', 'issuer = "http:', "https"),
            ("audience", "audiense", "'audience'"),
            ("min_length = 8", "min_length = 2", "service.password.min_length"),
            ("[service]", "[service", "line 2"),
            ("keys.secret", "nothing.secret", "nothing.secret"),
        ],
        ids=["http issuer", "misspelt", "bound", "no TOML", "no secret file"],
    )
    def test_what_is_wrong_is_said_in_one_line(self, run, config, old, new, named):
        """The message names the place; exit 2; no traceback."""
        config.write_text(config.read_text("utf-8").replace(old, new), "utf-8")
        status, out, err = run("check-config", config)
        assert (2, "") == (status, out)
        assert named in err
        assert 1 == len(err.splitlines())

    def test_a_short_secret_is_refused_and_not_shown(self, run, config, folder):
        """A secret that can be guessed is no secret."""
        (folder / "keys.secret").write_text("tooshort", "utf-8")
        status, _, err = run("check-config", config)
        assert 2 == status
        assert "shorter than 16 bytes" in err
        assert "tooshort" not in err

    def test_a_configuration_without_a_service_has_no_users(self, run, folder):
        """The command says what it needs."""
        (folder / "other.toml").write_text('realm = "orders"', "utf-8")
        for command in (["users", "list"], ["serve"], ["store", "init"]):
            status, _, err = run(*command, "--config", folder / "other.toml")
            assert 2 == status
            assert "'service'" in err

    def test_memory_is_no_place_for_what_should_last(self, run, folder):
        """What a command puts there ends with it."""
        text = CONFIG.format(folder=folder).replace(f"sqlite:///{folder}/store.db", "memory://")
        (folder / "memory.toml").write_text(text, "utf-8")
        for command in (["users", "list"], ["store", "init"], ["token", "issue", "--user", "a"]):
            status, _, err = run(*command, "--config", folder / "memory.toml")
            assert 2 == status
            assert "memory://" in err


class TestStore:
    def test_init_makes_it_once(self, run, config, folder):
        """Again, it says that nothing was changed, and nothing was."""
        status, out, err = run("store", "init", "--config", config)
        assert (0, "") == (status, err)
        assert "Made" in out
        assert 0o600 == (folder / "store.db").stat().st_mode & 0o777
        keys = sqlite3.connect(folder / "store.db")
        before = keys.execute("SELECT kid, material FROM signing_keys").fetchall()
        assert 2 == len(before)
        status, out, _ = run("store", "init", "--config", config)
        assert 0 == status
        assert "nothing was changed" in out
        assert before == keys.execute("SELECT kid, material FROM signing_keys").fetchall()
        keys.close()

    def test_init_does_not_open_sealed_keys_with_another_secret(self, run, store, folder):
        """Nothing is made beside keys that do not open."""
        (folder / "keys.secret").write_text("another-9f8a-77e1-quartz", "utf-8")
        status, out, err = run("store", "init", "--config", store)
        assert (2, "") == (status, out)
        assert "opens with none" in err

    @pytest.mark.parametrize(
        "command",
        [["serve"], ["users", "list"], ["store", "cleanup"], ["token", "issue", "--user", "a"]],
        ids=" ".join,
    )
    def test_a_missing_store_is_not_made(self, run, config, folder, command):
        """The message is the command that makes one, ready to be pasted."""
        before = sorted(folder.iterdir())
        status, out, err = run(*command, "--config", config)
        assert (2, "") == (status, out)
        assert f"`tokenward store init --config {config}`" in err
        assert before == sorted(folder.iterdir())

    @pytest.mark.parametrize("command", [["serve"], ["store", "init"], ["users", "list"]])
    def test_what_is_no_store_is_left_alone(self, run, config, folder, command):
        """A file of somebody else's, and a database of another program's."""
        path = folder / "store.db"
        path.write_bytes(b"dear diary, " * 100)
        path.chmod(0o600)
        status, _, err = run(*command, "--config", config)
        assert 2 == status
        assert str(path) in err
        assert b"dear diary, " * 100 == path.read_bytes()
        path.unlink()
        foreign = sqlite3.connect(path)
        foreign.execute("CREATE TABLE theirs (x)")
        foreign.commit()
        foreign.close()
        path.chmod(0o600)
        status, _, err = run(*command, "--config", config)
        assert 2 == status
        assert "another program" in err

    @pytest.mark.parametrize("command", [["serve"], ["store", "init"], ["users", "list"]])
    def test_a_store_that_others_can_read_is_refused(self, run, store, folder, command):
        """The message is the chmod that mends it."""
        (folder / "store.db").chmod(0o644)
        status, _, err = run(*command, "--config", store)
        assert 2 == status
        assert "chmod 600" in err

    def test_a_store_in_a_folder_that_does_not_exist_is_not_made(self, run, config, folder):
        """The message names the folder."""
        text = config.read_text("utf-8").replace("/store.db", "/missing/store.db")
        config.write_text(text, "utf-8")
        status, _, err = run("store", "init", "--config", config)
        assert 2 == status
        assert str(folder / "missing") in err
        assert not (folder / "missing").exists()

    def test_cleanup_says_how_many_it_forgot(self, run, alice, folder):
        """What expired goes, what has not stays."""
        connection = sqlite3.connect(folder / "store.db")
        rows = [("long ago", 1), ("last year", 2), ("far ahead", 2**40)]
        connection.executemany("INSERT INTO revocations VALUES (?, ?)", rows)
        connection.commit()
        assert (0, "Forgotten: 2\n", "") == run("store", "cleanup", "--config", alice)
        left = connection.execute("SELECT jti FROM revocations").fetchall()
        connection.close()
        assert [("far ahead",)] == left


class TestKeys:
    def test_list_shows_what_may_be_known_of_each(self, run, store, folder):
        """Id, algorithm, state and since when, the one that signs first; no key is opened."""
        (folder / "keys.secret").write_text("another-9f8a-77e1-quartz", "utf-8")
        status, out, err = run("keys", "list", "--config", store)
        assert (0, "") == (status, err)
        rows = [line.split("\t") for line in out.splitlines()]
        assert [["ES256", "current"], ["ES256", "next"]] == [row[1:3] for row in rows]
        connection = sqlite3.connect(folder / "store.db")
        stored = {kid for (kid,) in connection.execute("SELECT kid FROM signing_keys")}
        connection.close()
        assert stored == {row[0] for row in rows}
        assert all(row[3].endswith("+00:00") for row in rows)


class TestUsers:
    def test_list_shows_name_address_roles_and_id(self, run, alice):
        """One line a user, with tabs between."""
        status, out, err = run("users", "list", "--config", alice)
        assert (0, "") == (status, err)
        assert ["alice", "alice@example.com", "editor"] == out.strip().split("\t")[:3]

    def test_add_refuses_a_name_that_is_taken(self, run, alice):
        """Exit 1; with --if-missing that is what was wanted, and the password stays."""
        again = ("users", "add", "ALICE", "--email", "other@example.com", "--config", alice)
        password = ("--password-file", "-")
        status, out, err = run(*again, *password, stdin=b"another password")
        assert (1, "") == (status, out)
        assert "[user_already_exists]" in err
        status, out, _ = run(*again, *password, "--if-missing", stdin=b"another password")
        assert 0 == status
        assert "already" in out
        assert 1 == len(run("users", "list", "--config", alice)[1].splitlines())

    def test_if_missing_does_not_hide_that_the_address_is_taken(self, run, alice):
        """Nobody of that name is there, and nobody was added."""
        status, _, err = run(
            *("users", "add", "bob", "--email", "alice@example.com", "--if-missing"),
            *("--password-file", "-", "--config", alice),
            stdin=b"another password",
        )
        assert 1 == status
        assert "[user_already_exists]" in err

    @pytest.mark.parametrize(
        ("account", "field"),
        [
            (("a b", "a@example.com", "long enough"), "username"),
            (("bob", "nobody", "long enough"), "email"),
            (("bob", "b@example.com", "seven77"), "password"),
        ],
    )
    def test_what_a_user_may_not_have_is_refused_by_field(self, run, store, account, field):
        """Exit 1; the field is named, the password is not shown."""
        name, email, password = account
        status, _, err = run(
            *("users", "add", name, "--email", email, "--password-file", "-", "--config", store),
            stdin=password.encode(),
        )
        assert 1 == status
        assert err.startswith(f"tokenward: {field}: ")
        assert password not in err

    def test_a_password_file_loses_one_newline_and_nothing_else(self, run, store, folder):
        """White space is part of a password; the end of the line is not."""
        file = folder / "password"
        file.write_bytes(b" two  words \r\n")
        options = ("--email", "c@example.com", "--password-file", file, "--config", store)
        assert 0 == run("users", "add", "carol", *options)[0]
        connection = sqlite3.connect(folder / "store.db")
        ((hashed,),) = connection.execute("SELECT hashed_password FROM users").fetchall()
        connection.close()
        assert verify_password(" two  words ", hashed)

    @pytest.mark.parametrize("content", [None, b"\xff\xfe not UTF-8"])
    def test_a_password_file_that_cannot_be_read_is_named(self, run, alice, folder, content):
        """Exit 2, and the password stays."""
        if content is not None:
            (folder / "password").write_bytes(content)
        options = ("--password-file", folder / "password", "--config", alice)
        status, _, err = run("users", "passwd", "alice", *options)
        assert 2 == status
        assert str(folder / "password") in err

    def test_without_a_terminal_a_password_comes_from_a_file(self, run, alice):
        """Nobody can be asked: exit 2."""
        status, _, err = run("users", "passwd", "alice", "--config", alice)
        assert 2 == status
        assert "--password-file" in err

    def test_on_a_terminal_a_password_is_asked_for_twice(self, run, alice, monkeypatch):
        """Two that differ change nothing; two alike end alice's tokens."""
        typed = iter(["first one 1", "first one 2", "second one", "second one"])
        monkeypatch.setattr(getpass, "getpass", lambda _prompt: next(typed))
        status, _, err = run("users", "passwd", "alice", "--config", alice, tty=True)
        assert 2 == status
        assert "differ" in err
        status, out, _ = run("users", "passwd", "alice", "--config", alice, tty=True)
        assert 0 == status
        assert "alice" in out

    def test_a_new_password_follows_the_policy(self, run, alice):
        """As for a new account."""
        options = ("--password-file", "-", "--config", alice)
        status, _, err = run("users", "passwd", "alice", *options, stdin=b"seven77")
        assert 1 == status
        assert "at least 8 characters" in err

    def test_roles_are_shown_replaced_and_taken_away(self, run, alice):
        """One role a line."""
        roles = ("users", "roles", "alice", "--config", alice)
        assert (0, "editor\n", "") == run(*roles)
        assert (0, "admin\nauditor\n", "") == run(*roles, "--role", "admin", "--role", "auditor")
        assert (0, "", "") == run(*roles, "--none")
        assert 2 == run(*roles, "--none", "--role", "admin")[0]

    def test_a_user_that_is_not_active_is_counted_only(self, run, alice):
        """Deactivated, not listed; reactivated, listed again."""
        assert 0 == run("users", "deactivate", "alice", "--config", alice)[0]
        status, out, err = run("users", "list", "--config", alice)
        assert (0, "") == (status, out)
        assert "1" in err
        assert 0 == run("users", "reactivate", "alice", "--config", alice)[0]
        assert 1 == len(run("users", "list", "--config", alice)[1].splitlines())

    @pytest.mark.parametrize("change", ["deactivate", "reactivate", "roles", "passwd"])
    def test_nobody_of_that_name_is_a_refusal(self, run, alice, change):
        """Exit 1, and the name, escaped."""
        options = ["--password-file", "-"] if change == "passwd" else []
        status, _, err = run(
            "users", change, "b\x1bb", *options, "--config", alice, stdin=b"long enough"
        )
        assert 1 == status
        assert "there is no user named b\\x1bb" in err

    @pytest.mark.parametrize(
        ("change", "event"),
        [
            (["deactivate", "alice"], "user_disabled"),
            (["roles", "alice", "--role", "admin"], "role_changed"),
            (["passwd", "alice", "--password-file", "-"], "password_changed"),
        ],
    )
    def test_changes_end_tokens_and_are_audited(self, run, token, caplog, change, event, alice):  # noqa: PLR0917
        """A token from before is refused; the audit trail names the user."""
        assert 0 == run("verify", "-", "--config", alice, stdin=token)[0]
        with caplog.at_level("INFO", "tokenward.audit"):
            assert 0 == run("users", *change, "--config", alice, stdin=b"long enough")[0]
        (line,) = [r.getMessage() for r in caplog.records if r.name == "tokenward.audit"]
        assert (event, "alice") == (json.loads(line)["event"], json.loads(line)["username"])
        assert 1 == run("verify", "-", "--config", alice, stdin=token)[0]

    def test_the_list_goes_on_beyond_one_page(self, run, store, monkeypatch):
        """Nobody is left out or listed twice at the seam of two pages."""
        monkeypatch.setattr("tokenward.commands.users._PAGE", 2)
        for name in ("a1", "b2", "c3", "d4", "e5"):
            options = ("--email", f"{name}@example.com", "--password-file", "-")
            run("users", "add", name, *options, "--config", store, stdin=b"long enough")
        listed = [
            line.split("\t")[0] for line in run("users", "list", "--config", store)[1].split("\n")
        ]
        assert ["a1", "b2", "c3", "d4", "e5", ""] == listed


class TestTokens:
    def test_issue_prints_a_token_that_verifies(self, run, alice, token):
        """For alice, by our own service."""
        status, out, err = run("verify", "-", "--config", alice, stdin=token)
        assert (0, "") == (status, err)
        assert out.startswith("accepted: user ")

    def test_issue_takes_a_lifetime(self, run, alice, caplog):
        """In seconds."""
        options = ("--user", "alice", "--lifetime", "60", "--config", alice)
        status, out, err = run("token", "issue", *options)
        assert (0, "") == (status, err)
        assert "early" not in caplog.text
        claims = _jose.parse(out.strip()).claims
        assert 60 == claims["exp"] - claims["iat"]

    def test_issue_takes_a_longer_lifetime_than_any_session_has(self, run, alice, caplog):
        """An operator's word, for a program that cannot log in; how it may end early is said."""
        text = alice.read_text("utf-8")
        alice.write_text(text.replace("keys = { ", "keys = { rotate_every = 86400, "), "utf-8")
        options = ("--user", "alice", "--lifetime", "31536000", "--config", alice)
        status, out, err = run("token", "issue", *options)
        assert (0, "") == (status, err)
        assert "Rotating the keys may end this token early" in caplog.text
        assert "31536000 seconds" in caplog.text
        assert "1320 more" in caplog.text
        claims = _jose.parse(out.strip()).claims
        assert 31_536_000 == claims["exp"] - claims["iat"]

    def test_issue_makes_none_for_whom_nobody_would_take_it(self, run, alice):
        """Unknown, or not active: exit 1."""
        assert 1 == run("token", "issue", "--user", "bob", "--config", alice)[0]
        run("users", "deactivate", "alice", "--config", alice)
        status, out, err = run("token", "issue", "--user", "alice", "--config", alice)
        assert (1, "") == (status, out)
        assert "not active" in err

    def test_introspect_prints_our_own_answer(self, run, alice, token):
        """Without an introspection credential it is the service that says it."""
        status, out, _ = run("introspect", "-", "--config", alice, stdin=token)
        answer = json.loads(out)
        assert (0, True, "alice") == (status, answer["active"], answer["username"])
        status, out, _ = run("introspect", "-", "--config", alice, stdin=b"nonsense")
        assert (0, {"active": False}) == (status, json.loads(out))

    @pytest.mark.parametrize("command", ["verify", "introspect"])
    def test_with_nobody_to_ask_it_says_so(self, run, folder, command):
        """Neither a credential nor a service: exit 2."""
        (folder / "empty.toml").write_text('realm = "orders"', "utf-8")
        status, _, err = run(command, "-", "--config", folder / "empty.toml", stdin=b"token")
        assert 2 == status
        assert "neither" in err

    @pytest.mark.parametrize("data", [b"", b"\xff\xff", b"a b", b"x" * 100_000])
    def test_anything_may_stand_on_standard_input(self, run, alice, data):
        """What is no token is refused, whatever it is, and never repeated."""
        status, out, err = run("verify", "-", "--config", alice, stdin=data)
        assert (1, "") == (status, err)
        assert out.startswith("refused: ")
        assert len(out) < 300

    def test_on_a_terminal_a_token_is_asked_for(self, run, alice, token, monkeypatch):
        """Without showing it."""
        monkeypatch.setattr(getpass, "getpass", lambda _prompt: token.decode())
        assert 0 == run("verify", "-", "--config", alice, tty=True)[0]

    def test_hash_password_prints_a_hash(self, run):
        """At the cost that was asked for."""
        status, out, _ = run("hash-password", "--cost", "4", "--password-file", "-", stdin=b"pw\n")
        assert 0 == status
        assert "$04$" in out
        assert verify_password("pw", out.strip())

    def test_hash_password_refuses_what_is_no_cost(self, run):
        """A cost nobody could wait for is wrong configuration."""
        assert 2 == run("hash-password", "--cost", "40", "--password-file", "-", stdin=b"pw")[0]


class TestExplain:
    def explain(self, run, config, token):
        status, out, err = run("verify", "-", "--explain", "--config", config, stdin=token)
        assert "" == err
        return status, out

    def test_an_accepted_token_passes_every_check(self, run, alice, token):
        """One line each, and the verdict; the token is not shown."""
        status, out = self.explain(run, alice, token)
        assert 0 == status
        assert {"ok"} == set(explained(out).values())
        assert "expected 'orders', got orders" in out
        assert token.decode().strip() not in out
        assert token.decode().rpartition(".")[2].strip() not in out

    @pytest.mark.parametrize(
        ("change", "failed"),
        [
            (('audience = "orders"', 'audience = "billing"'), "aud"),
            (("https://auth.example", "https://auth.example/"), "iss"),
        ],
    )
    def test_the_check_that_failed_is_the_first_one_not_ok(self, run, alice, token, change, failed):
        """Those before it passed, those after it were not made; the hint says both values."""
        alice.write_text(alice.read_text("utf-8").replace(*change), "utf-8")
        status, out = self.explain(run, alice, token)
        assert 1 == status
        outcomes = explained(out)
        assert "failed" == outcomes[failed]
        at = list(outcomes).index(failed)
        assert {"ok"} == set(list(outcomes.values())[:at])
        assert {"not made"} == set(list(outcomes.values())[at + 1 :])
        assert out.splitlines()[-1].startswith("refused: ")

    def test_every_refusal_of_a_local_verifier_has_its_check(self, run, alice, token, folder):
        """Syntax, algorithm, type, key, signature, the user's state."""
        head, payload, signature = token.strip().split(b".")

        def header(**members):
            return _jose.encode(json.dumps(members).encode()).encode()

        kid = _jose.parse(token.decode().strip()).kid
        good = {"alg": "ES256", "typ": "at+jwt", "kid": kid}
        cases = {
            "syntax": b"a.b",
            "alg": header(**good | {"alg": "none"}) + b"." + payload + b"." + signature,
            "crit": header(**good, crit=["exp"]) + b"." + payload + b"." + signature,
            "typ": header(**good | {"typ": "JWT"}) + b"." + payload + b"." + signature,
            "kid": header(**good | {"kid": "other"}) + b"." + payload + b"." + signature,
            "signature": head + b"." + _jose.encode(b'{"sub":"x"}').encode() + b"." + signature,
        }
        for failed, forged in cases.items():
            status, out = self.explain(run, alice, forged)
            assert (1, "failed") == (status, explained(out)[failed])
        run("users", "deactivate", "alice", "--config", alice)
        status, out = self.explain(run, alice, token)
        assert (1, "failed") == (status, explained(out)["state"])
        assert "refused: user_inactive" in out

    def test_a_claim_that_our_own_key_signed_wrongly_fails_by_its_name(self, run, alice, token):
        """Times that are none, a jti that is none, and one that is not there."""
        settings = Settings.from_file(alice)
        key = build_service(settings).keys.current
        good = _jose.parse(token.decode().strip()).claims
        cases = {
            "exp": good | {"exp": "soon"},
            "nbf": good | {"nbf": 2**40},
            "iat": good | {"iat": 2**40},
            "jti": good | {"jti": 5},
            "required": {name: good[name] for name in good if name != "jti"},
            "cnf": good | {"cnf": {"jkt": "x"}},
        }
        for failed, claims in cases.items():
            forged = _jose.sign(claims, key, typ="at+jwt").encode()
            status, out = self.explain(run, alice, forged)
            assert (1, "failed") == (status, explained(out)[failed])
        expired = _jose.sign(good | {"exp": 5}, key, typ="at+jwt").encode()
        status, out = self.explain(run, alice, expired)
        assert (1, "failed") == (status, explained(out)["exp"])
        assert "got 5 (very long ago)" in out

    def test_a_token_of_an_issuer_that_is_not_ours_fails_on_the_way(self, run, alice, token):
        """Several credentials at one place: the issuer leads to the verifier, or to none."""
        text = f"""
            [[credentials]]
            type = "local"
            [[credentials]]
            type = "introspection"
            introspection_endpoint = "https://as.example/introspect"
            issuer = "https://as.example"
            audience = "orders"
            client_auth = {{ method = "bearer", token = "{SECRET}" }}
        """
        alice.write_text(text + alice.read_text("utf-8"), "utf-8")
        status, out = self.explain(run, alice, token)
        assert (0, "ok") == (status, explained(out)["route"])
        other = alice.read_text("utf-8").replace("https://auth.example", "https://new.example")
        alice.write_text(other, "utf-8")
        status, out = self.explain(run, alice, token)
        assert (1, {"route": "failed"}) == (status, explained(out))
        assert "unknown_issuer" in out

    def test_the_scheme_is_no_part_of_a_token(self, run, alice, token):
        """Said of the service's own tokens, too."""
        status, out = self.explain(run, alice, b"Bearer " + token)
        assert (1, "failed") == (status, explained(out)["syntax"])
        assert out.splitlines()[-1].endswith("; send the token alone, without Bearer before it")
        status, out, _ = run("verify", "-", "--config", alice, stdin=b"Bearer " + token)
        assert (1, True) == (status, out.endswith("without Bearer before it\n"))


class TestDoctor:
    @pytest.mark.parametrize(
        ("old", "new", "named"),
        [
            ("[service]", "[service", "cannot be read"),
            ("audience", "audiense", "'audiense' is not a setting"),
            ("keys.secret", "nothing.secret", "nothing.secret"),
        ],
        ids=["no TOML", "misspelt", "no secret"],
    )
    def test_a_wrong_configuration_is_a_finding(self, run, config, old, new, named):
        """Exit 1, as its help says, where other commands have 2."""
        config.write_text(config.read_text("utf-8").replace(old, new), "utf-8")
        status, out, err = run("doctor", "--config", config)
        assert (1, "") == (status, err)
        assert out.startswith(f"FAIL {config}: ")
        assert named in out

    def test_a_missing_file_is_a_finding(self, run, folder):
        """Exit 1, too."""
        status, out, _ = run("doctor", "--config", folder / "none.toml")
        assert (1, True) == (status, out.startswith(f"FAIL {folder / 'none.toml'}: "))

    def test_its_help_says_its_own_exit_statuses(self, run):
        """Not those of the commands for which a wrong configuration is wrong usage."""
        said = " ".join(run("doctor", "--help")[1].split())
        others = " ".join(run("verify", "--help")[1].split())
        ours = "1 something is wrong, perhaps the configuration itself; 2 usage, or no conf"
        assert (True, False) == (ours in said, ours in others)
        assert (False, True) == (EXIT in said, EXIT in others)

    def test_without_a_configuration_it_says_how_to_write_one(self, run, folder):
        """What it shows can be pasted: each part parses and is right."""
        status, out, err = run("doctor")
        assert (2, "") == (status, out)
        blocks = [
            "\n".join(line.strip() for line in block.splitlines())
            for block in err.split("\n\n")
            if block.startswith("    ")
        ]
        assert 3 == len(blocks)
        (folder / "client.secret").write_text(SECRET, "utf-8")
        for block in blocks:
            text = block.replace('"client.secret"', f'"{folder}/client.secret"')
            (folder / "pasted.toml").write_text(text, "utf-8")
            assert 0 == run("check-config", folder / "pasted.toml")[0]

    def test_a_sound_set_up_is_ok(self, run, alice):
        """A line each for the file, the issuer, the store and the keys."""
        text = alice.read_text("utf-8").replace("bcrypt_cost = 4, ", "")
        behind = text.replace("[service]", '[service]\ntrusted_proxies = "10.0.0.1"')
        alice.write_text(behind + CLIENT)
        alice.chmod(0o600)
        status, out, err = run("doctor", "--config", alice)
        assert (0, "") == (status, err)
        said = {line[5:].partition(":")[0]: line[:4].strip() for line in out.splitlines()}
        assert {
            str(alice): "ok",
            "service.clients[0].client_secret": "warn",
            "service.issuer": "ok",
            "service.store": "ok",
            "service.keys": "ok",
            "service.throttle.storage": "ok",
        } == said

    def test_what_could_be_better_is_a_warning_and_no_failure(self, run, alice, folder):
        """Each by its path, with what to write; secrets are not shown."""
        text = alice.read_text("utf-8").replace("https://auth.example", "http://127.0.0.1:8000")
        alice.write_text(text.replace("[service]", '[service]\nregistration = "open"') + CLIENT)
        alice.chmod(0o644)
        status, out, _ = run("doctor", "--config", alice)
        assert 0 == status
        assert SECRET not in out
        warned = {line[5:].partition(":")[0] for line in out.splitlines() if line[:4] == "warn"}
        assert {
            str(alice),
            "service.clients[0].client_secret",
            "service.issuer",
            "service.registration",
            "service.password.bcrypt_cost",
            "service.deliver",
        } == warned

    def test_keys_from_before_the_secrets_are_said_to_be_unsealed(self, run, config, folder):
        """Secrets in the configuration seal nothing that stands in the store already."""
        text = config.read_text("utf-8")
        config.write_text("\n".join(li for li in text.splitlines() if "secrets" not in li), "utf-8")
        run("store", "init", "--config", config)
        assert ", unsealed, in a file" in run("doctor", "--config", config)[1]
        config.write_text(text, "utf-8")
        warned = [li for li in run("doctor", "--config", config)[1].splitlines() if "unseal" in li]
        assert ["warn service.keys.secrets:"] == [" ".join(li.split()[:2]) for li in warned]

    def test_what_is_broken_fails(self, run, config, folder):
        """No store; one that others can read; keys that do not open: exit 1."""
        status, out, _ = run("doctor", "--config", config)
        assert 1 == status
        assert "FAIL service.store: " in out
        run("store", "init", "--config", config)
        (folder / "store.db").chmod(0o640)
        assert "chmod 600" in run("doctor", "--config", config)[1]
        (folder / "store.db").chmod(0o600)
        (folder / "keys.secret").write_text("another-9f8a-77e1-quartz", "utf-8")
        status, out, _ = run("doctor", "--config", config)
        assert 1 == status
        assert "FAIL service.keys: " in out

    def test_a_wrong_configuration_is_a_failure(self, run, config):
        """It is what the doctor was asked about."""
        config.write_text("[service]\nissuer = 3", "utf-8")
        status, out, err = run("doctor", "--config", config)
        assert (1, "") == (status, err)
        assert "FAIL " in out
        assert "service.issuer" in out

    def test_a_store_that_is_busy_is_an_outage(self, run, store, folder):
        """Somebody holds the write lock: exit 3, and nothing is said to be wrong."""
        holder = sqlite3.connect(folder / "store.db", isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        try:
            status, out, _ = run("doctor", "--config", store)
        finally:
            holder.close()
        assert 3 == status
        assert "FAIL service.store: " in out

    def test_no_credentials_and_no_service_is_worth_a_word(self, run, folder):
        """Nothing is protected by it."""
        (folder / "empty.toml").write_text('realm = "orders"', "utf-8")
        status, out, _ = run("doctor", "--config", folder / "empty.toml")
        assert 0 == status
        assert "warn credentials: " in out


class TestServe:
    def test_a_port_that_is_taken_is_named(self, run, store):
        """Exit 2 and one sentence; the store is as it was."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            bind = f"127.0.0.1:{taken.getsockname()[1]}"
            status, out, err = run("serve", "--config", store, "--bind", bind)
        assert (2, "") == (status, out)
        assert bind in err
        assert "--bind" in err
        assert 1 == len(err.splitlines())

    @pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1", "a..b"])
    def test_an_address_that_is_not_this_machines_is_named(self, run, store, host):
        """Exit 2 and one sentence."""
        status, _, err = run("serve", "--config", store, "--bind", f"{host}:0")
        assert 2 == status
        assert host in err

    def test_without_waitress_it_says_what_to_install(self, run, store, monkeypatch):
        """The extra is named as pip takes it."""
        monkeypatch.delitem(sys.modules, "tokenward.cli.serve", raising=False)
        monkeypatch.delattr("tokenward.cli.serve", raising=False)
        monkeypatch.setitem(sys.modules, "waitress", None)
        status, _, err = run("serve", "--config", store)
        assert 2 == status
        assert "pip install 'tokenward[serve]'" in err


def test_a_store_that_cannot_be_written_is_said_to_be(run):
    """By somebody who may read everything and write nothing: exit 2, one line, no file."""
    # Not below pytest's own folder, which nobody else may enter.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = folder / "tokenward.toml"
        config.write_text(CONFIG.format(folder=folder), "utf-8")
        secret = folder / "keys.secret"
        secret.write_text(SECRET, "utf-8")
        secret.chmod(0o600)
        if os.geteuid() == 0:
            os.chown(secret, 65_534, -1)
        folder.chmod(0o555)
        importlib.import_module("tokenward.repositories.sqlite")
        # Root may write anywhere.
        was_root = os.geteuid() == 0
        if was_root:
            os.seteuid(65_534)
        try:
            status, out, err = run("store", "init", "--config", config)
        finally:
            if was_root:
                os.seteuid(0)
            folder.chmod(0o755)
        assert (2, "") == (status, out)
        assert "cannot be made" in err
        assert 1 == len(err.splitlines())
        assert not (folder / "store.db").exists()


def test_the_program_is_the_command_and_the_module():
    """`tokenward` and `python -m tokenward` are one program."""
    installed = Path(sys.executable).with_name("tokenward")
    for command in ([installed], [sys.executable, "-m", "tokenward"]):
        done = subprocess.run(
            [*command, "--help"], capture_output=True, text=True, check=True, timeout=150
        )
        assert done.stdout.startswith("usage: tokenward ")


def test_a_secret_of_the_keys_that_others_may_read_stops_everything(run, config, folder):
    """Whoever reads it opens the signing keys: exit 2, with the command that closes it."""
    (folder / "keys.secret").chmod(0o640)
    for command in (("check-config",), ("store", "init", "--config"), ("serve", "--config")):
        status, out, err = run(*command, config)
        assert (2, "") == (status, out)
        assert f"chmod 600 {folder}/keys.secret" in err
    assert not (folder / "store.db").exists()


@pytest.mark.parametrize(
    ("before", "after"),
    [("https://auth.example", "http://auth.example"), ("sqlite:///", "redis:")],
    ids=["issuer", "store"],
)
def test_a_wrong_service_makes_no_store(run, config, folder, before, after):
    """An issuer that is http, or a store of no known kind, is refused before anything is made."""
    config.write_text(config.read_text("utf-8").replace(before, after), "utf-8")
    for command in (("check-config",), ("store", "init", "--config")):
        status, out, err = run(*command, config)
        assert (2, "") == (status, out)
        assert 1 == len(err.splitlines())
    assert [] == list(folder.glob("*.db"))
