"""A fleet that checks signed tokens by itself: gunicorn's workers, Redis, and an auth service.

Its keys are fetched once, a rotation refuses nobody, and a logout counts everywhere at once (RULES
16, 17, 45, 47).
"""

import time
from dataclasses import replace

import jwt
import pytest
import redis as redis_client
from fleet.issuer import Issuer
from fleet.load import PATIENCE, WORKERS, Fleet, Load, gunicorn
from redis_server import RedisServer

from tokenward import _jose
from tokenward.keys import KeyRing
from tokenward.repositories import StoredKey, open_repositories
from tokenward.testing import FakeClock

JWKS = "/.well-known/jwks.json"
METADATA = "/.well-known/oauth-authorization-server"


class Keys:
    """The issuer's keys, in a store that a test changes as an administrator would."""

    def __init__(self):
        self.clock = FakeClock(int(time.time()))
        self._store = open_repositories("memory://").keys
        self.ring = KeyRing.create(self._store, clock=self.clock)

    def rotate(self):
        """Sign with the key that was published for it, publish the earlier one, and the next."""
        version, keys = self._store.load()
        key = _jose.generate_key("ES256")
        following = StoredKey(key.kid, "ES256", "next", _jose.to_pem(key), int(self.clock.now))
        after = {"next": "current", "current": "retired", "retired": "retired"}
        keys = [*(replace(key, state=after[key.state]) for key in keys), following]
        assert self._store.replace(version, keys)
        self.clock.advance(60)  # the ring reads its store once a minute


@pytest.fixture
def redis(tmp_path):
    with RedisServer(tmp_path) as redis:
        yield redis


@pytest.fixture
def keys():
    return Keys()


@pytest.fixture
def issuer(redis, keys):
    with Issuer(redis.url, keys=keys.ring) as issuer:
        yield issuer


def wait_for_listeners(redis, count):
    """Wait until so many processes hear of revocations."""
    with redis_client.Redis.from_url(redis.url) as client:
        deadline = time.monotonic() + PATIENCE
        while len(client.client_list(_type="pubsub")) < count:
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.mark.parametrize("options", [["--preload"], []], ids=["preloaded", "loaded"])
def test_a_fleet_checks_signed_tokens(options, tmp_path, keys, redis, issuer):
    """Nobody is refused but whoever logged out, and the issuer is asked for next to nothing."""
    fetches = 1 if options else WORKERS
    signed_in = [issuer.sign_in(f"user{number}") for number in range(12)]

    def sign_in(number):
        """Sign somebody in while the workers are busy; return the name of the token's key."""
        token, subject = issuer.sign_in(f"user{number}")
        signed_in.append((token, subject))
        fleet.tokens.append(token)
        return jwt.get_unverified_header(token)["kid"]

    environment = {"FLEET_ISSUER": issuer.url, "FLEET_REDIS": redis.url}
    app, token = "fleet.signed:make_app()", signed_in[0][0]
    with gunicorn(tmp_path, app, token, *options, **environment) as address:
        fleet = Fleet(address, [token for token, _ in signed_in])
        fleet.wait_for_all()
        with Load(fleet) as load:
            load.wait_for(300)
            assert (fetches, fetches) == (issuer.asked[JWKS], issuer.asked[METADATA])

            # The key that was published ahead: no worker has to ask.
            kid = sign_in(12)
            keys.rotate()
            assert kid != sign_in(13)
            load.wait_for(300)
            assert fetches == issuer.asked[JWKS]

            # One that came after the keys were fetched: each worker asks once.
            keys.rotate()
            kids = [sign_in(number) for number in (14, 15, 16, 17)]
            assert (1, False) == (len(set(kids)), kid in kids)
            load.wait_until(lambda: issuer.asked[JWKS] >= fetches + WORKERS)
            load.wait_for(600)
            assert fetches + WORKERS == issuer.asked[JWKS]

            # Whoever warms up listens: before the fork, the parent does as well.
            wait_for_listeners(redis, WORKERS + len(options))
            began = time.monotonic()
            issuer.log_out(fleet.tokens[3])
            fleet.wait_until_all_say(401, 3)
            ended = time.monotonic()
            load.wait_for(300)

    assert [] == load.errors
    assert [] == load.lost
    subjects = [subject for _, subject in signed_in]
    for answer in load.answers:
        if answer.token == 3 and answer.status == 401:
            assert answer.ended > began
            assert "invalid_token" in answer.body
        else:
            assert (200, subjects[answer.token]) == (answer.status, answer.body)
            assert answer.token != 3 or answer.began < ended
    assert fetches + WORKERS == issuer.asked[JWKS]
    assert fetches == issuer.asked[METADATA]
    assert 0 == issuer.asked["/introspect"]
