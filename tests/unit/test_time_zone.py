"""Epoch seconds end to end: the suites that tell the time, far away from UTC (RULES 52)."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from unmeasured import unmeasured

from tokenward.config import Settings, build_service
from tokenward.keys import KeyRing
from tokenward.schemas import LoginRequest, RegisterRequest
from tokenward.testing import FakeClock
from tokenward.tokens import create_access_token, get_jwt_payload

ROOT = Path(__file__).parents[2]
NOW = 1_700_000_000  # 2023-11-14T22:13:20Z, and the 15th where these tests are
FAR_FROM_UTC = "FAR-13:45"

TELL_THE_TIME = [
    "tests/unit/test_claims.py",
    "tests/unit/keys/test_key_ring.py",
    "tests/unit/keys/test_rotation.py",
    "tests/unit/service",
    "tests/unit/test_tokens.py",
    "tests/contract/test_token_repository.py",
    "tests/rfc/test_rfc7519.py",
]

NO_CACHE = ("-p", "no:cacheprovider")


@pytest.fixture(autouse=True)
def _far(far_from_utc):
    """Run each test of this module far from UTC."""


def test_this_is_another_day():
    """The zone is in force: a naive date made of these seconds is another one."""
    assert 15 == datetime.fromtimestamp(NOW).day  # noqa: DTZ006 - the mistake that is looked for
    assert 14 == datetime.fromtimestamp(NOW, UTC).day


def test_claims_are_epoch_seconds():
    """What a token says of the time is what the clock said, in whole seconds."""
    keys = KeyRing.generate()
    clock = FakeClock(NOW + 0.9)
    token = create_access_token({"sub": "u1"}, keys=keys, clock=clock)
    payload = get_jwt_payload(token, keys=keys, clock=clock)

    assert (NOW, NOW + 900) == (payload.iat, payload.exp)
    assert (int, int) == (type(payload.iat), type(payload.exp))


@pytest.mark.parametrize("store", ["memory://", "sqlite:///{}/tokenward.db"])
def test_users_carry_utc(tmp_path, store):
    """Rows hold aware times, and a login's token begins now, not hours ago."""
    from tokenward.config.build import initialize_store

    section = {
        "issuer": "https://auth.example",
        "audience": "orders",
        "store": store.format(tmp_path),
        "registration": "open",
        "password": {"bcrypt_cost": 4},
    }
    settings = Settings.model_validate({"service": section})
    if not store.startswith("memory"):
        initialize_store(settings)
    service = build_service(settings)
    before = datetime.now(UTC)
    service.register_user(
        RegisterRequest(username="ada", email="ada@example.org", password="orchid-7")
    )
    login = service.login_user(LoginRequest(username="ada", password="orchid-7"))
    row = service.users.get_by_username("ada")
    said = service.introspect_token(login.access_token)

    assert row.created_at.tzinfo is not None
    assert 0 == row.created_at.utcoffset().total_seconds()
    assert -1 <= (row.created_at - before).total_seconds() < 60
    assert 0 <= said.iat - int(before.timestamp()) < 60
    assert 900 == said.exp - said.iat == login.expires_in


@pytest.mark.timeout(600)
def test_the_suites_that_tell_the_time():
    """They pass far from UTC as well, in a process that was started there."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "not peer", *NO_CACHE, *TELL_THE_TIME],
        cwd=ROOT,
        env=unmeasured() | {"TZ": FAR_FROM_UTC},
        capture_output=True,
        text=True,
        check=False,
        timeout=570,
    )

    assert 0 == done.returncode, done.stdout[-5_000:] + done.stderr
