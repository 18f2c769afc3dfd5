"""`doctor` and the shared cache: against a real Redis, one that cannot be used, and none."""

import threading
import time

import pytest
from benchmarks.ports import free_port
from redis import Redis
from redis_server import RedisServer

from tokenward.cli import main
from tokenward.commands.doctor import shared_cache
from tokenward.commands.doctor.shared_cache import _kept, of_round_trip
from tokenward.redis_cache import RedisRevocationBus
from tokenward.shared_cache import Revocations

SECRET = "9f8a-77e1-quartz-lantern"
OLDER = "another-9f8a-77e1-quartz"
PASSWORD = "amber-9f8a-lantern"
PATIENCE = 90
CONFIG = """
[shared_cache]
url = {url}
secrets = [{secrets}]
timeout = 60
"""


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def _unhurried(monkeypatch):
    """Have no round trip be slow, whatever else this machine does."""
    monkeypatch.setattr(shared_cache, "SLOW", float(PATIENCE))


@pytest.fixture
def doctor(tmp_path, capsys, _unhurried):
    """Examine a shared cache; return the exit status and what was said of it, by its level."""

    def doctor(url, *, secrets=f'"{SECRET}"'):
        path = tmp_path / "tokenward.toml"
        written = url if url.startswith("{") else f'"{url}"'
        path.write_text(CONFIG.format(url=written, secrets=secrets), "utf-8")
        path.chmod(0o600)
        status = main(["doctor", "--config", str(path)])
        said = capsys.readouterr()
        assert PASSWORD not in said.out + said.err
        assert SECRET not in said.out + said.err
        lines = said.out.splitlines()
        return status, [line for line in lines if "shared_cache" in line]

    return doctor


def levels(lines):
    return [(line[:4].strip(), line[5:].partition(": ")[0]) for line in lines]


SOUND = [
    ("warn", "shared_cache.secrets[0]"),
    ("ok", "shared_cache.url"),
    ("ok", "shared_cache (broadcast)"),
]


def test_a_sound_redis_is_ok(doctor, redis):
    """It keeps what is put in, and messages come back; how long a round trip takes is said."""
    status, lines = doctor(redis.url)
    assert (0, SOUND) == (status, levels(lines))
    assert "a round trip takes " in lines[1]


def test_nothing_is_left_behind(doctor, redis):
    """What was put in is taken out again."""
    doctor(redis.url)
    assert [] == Redis.from_url(redis.url).keys("*")


def test_nobody_acts_upon_the_message(doctor, redis):
    """It opens for everybody who has the secrets, so that nobody warns, and names no token."""
    bus = RedisRevocationBus(redis.url, secrets=[SECRET], timeout=60)
    heard, subscribed, came = [], threading.Event(), threading.Event()
    revocations = Revocations(None, bus, clock=time.time)
    end = revocations.subscribe(lambda d: (heard.append(d), came.set()), missed=subscribed.set)
    try:
        assert subscribed.wait(PATIENCE)
        doctor(redis.url)
        assert came.wait(PATIENCE)
    finally:
        end()
        bus.close()
    assert [32] == [len(digest) for digest in heard]


@pytest.mark.parametrize(
    ("seconds", "level", "text"),
    [
        (0.0004, "ok", "takes 0.4 ms"),
        (0.0301, "warn", "takes 30.1 ms, for every token that is new"),
    ],
)
def test_a_slow_redis_is_a_warning(seconds, level, text):
    """Whoever presents a token first waits for it."""
    finding = of_round_trip(seconds)
    assert (level, "shared_cache.url") == (finding.level, finding.setting)
    assert text in finding.text


class Forgetful:
    """A shared cache that takes everything and gives nothing back."""

    secrets = (SECRET,)

    def set(self, key, value, /, *, ttl):
        pass

    def get(self, key, /):
        return None

    def delete(self, key, /):
        pass


def test_a_redis_that_forgets_is_a_failure():
    """Such as a replica that lags, or a proxy before several."""
    (finding,) = _kept(Forgetful())
    assert ("FAIL", "shared_cache.url", False) == (finding.level, finding.setting, finding.outage)
    assert "does not give back what was put in" in finding.text


def test_several_secrets_are_a_rotation(doctor, redis):
    """How many, and when the older can go."""
    status, lines = doctor(redis.url, secrets=f'"{SECRET}", "{OLDER}"')
    assert 0 == status
    assert (
        "ok   shared_cache.secrets: 2; the older can go once every process has the newest" in lines
    )


