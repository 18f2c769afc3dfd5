"""A fleet under load: gunicorn with worker processes and threads, Redis, and an auth service.

The fleet answers thousands of requests while tokens are revoked, Redis is killed and comes back,
and a worker is killed and replaced (RULES 25, 45, 47, 48).
"""

import os
import signal
import subprocess
import sys
import time

import pytest
from fleet.issuer import CLIENT_SECRET, Issuer
from fleet.load import CALLERS, PATIENCE, SUPPORT, WORKERS, Fleet, Load, gunicorn
from redis_server import RedisServer

REQUESTS = 10_000
TOKENS = 50


@pytest.fixture
def redis(tmp_path):
    with RedisServer(tmp_path) as redis:
        yield redis


@pytest.fixture
def issuer(redis):
    with Issuer(redis.url) as issuer:
        yield issuer


def invalidate_elsewhere(issuer, redis, token):
    """Have another process forget a token."""
    program = (
        "import sys; from fleet.guarded import make_verifier;"
        "verifier = make_verifier(*sys.argv[1:]); verifier.invalidate(input()); verifier.close()"
    )
    subprocess.run(
        [sys.executable, "-c", program, f"{issuer.url}/introspect", redis.url, CLIENT_SECRET],
        env={**os.environ, "PYTHONPATH": str(SUPPORT)},
        input=token.encode(),
        check=True,
        timeout=PATIENCE,
    )


def revoke_and_see(fleet, revoked, number, revoke):
    """Revoke a token, and wait until every worker refuses it, though it was to be kept for long."""
    began = time.monotonic()
    revoke(fleet.tokens[number])
    fleet.wait_until_all_say(401, number)
    revoked[number] = (began, time.monotonic())


def assert_right(answers, subjects, revoked):
    """Assert of each answer that it is the right one for its token at its time."""
    never = (float("inf"), float("inf"))
    for answer in answers:
        since, until = revoked.get(answer.token, never)
        if answer.status == 200:
            assert answer.began < until
            assert subjects[answer.token] == answer.body
        else:
            assert 401 == answer.status
            assert answer.ended > since
            assert "invalid_token" in answer.body


@pytest.mark.parametrize("options", [["--preload"], []], ids=["preloaded", "loaded"])
def test_a_fleet_stays_fast_and_right(options, tmp_path, issuer, redis):
    """No wrong answer, no outage and few questions, whatever is revoked, killed or restarted."""
    signed_in = [issuer.sign_in(f"user{number}") for number in range(TOKENS)]
    tokens, subjects = [token for token, _ in signed_in], [subject for _, subject in signed_in]
    revoked = {}
    environment = {
        "FLEET_ENDPOINT": f"{issuer.url}/introspect",
        "FLEET_REDIS": redis.url,
        "FLEET_SECRET": CLIENT_SECRET,
        "FLEET_TOKEN": tokens[0],
    }
    app = "fleet.guarded:make_app()"
    with gunicorn(tmp_path, app, tokens[0], *options, **environment) as address:
        fleet = Fleet(address, tokens)
        for number in range(TOKENS):
            assert subjects[number] == fleet.ask(number).body
        first = fleet.wait_for_all()
        # One for all, but for what workers that begin at once begin with.
        asked = issuer.asked["/introspect"]
        assert TOKENS <= asked <= TOKENS + (0 if options else WORKERS - 1)

        with Load(fleet) as load:
            load.wait_for(2_000)
            assert asked == issuer.asked["/introspect"]  # one for all workers and threads

            revoke_and_see(fleet, revoked, 1, issuer.log_out)
            load.wait_for(500)
            assert asked + WORKERS == issuer.asked["/introspect"]

            issuer.quiet.logout_user(tokens[2])
            load.wait_for(500)
            assert {200} == {fleet.ask(2).status for _ in range(10)}  # nobody was told
            revoke_and_see(fleet, revoked, 2, lambda t: invalidate_elsewhere(issuer, redis, t))
            load.wait_for(500)
            assert asked + 2 * WORKERS == issuer.asked["/introspect"]

            redis.kill()
            load.wait_for(1_000)
            logged_out = time.monotonic()
            issuer.log_out(tokens[3])  # nobody can be told
            load.wait_for(500)
            redis.start()
            fleet.wait_until_all_say(401, 3)  # but all ask again when it is back
            revoked[3] = (logged_out, time.monotonic())
            load.wait_for(1_000)
            revoke_and_see(fleet, revoked, 4, issuer.log_out)

            killed = min(first)
            os.kill(killed, signal.SIGKILL)
            fleet.wait_for_a_new_worker(first)
            revoke_and_see(fleet, revoked, 5, issuer.log_out)
            load.wait_for(max(1_000, REQUESTS - len(load.answers)))

    assert not load.errors
    assert REQUESTS <= len(load.answers)
    assert_right(load.answers, subjects, revoked)
    # Whoever was being answered by the worker that was killed was answered by nobody.
    assert len(load.lost) <= CALLERS
    assert set(load.lost) <= {killed, None}
    # Each worker asks about each token when Redis goes, and may do so when it is back.
    bound = asked + 2 * WORKERS + 2 * WORKERS * TOKENS + 2 * WORKERS + len(revoked)
    assert issuer.asked["/introspect"] <= bound
