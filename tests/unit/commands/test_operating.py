"""What an operator types: keys rotated, stores backed up and cleaned, people changed."""

import json
import re
import socket
import sqlite3
import subprocess
import sys
import time

import pytest
from filled_stores import FAR, everything, put, records

from tokenward import _jose
from tokenward.config import Settings
from tokenward.config.build import open_store, service_on
from tokenward.errors import InvalidGrant
from tokenward.schemas import LoginRequest

SECRET = "9f8a-77e1-quartz-lantern"
PASSWORD = "correct horse battery"
CONFIG = """
[service]
issuer = "https://auth.example"
audience = "orders"
store = "sqlite:///{folder}/store.db"
trusted_proxies = "10.0.0.1"
{more}
password = {{ bcrypt_cost = 4 }}
keys = {{ secrets = [{{ file = "{folder}/keys.secret" }}], rotate_every = 86_400 }}

[[service.clients]]
client_id = "orders"
client_secret = {{ file = "{folder}/keys.secret" }}
"""


@pytest.fixture
def written(tmp_path):
    """Write the configuration, with more in it; return its path."""
    (tmp_path / "keys.secret").write_text(SECRET)
    (tmp_path / "keys.secret").chmod(0o600)

    def written(more=""):
        path = tmp_path / "tokenward.toml"
        path.write_text(CONFIG.format(folder=tmp_path, more=more))
        path.chmod(0o600)
        return path

    return written


@pytest.fixture
def config(written, run):
    """The configuration of a store that was made, with alice in it."""
    path = written()
    assert 0 == run("store", "init", "--config", path)[0]
    options = ("--email", "alice@example.com", "--password-file", "-", "--config", path)
    assert 0 == run("users", "add", "alice", *options, stdin=PASSWORD)[0]
    return path


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture
def service(config):
    """The service on that store."""
    settings = Settings.from_file(config)
    repositories = open_store(settings.service, create=False)
    yield service_on(repositories, settings)
    repositories.close()


def kids(run, config, state):
    _, out, _ = run("keys", "list", "--config", config)
    rows = [line.split("\t") for line in out.splitlines()]
    return [row[0] for row in rows if row[2] == state]


def age_keys(url, seconds):
    """Have every key in a store be so much older."""
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    connection.execute("UPDATE signing_keys SET created_at = created_at - ?", (seconds,))
    connection.commit()
    connection.close()


# --- keys


class TestKeys:
    def test_rotate_has_the_next_key_sign(self, run, config, url):
        """Once it was published for as long as a key set is kept."""
        age_keys(url, 3_600)
        current, following = kids(run, config, "current"), kids(run, config, "next")
        status, out, err = run("keys", "rotate", "--config", config)
        assert (0, "") == (status, err)
        assert f"Signs now: {following[0]}\n" == out
        assert following == kids(run, config, "current")
        assert current == kids(run, config, "retired")
        assert 1 == len(kids(run, config, "next"))

    def test_rotate_refuses_a_key_that_nobody_knows_yet(self, run, config):
        """Exit 1; by force it is done."""
        before = kids(run, config, "current")
        status, out, err = run("keys", "rotate", "--config", config)
        assert (1, "") == (status, out)
        assert 1 == len(err.splitlines())
        assert before == kids(run, config, "current")
        assert 0 == run("keys", "rotate", "--force", "--config", config)[0]
        assert before == kids(run, config, "retired")

    def test_a_compromised_key_is_published_no_more(self, run, config):
        """Gone from the store at once."""
        before = kids(run, config, "current")
        assert 0 == run("keys", "rotate", "--compromised", "--config", config)[0]
        everywhere = [key.kid for key in everything(f"sqlite:///{config.parent}/store.db")[1]]
        assert before[0] not in everywhere

    def test_force_and_compromised_are_two_things(self, run, config):
        """Exit 2."""
        assert 2 == run("keys", "rotate", "--force", "--compromised", "--config", config)[0]

    def test_prune_says_how_many_went(self, run, config, url):
        """Retired ones whose last token has expired."""
        assert 0 == run("keys", "rotate", "--force", "--config", config)[0]
        assert (0, "Removed: 0\n", "") == run("keys", "prune", "--config", config)
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        connection.execute("UPDATE signing_keys SET published_until = 5 WHERE state = 'retired'")
        connection.commit()
        connection.close()
        assert (0, "Removed: 1\n", "") == run("keys", "prune", "--config", config)
        assert [] == kids(run, config, "retired")


