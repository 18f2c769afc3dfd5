"""The audit trail of commands that run in another program."""

import io
import json
import logging

import pytest
from flask import Flask

from tokenward._audit import audit
from tokenward.commands import store as commands
from tokenward.commands.line.terminal import Terminal
from tokenward.commands.line.trail import audited
from tokenward.config import Settings
from tokenward.flask import Tokenward

AUDIT = logging.getLogger("tokenward.audit")


@pytest.fixture
def alone(monkeypatch):
    """Be as in a program without log handlers from when it is called: pytest adds its own."""

    def alone():
        monkeypatch.setattr(AUDIT, "propagate", False)
        assert not AUDIT.hasHandlers()

    return alone


def test_lines_go_to_standard_error_while_a_command_runs(alone):
    """As `tokenward` writes them; before and after everything is as it was."""
    alone()
    err = io.StringIO()
    audit("before", 1)
    with audited(Terminal(io.StringIO(), err)):
        audit("role_changed", 1, subject="ada")
    audit("after", 1)
    line = {"event": "role_changed", "time": 1, "subject": "ada"}
    assert f"INFO tokenward.audit: {json.dumps(line)}\n" == err.getvalue()
    assert (logging.NOTSET, []) == (AUDIT.level, AUDIT.handlers)


def test_lines_go_where_a_program_has_said(caplog):
    """Its own handlers and levels count."""
    err = io.StringIO()
    with caplog.at_level(logging.INFO, "tokenward.audit"), audited(Terminal(io.StringIO(), err)):
        audit("role_changed", 1)
    assert err.getvalue() == ""
    assert "role_changed" in caplog.text


def test_a_command_that_fails_leaves_nothing_behind(alone):
    """The next one of the same process writes each line once."""
    alone()
    err = io.StringIO()

    def fail():
        with audited(Terminal(io.StringIO(), err)):
            audit("role_changed", 1)
            raise KeyError

    for _ in range(2):
        with pytest.raises(KeyError):
            fail()
    assert 2 == len(err.getvalue().splitlines())
    assert AUDIT.handlers == []


def test_flask_tokenward_writes_them(alone, tmp_path):
    """Standard output has what was asked for, and nothing else."""
    store = f"sqlite:///{tmp_path}/users.db"
    service = {"issuer": "http://127.0.0.1:8000", "audience": "orders", "store": store}
    settings = {"credentials": [], "service": service | {"password": {"bcrypt_cost": 4}}}
    assert commands.init(Settings.model_validate(settings))
    (tmp_path / "password").write_text("quartz lantern")
    app = Flask(__name__)
    app.config["TOKENWARD"] = settings
    Tokenward(app)
    runner = app.test_cli_runner()
    asked = ["add", "ada", "--email", "ada@example.org"]
    asked += ["--password-file", str(tmp_path / "password")]
    assert 0 == runner.invoke(args=["tokenward", "users", *asked]).exit_code
    alone()
    changed = runner.invoke(args=["tokenward", "users", "deactivate", "ada"])
    assert 0 == changed.exit_code
    (line,) = changed.stderr.splitlines()
    assert "user_disabled" == json.loads(line.removeprefix("INFO tokenward.audit: "))["event"]
    assert "tokenward.audit" not in changed.stdout
