"""flask tokenward …: the commands of the command line over app.config (RULES 44, 53)."""

import json
import os
import subprocess
import sys
import textwrap

import pytest
from flask import Flask
from pydantic import SecretStr

from tokenward.errors import ConfigurationError
from tokenward.flask import Tokenward, auth_service_blueprint, login_required
from tokenward.repositories import open_repositories

PASSWORD = "correct horse battery"
SECRET = "9f8a-77e1-quartz-lantern"


@pytest.fixture
def mapping(tmp_path):
    """A right configuration whose store does not exist yet."""
    return {
        "service": {
            "issuer": "https://auth.example",
            "audience": "shop",
            "store": f"sqlite:///{tmp_path}/store.db",
            "password": {"bcrypt_cost": 4, "min_length": 8},
        }
    }


@pytest.fixture
def shop(app, make_authenticator):
    """An application with the extension, whose configuration a test sets as it likes."""
    Tokenward(app, make_authenticator())
    return app


@pytest.fixture
def run(shop):
    """Run one command; return its exit status and everything it says."""

    def run(*argv, stdin=b""):
        result = shop.test_cli_runner().invoke(args=["tokenward", *argv], input=stdin)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result.exit_code, result.output

    return run


@pytest.fixture
def store(shop, run, mapping):
    """The application, with a store that was made."""
    shop.config["TOKENWARD"] = mapping
    assert 0 == run("store", "init")[0]
    return shop


@pytest.fixture
def alice(store, run):
    """The application, with alice, an editor, in its store."""
    options = ("--email", "alice@example.com", "--role", "editor", "--password-file", "-")
    assert 0 == run("users", "add", "alice", *options, stdin=PASSWORD.encode())[0]
    return store


# --- what there is ------------------------------------------------------------------------------


def test_the_commands_are_those_of_the_command_line(run):
    """But for what a Flask application has no use for."""
    status, said = run("--help")
    assert 0 == status
    listed = {line.split()[0] for line in said.splitlines() if line.startswith("    ")}
    assert {
        *("check", "users", "keys", "store", "token"),
        *("verify", "introspect", "hash-password"),
    } <= listed
    assert not {"serve", "demo", "doctor", "check-config"} & listed
    assert "exit status: 0 done" in said
    assert "exit status: 0 nothing failed" in run("check", "--help")[1]
    assert "--config" not in run("users", "list", "--help")[1]


def test_a_second_init_app_registers_nothing_twice(shop, make_authenticator, run):
    """The group is there once."""
    Tokenward(shop, make_authenticator())
    assert ["tokenward"] == list(shop.cli.commands)
    assert 0 == run("--help")[0]


def test_a_password_or_a_token_among_the_arguments_is_not_repeated(run):
    """Exit 2; the message says where it should come from."""
    status, said = run("users", "add", "bob", "--email", "b@example.com", "--password", "hunter2")
    assert 2 == status
    assert "--password-file" in said
    assert "hunter2" not in said
    status, said = run("verify", "eyJ.secret.token")
    assert 2 == status
    assert "standard input" in said
    assert "eyJ" not in said


def test_without_a_mapping_it_says_which_setting_is_missing(shop, run):
    """The commands go by the mapping, whatever init_app was handed."""
    for command in (("users", "list"), ("store", "init"), ("keys", "list")):
        status, said = run(*command)
        assert 2 == status
        assert 'tokenward: app.config["TOKENWARD"] is missing' in said


def test_a_hash_needs_no_configuration(run):
    """The password is on standard input."""
    status, said = run("hash-password", "--cost", "4", "--password-file", "-", stdin=b"pw")
    assert 0 == status
    assert "$04$" in said


# --- what they do -------------------------------------------------------------------------------


def test_a_missing_store_is_advised_in_flasks_words(shop, run, mapping, tmp_path):
    """The command that makes one is named as it is typed here, and nothing is made."""
    shop.config["TOKENWARD"] = mapping
    status, said = run("users", "list")
    assert 2 == status
    assert "`flask tokenward store init`" in said
    assert [] == list(tmp_path.iterdir())
    status, said = run("check")
    assert 1 == status
    assert "FAIL service.store: " in said
    assert "`flask tokenward store init`" in said