# --- the store


class TestStore:
    def test_backup_is_a_store(self, run, config, url, tmp_path):
        """With everything, for its owner only."""
        put(url, "revocations", records(3)["revocations"])
        copy = tmp_path / "backup.db"
        status, out, err = run("store", "backup", copy, "--config", config)
        assert (0, "") == (status, err)
        assert str(copy) in out
        assert 0o600 == copy.stat().st_mode & 0o777
        assert everything(url) == everything(f"sqlite:///{copy}")

    def test_backup_writes_over_nothing(self, run, config, tmp_path):
        """Exit 2; what is there stays."""
        (tmp_path / "backup.db").write_text("dear diary")
        status, out, err = run("store", "backup", tmp_path / "backup.db", "--config", config)
        assert (2, "") == (status, out)
        assert "backup.db" in err
        assert "dear diary" == (tmp_path / "backup.db").read_text()

    def test_cleanup_forgets_whatever_has_expired(self, run, config, url, service):
        """Sessions, revocations, one-time tokens, what was used once, and counters."""
        some = records(2)
        for kind in ("families", "revocations", "one_time_tokens", "used_once"):
            put(url, kind, [{**some[kind][0], "expires_at": 5}, some[kind][1]])
        counters = open_store(Settings.from_file(config).service, create=False).counters
        counters.add(["old"], 1, now=1, expires_at=5)
        counters.add(["new"], 1, now=1, expires_at=FAR)
        status, out, _ = run("store", "cleanup", "--config", config)
        assert (0, "Forgotten: 5\n") == (status, out)
        assert (0, "Forgotten: 0\n") == run("store", "cleanup", "--config", config)[:2]
        left = everything(url)[0]
        assert some["families"][1:] == left["families"]
        assert [(1, FAR)] == counters.read(["new"], now=time.time())

    @pytest.mark.parametrize(
        "secret", ["mongodb://u:hunter2@db/x", "hunter2 ", "sqlite:///hunter2"]
    )
    def test_a_url_behind_env_is_not_repeated(self, run, url, secret):
        """It is no name of a variable, and may hold a password (RULES 44)."""
        status, out, err = run("store", "copy", f"env:{secret}", url)
        assert (2, "") == (status, out)
        assert "FROM: behind env: stands the name" in err
        assert "hunter2" not in err