def test_a_redis_that_is_down_is_an_outage(doctor):
    """Exit 3: it may come back, and every process goes on without it until then."""
    status, lines = doctor(f"redis://127.0.0.1:{free_port()}")
    assert (3, [("FAIL", "shared_cache.url")]) == (status, levels(lines)[1:])
    assert "each process asks the authorization server by itself" in lines[1]


def test_a_wrong_password_is_a_failure(doctor, tmp_path):
    """Exit 1: somebody has to change it; neither the right one nor the wrong one is shown."""
    with RedisServer(tmp_path, password=f"{PASSWORD}-right") as server:
        status, lines = doctor(server.url.replace(f"{PASSWORD}-right", PASSWORD))
        assert 1 == status
        assert "check the user name and the password" in lines[-1]
        assert (0, "ok") == (doctor(server.url)[0], levels(doctor(server.url)[1])[-1][0])


def test_a_password_may_come_from_elsewhere(doctor, tmp_path, monkeypatch):
    """Then the URL is no secret that stands in the file."""
    with RedisServer(tmp_path, password=PASSWORD) as server:
        monkeypatch.setenv("CACHE_URL", server.url)
        written = [line for line in doctor(server.url)[1] if line.startswith("warn")]
        kept = [line for line in doctor('{ env = "CACHE_URL" }')[1] if line.startswith("warn")]
    assert ["shared_cache.url", "shared_cache.secrets[0]"] == [s for _, s in levels(written)]
    assert ["shared_cache.secrets[0]"] == [s for _, s in levels(kept)]


def test_a_replica_takes_no_writes(doctor, tmp_path):
    """Exit 1, and the primary is to be named."""
    with RedisServer(tmp_path, "--replicaof", "127.0.0.1", str(free_port())) as server:
        status, lines = doctor(server.url)
    assert (1, ("FAIL", "shared_cache.url")) == (status, levels(lines)[-1])
    assert "it is a replica; name the primary" in lines[-1]


@pytest.mark.parametrize(
    ("policy", "advice"),
    [
        ("noeviction", "when it is full it takes no new answers; set it to volatile-ttl"),
        ("allkeys-lru", "it may drop what says that a token is revoked; set it to volatile-ttl"),
        ("volatile-ttl", None),
    ],
)
def test_what_becomes_of_a_full_redis(doctor, tmp_path, policy, advice):
    """Only where there is a limit, and the policy can be read."""
    options = ("--maxmemory", "100mb", "--maxmemory-policy", policy)
    with RedisServer(tmp_path, *options) as server:
        status, lines = doctor(server.url)
    found = [line for line in lines if "maxmemory-policy" in line]
    assert 0 == status
    assert ([] if advice is None else [advice]) == [
        line.partition(": ")[2].partition(": ")[2] for line in found
    ]


@pytest.fixture
def others(redis):
    """Have others revoke tokens all the time."""
    bus = RedisRevocationBus(redis.url, secrets=[SECRET], timeout=60)
    revocations = Revocations(None, bus, clock=time.time)
    over = threading.Event()

    def revoke():
        while not over.wait(0.05):
            revocations.publish(b"\0" * 32)

    thread = threading.Thread(target=revoke)
    thread.start()
    yield
    over.set()
    thread.join()
    bus.close()


@pytest.mark.parametrize("forbidden", ["-subscribe", "-publish"])
def test_a_user_who_may_not_take_part_is_a_failure(doctor, redis, others, forbidden):
    """Revocations would go unnoticed; what others send is no sign of life of our own."""
    admin = Redis.from_url(redis.url)
    admin.acl_setuser(
        "cache",
        enabled=True,
        passwords=[f"+{PASSWORD}"],
        categories=["+@all"],
        commands=[forbidden, "-config"],
        keys=["tokenward:*"],
        channels=["tokenward:revocations"],
    )
    try:
        url = redis.url.replace("redis://", f"redis://cache:{PASSWORD}@")
        status, lines = doctor(url)
    finally:
        admin.acl_deluser("cache")
        admin.close()
    assert (1, ("FAIL", "shared_cache (broadcast)")) == (status, levels(lines)[-1])
    assert "PUBLISH and SUBSCRIBE on the channel tokenward:revocations" in lines[-1]
    assert lines[-1].endswith("if it is slow, raise shared_cache.timeout (60 s)")


def test_a_password_in_the_clear_is_worth_a_word(doctor):
    """Beyond this machine it is read along the way."""
    status, lines = doctor(f"redis://:{PASSWORD}@no-such-host.invalid:1/0")
    assert 3 == status
    assert any("travels in the clear; write rediss://" in line for line in lines)