def test_store_keys_and_cleanup(store, run, mapping):
    """Made once; its keys listed without what is secret of them; cleaned up."""
    assert "nothing was changed" in run("store", "init")[1]
    status, said = run("keys", "list")
    assert (0, ["current", "next"]) == (status, [li.split("\t")[2] for li in said.splitlines()])
    repositories = open_repositories(mapping["service"]["store"], create=False)
    repositories.tokens.revoke("long ago", 1)
    repositories.close()
    assert (0, "Forgotten: 1\n") == run("store", "cleanup")


def test_keys_are_rotated_and_the_store_is_carried_elsewhere(alice, run, mapping, tmp_path):
    """As by the command line."""
    assert 1 == run("keys", "rotate")[0]
    assert run("keys", "rotate", "--force")[1].startswith("Signs now: ")
    assert (0, "Removed: 0\n") == run("keys", "prune")
    backup, moved = tmp_path / "backup.db", f"sqlite:///{tmp_path}/moved.db"
    assert 0 == run("store", "backup", str(backup))[0]
    status, said = run("store", "copy", f"sqlite:///{backup}", moved)
    assert (0, 6) == (status, said.count("equal  "))
    mapping["service"]["store"] = moved
    assert run("users", "list")[1].startswith("alice\t")


def test_check_finds_secrets_in_the_mapping(store, run, mapping):
    """Exit 0; the secret is not shown."""
    orders = {"client_id": "orders", "client_secret": SECRET}
    mapping["service"]["clients"] = [
        orders,
        {"client_id": "shop", "client_secret": SecretStr(SECRET)},
    ]
    status, said = run("check")
    assert 0 == status
    assert 'service.clients[0].client_secret: stands in app.config["TOKENWARD"]' in said
    assert "clients[1].client_secret" not in said
    assert SECRET not in said


def test_users_are_looked_after(alice, run):
    """Listed, changed, closed; a name that is taken is a refusal."""
    assert "alice\talice@example.com\teditor\t" in run("users", "list")[1]
    assert (0, "admin\n") == run("users", "roles", "alice", "--role", "admin")
    assert 0 == run("users", "deactivate", "alice")[0]
    assert 0 == run("users", "reactivate", "alice")[0]
    options = ("alice", "--email", "o@example.com", "--password-file", "-")
    status, said = run("users", "add", *options, stdin=b"another one 9")
    assert 1 == status
    assert "[user_already_exists]" in said
    status, said = run("users", "passwd", "alice", "--password-file", "-", stdin=b"seven77")
    assert 1 == status
    assert "at least 8 characters" in said


def test_a_token_is_issued_verified_and_explained(alice, run):
    """The token is on standard input and is not shown again."""
    status, token = run("token", "issue", "--user", "alice", "--lifetime", "60")
    assert 0 == status
    status, said = run("verify", "-", "--explain", stdin=token.encode())
    assert 0 == status
    assert "accepted: user " in said
    assert token.strip() not in said
    assert json.loads(run("introspect", "-", stdin=token.encode())[1])["active"]
    status, said = run("verify", "-", stdin=b"nonsense")
    assert 1 == status
    assert said.startswith("refused: ")


# --- an application that does not come up -------------------------------------------------------


APPLICATION = """
    import json, os
    from flask import Flask
    from tokenward.flask import Tokenward

    def create_app():
        app = Flask("shop")
        app.config["TOKENWARD"] = json.loads(os.environ["SHOP_TOKENWARD"])
        auth = Tokenward(app)
        app.cli.command("own")(lambda: app.extensions["tokenward"].service and print("ran"))
        return app
"""