class TestKeysInADatabase:
    """Keys that a MongoDB keeps as they are; the doctor says so too."""

    @pytest.fixture
    def in_mongo(self, written, mongo):
        """Return a function that writes the configuration of a new store there, with some keys."""

        def in_mongo(keys):
            path = written("throttle = false")
            text = re.sub(r"keys = .*\n", f"{keys}\n", path.read_text())
            path.write_text(re.sub(r'store = ".*"', f'store = "{mongo.new_url()}"', text))
            return path

        return in_mongo

    def program(self, *arguments):
        command = [sys.executable, "-m", "tokenward", *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def test_unsealed_ones_are_warned_of(self, in_mongo):
        """By the command that makes them, again and again, and by the one that serves."""
        path = in_mongo("")
        for made in ("Made the store", "The store and its keys are there already"):
            with self.program("store", "init", "--config", path) as program:
                out, err = program.communicate(timeout=150)
            assert (0, True) == (program.returncode, out.startswith(made))
            assert "the signing keys are in the database unsealed" in err
        options = ("--bind", "127.0.0.1:0", "--config", path)
        with self.program("serve", *options) as program:
            try:
                assert program.stdout.readline().startswith("Serving https://auth.example at ")
            finally:
                program.terminate()
                _, err = program.communicate(timeout=150)
        assert "warning: service.keys: the signing keys are in the database unsealed" in err

    @pytest.mark.parametrize(
        "keys",
        [
            'keys = { secrets = [{ file = "FOLDER/keys.secret" }] }',
            'keys = { files = { current = "FOLDER/current.pem" } }',
        ],
        ids=["sealed", "files"],
    )
    def test_others_are_not(self, in_mongo, keys, run, caplog, tmp_path):
        """Sealed, or not there at all."""
        pem = tmp_path / "current.pem"
        pem.write_bytes(_jose.to_pem(_jose.generate_key("ES256")))
        pem.chmod(0o600)
        path = in_mongo(keys.replace("FOLDER", str(tmp_path)))
        assert (0, "") == run("store", "init", "--config", path)[::2]
        assert [] == [record for record in caplog.records if record.name == "tokenward.keys"]

    def test_those_in_a_file_of_their_owner_are_not(self, written, run, caplog):
        """SQLite's."""
        path = written()
        path.write_text(re.sub(r"keys = .*\n", "", path.read_text()))
        assert 0 == run("store", "init", "--config", path)[0]
        assert [] == [record for record in caplog.records if record.name == "tokenward.keys"]


# --- people


class TestUsers:
    def log_in(self, service):
        return service.login_user(LoginRequest(username="alice", password=PASSWORD))

    @pytest.mark.parametrize(
        "change",
        [
            ["deactivate", "alice"],
            ["roles", "alice", "--role", "admin"],
            ["passwd", "alice", "--password-file", "-"],
        ],
        ids=lambda change: change[0],
    )
    def test_changes_end_sessions(self, run, config, service, change):
        """A refresh token from before is refused."""
        login = self.log_in(service)
        assert 0 == run("users", *change, "--config", config, stdin="quartz lantern 9")[0]
        with pytest.raises(InvalidGrant):
            service.refresh(login.refresh_token)

    def test_the_first_administrator_is_added_again_and_again(self, run, config, tmp_path):
        """With another password in the file, even one that is refused now: nothing changes."""
        (tmp_path / "first").write_text("quartz lantern 9\n")
        (tmp_path / "weak").write_text("123456\n")
        add = ("users", "add", "root", "--email", "root@example.org", "--role", "admin")
        first = run(*add, "--if-missing", "--password-file", tmp_path / "first", "--config", config)
        assert (0, "") == (first[0], first[2])
        assert first[1].startswith("Added root (")
        again = run(*add, "--if-missing", "--password-file", tmp_path / "weak", "--config", config)
        assert (0, "") == (again[0], again[2])
        assert again[1].startswith("There is already root (")
        assert (0, "admin\n", "") == run("users", "roles", "root", "--config", config)

    def test_a_common_password_is_refused(self, run, config):
        """Exit 1, with the field."""
        options = ("--email", "bob@example.com", "--password-file", "-", "--config", config)
        status, _, err = run("users", "add", "bob", *options, stdin="password1")
        assert 1 == status
        assert err.startswith("tokenward: password: ")

    def test_the_program_says_what_it_has_changed(self, config):
        """As a line of the audit trail on standard error, for whoever keeps that."""
        command = [sys.executable, "-m", "tokenward", "users", "roles", "alice", "--role", "admin"]
        done = subprocess.run(
            [*command, "--config", config], capture_output=True, text=True, check=True, timeout=150
        )
        (line,) = re.findall(r"tokenward\.audit: (.*)", done.stderr)
        assert ("role_changed", "alice") == tuple(
            json.loads(line)[name] for name in ("event", "username")
        )
        assert "admin\n" == done.stdout


# --- the doctor


class TestDoctor:
    def found(self, run, config):
        status, out, err = run("doctor", "--config", config)
        assert "" == err
        said = {}
        for line in out.splitlines():
            setting, _, text = line[5:].partition(": ")
            said[setting] = (line[:4].strip(), text)
        return status, said

    def test_a_sound_service_has_nothing_to_be_warned_of(self, run, config):
        """A line each for its store, keys and throttle."""
        status, said = self.found(run, config)
        assert 0 == status
        # Cheap hashes are the test's.
        assert {"service.password.bcrypt_cost"} == {
            setting for setting, (level, _) in said.items() if level != "ok"
        }
        assert {"service.store", "service.keys", "service.throttle.storage"} <= said.keys()

    @pytest.mark.parametrize(
        ("more", "setting", "level", "text"),
        [
            ("throttle = false", "service.throttle", "warn", "as fast as they are hashed"),
            (
                'throttle = { storage = "memory" }',
                "service.throttle.storage",
                "ok",
                "each process counts by itself",
            ),
            (
                "access_token_lifetime = 86_400",
                "service.access_token_lifetime",
                "warn",
                "write 900",
            ),
            ('registration = "open"', "service.deliver", "warn", "(purpose, user, token)"),
        ],
    )
    def test_what_could_be_better(self, run, written, config, more, setting, level, text):  # noqa: PLR0917
        """By the path of the setting, with what to write."""
        status, said = self.found(run, written(more))
        assert 0 == status
        assert level == said[setting][0]
        assert text in said[setting][1]

    @pytest.mark.parametrize(
        ("proxies", "status", "level"),
        [('["0.0.0.0/0"]', 1, "FAIL"), ('["10.0.0.1", "::/0"]', 1, "FAIL"), ("[]", 0, "warn")],
    )
    def test_proxies_that_are_nobody_or_everybody(self, run, config, proxies, status, level):
        """Everybody could say whose address it is; or every address is the proxy's."""
        config.write_text(config.read_text().replace('"10.0.0.1"', proxies))
        found, said = self.found(run, config)
        assert status == found
        assert level == said["service.trusted_proxies"][0]

    @pytest.mark.parametrize(
        ("client", "setting"),
        [
            ('scopes = "a"', "service.clients[0].scopes"),
            (
                'token_audiences = "a"\ngrants = "refresh_token"',
                "service.clients[0].token_audiences",
            ),
        ],
    )
    def test_clients_that_are_granted_what_they_cannot_ask_for(self, run, config, client, setting):
        """Whoever may not ask for tokens has no use for their scopes."""
        config.write_text(f"{config.read_text()}{client}\n")
        status, said = self.found(run, config)
        assert 0 == status
        assert "client_credentials" in said[setting][1]

    def test_a_client_that_may_refresh_what_it_never_gets(self, run, written, config):
        """No refresh token is handed out."""
        path = written("refresh_token_lifetime = 0")
        path.write_text(f'{path.read_text()}grants = "refresh_token"\n')
        status, said = self.found(run, path)
        assert 0 == status
        assert "refresh_token_lifetime is 0" in said["service.clients[0].grants"][1]

    def test_a_missing_next_key_fails(self, run, config, url):
        """With the command that makes one, and has it published before it signs."""
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        connection.execute("DELETE FROM signing_keys WHERE state = 'next'")
        connection.commit()
        connection.close()
        status, out, _ = run("doctor", "--config", config)
        assert 1 == status
        assert "FAIL service.keys: no next key" in out
        assert "`tokenward keys prune`" in out
        assert 0 == run("keys", "prune", "--config", config)[0]
        assert 0 == run("doctor", "--config", config)[0]

    @pytest.mark.parametrize(("late", "said"), [(1.0, False), (1.9, True)])
    def test_a_rotation_that_is_overdue_is_said(self, late, said, config, url):
        """A day and more after it should have been made."""
        from tokenward.commands.doctor.store import of_rotation

        section = Settings.from_file(config).service
        keys = everything(url)[1]
        made = max(key.created_at for key in keys)
        found = list(of_rotation(section, keys, now=made + late * 86_400))
        assert said == bool(found)
        assert all("0.9 days late" in finding.text for finding in found)

    def test_a_redis_that_does_not_count_is_an_outage(self, run, written, config):
        """Exit 3; its password is not shown."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            storage = f"redis://:{SECRET}@127.0.0.1:{taken.getsockname()[1]}/0"
            path = written(f'throttle = {{ storage = "{storage}" }}')
            status, out, _ = run("doctor", "--config", path)
        assert 3 == status
        assert "FAIL service.throttle.storage: the Redis does not count" in out
        assert SECRET not in out
        assert "warn service.throttle.storage: stands in" in out

    def test_unsealed_keys_are_the_owners_only(self, run, config, url):
        """In a file that others cannot read; which is no warning."""
        text = config.read_text()
        config.write_text(re.sub(r"keys = .*\n", "", text))
        (config.parent / "store.db").unlink()
        assert 0 == run("store", "init", "--config", config)[0]
        _, said = self.found(run, config)
        assert "unsealed, in a file for its owner only" in said["service.keys"][1]