@pytest.fixture
def flask(tmp_path):
    """Run the program `flask` on an application of its own."""
    (tmp_path / "shop_app.py").write_text(textwrap.dedent(APPLICATION), "utf-8")

    def flask(mapping, *argv, stdin=b""):
        done = subprocess.run(
            [sys.executable, "-m", "flask", "--app", "shop_app:create_app", *argv],
            input=stdin,
            capture_output=True,
            check=False,
            timeout=150,
            cwd=tmp_path,
            env={**os.environ, "SHOP_TOKENWARD": json.dumps(mapping)},
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    return flask


def test_the_store_of_an_application_is_made_by_its_own_command(flask, mapping):
    """Although the application, without a store, does not start for anything else."""
    status, _, err = flask(mapping, "routes")
    assert 0 != status
    assert "`flask tokenward store init`" in err
    assert (0, "") == flask(mapping, "tokenward", "store", "init")[::2]
    assert 0 == flask(mapping, "routes")[0]


def test_a_wrong_configuration_can_be_checked_and_nothing_else(flask, mapping):
    """Another command of the application's that needs the extension is told the reason."""
    mapping["service"]["isuer"] = "x"
    status, out, _ = flask(mapping, "tokenward", "check")
    assert 1 == status
    assert "did you mean 'issuer'" in out
    status, _, err = flask(mapping, "tokenward", "users", "list")
    assert 2 == status
    assert "flask tokenward: service" in err
    status, out, err = flask(mapping, "own")
    assert 0 != status
    assert "did you mean 'issuer'" in err
    assert "ran" not in out


def test_outside_the_program_a_wrong_configuration_stops_the_start(mapping):
    """In the words of Flask's command."""
    app = Flask("shop")
    app.config["TOKENWARD"] = mapping
    with pytest.raises(ConfigurationError, match="`flask tokenward store init`"):
        Tokenward(app)
    assert "tokenward" not in app.extensions


def test_a_command_that_starts_the_application_anew_needs_it_right(shop, mapping):
    """Within a command, as within a server, nothing is put off."""

    @shop.cli.command("other")
    def other():
        app = Flask("other")
        app.config["TOKENWARD"] = mapping
        Tokenward(app)

    result = shop.test_cli_runner().invoke(args=["other"])
    assert isinstance(result.exception, ConfigurationError)


def test_served_and_looked_after_over_one_mapping(app, mapping, tmp_path):
    """What a command changes, the running application sees at its next request."""
    app.config["TOKENWARD"] = mapping
    bare = Flask("bare")
    bare.config["TOKENWARD"] = mapping
    runner = bare.test_cli_runner()
    from tokenward.flask._commands import tokenward_command

    bare.cli.add_command(tokenward_command)
    assert 0 == runner.invoke(args=["tokenward", "store", "init"]).exit_code
    Tokenward(app)
    app.register_blueprint(auth_service_blueprint(app.extensions["tokenward"].service))
    app.get("/orders")(login_required(lambda: "orders"))
    add = ["tokenward", "users", "add", "alice", "--email", "a@example.com", "--password-file", "-"]
    assert 0 == app.test_cli_runner().invoke(args=add, input=PASSWORD).exit_code
    client = app.test_client()
    login = client.post("/login", json={"username": "alice", "password": PASSWORD}).json
    headers = {"Authorization": f"Bearer {login['access_token']}"}
    assert 200 == client.get("/orders", headers=headers).status_code
    app.test_cli_runner().invoke(args=["tokenward", "users", "deactivate", "alice"])
    assert 401 == client.get("/orders", headers=headers).status_code


def test_an_application_that_serves_all_the_same_lets_nobody_in(tmp_path):
    """A command of its own may start a server, although the configuration is wrong."""
    (tmp_path / "wrong.py").write_text(
        "import flask, tokenward.flask\n"
        "app = flask.Flask('wrong')\n"
        "app.config['TOKENWARD'] = {'default_access': 'deny', 'realms': 'misspelt'}\n"
        "tokenward.flask.Tokenward(app)\n"
        "app.get('/')(lambda: 'secret')\n"
        "@app.cli.command('ask')\n"
        "def ask():\n"
        "    print(app.test_client().get('/').status_code)\n"
    )
    command = [sys.executable, "-m", "flask", "--app", "wrong", "ask"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=150
    )
    assert "500\n" == done.stdout, done.stderr
