"""What the throttle is told, and when (RULES 40)."""

import bcrypt
import pytest
from auth_services import (
    OTHER_PASSWORD,
    PASSWORD,
    SECRET,
    START,
    Stumbling,
    audit_lines,
    audited,
    log_in,
    login,
    registration,
    unknown_token,
)

from tokenward.clients import Client
from tokenward.errors import (
    InvalidCredentials,
    InvalidRequest,
    TooManyAttempts,
    UserAlreadyExists,
)
from tokenward.repositories import open_repositories
from tokenward.throttle import LoginThrottle

PEER = "192.0.2.7"
SHOP = Client("shop", SECRET)


@pytest.fixture
def service(make, throttle, post):
    service = make(throttle=throttle, deliver=post, clients=[SHOP])
    service.create_user("alice", email="alice@example.com", password=PASSWORD)
    return service


def attempts(service, token):
    """Return each attempt that is counted: how it is made, and what the throttle is told."""
    return {
        "login": (
            lambda: log_in(service, "Alice", peer=PEER),
            ("login", "Alice", PEER, False),
        ),
        "vouched": (
            lambda: log_in(service, "alice", client=SHOP, peer=PEER),
            ("login", "alice", PEER, True),
        ),
        "register": (
            lambda: service.register_user(registration(), peer=PEER),
            ("register", "bob", PEER, False),
        ),
        "password": (
            lambda: service.change_password(token, PASSWORD, OTHER_PASSWORD, peer=PEER),
            ("password", "alice", PEER, False),
        ),
        "forgot": (
            lambda: service.forgot_password("alice@example.com", peer=PEER),
            ("forgot", "alice@example.com", PEER, False),
        ),
        "reset": (
            lambda: service.reset_password(unknown_token(), OTHER_PASSWORD, peer=PEER),
            ("one_time", None, PEER, False),
        ),
        "verify": (
            lambda: service.verify_email(unknown_token(), peer=PEER),
            ("one_time", None, PEER, False),
        ),
    }


NAMES = ["login", "vouched", "register", "password", "forgot", "reset", "verify"]


@pytest.mark.parametrize("name", NAMES)
def test_each_attempt_is_counted_once_and_forgiven_when_it_succeeds(service, throttle, name):
    """By action, name and address; a message that was asked for is not forgiven."""
    call, told = attempts(service, login(service))[name]
    throttle.told.clear()
    succeeds = name not in ("reset", "verify")
    try:
        call()
    except InvalidRequest:
        assert not succeeds

    forgiven = [(told[0], "succeeded")] if succeeds and name != "forgot" else []
    assert [told, *forgiven] == throttle.told


@pytest.mark.parametrize("name", NAMES)
def test_one_that_is_refused_costs_no_look_up_and_no_hash(
    *, make, service, throttle, post, name, monkeypatch, caplog
):
    """RULES 40; the refusal is audited as what it is."""
    users, tokens = Stumbling(service.users), Stumbling(service.tokens)
    other = make(
        users=users,
        tokens=tokens,
        keys=service.keys,
        throttle=throttle,
        deliver=post,
        clients=[SHOP],
    )
    call, told = attempts(other, login(service))[name]
    for function in ("hashpw", "checkpw"):
        monkeypatch.setattr(bcrypt, function, lambda *_: pytest.fail("hashed"))
    throttle.refusing = TooManyAttempts(30)
    audited(caplog)
    with pytest.raises(TooManyAttempts) as caught:
        call()
    assert other.flush()

    # A change of one's password says whose it is by a token, which is looked at first.
    asked = ["is_over", "get_by_id"] if name == "password" else []
    assert asked == tokens.asked + users.asked
    assert 30 == caught.value.retry_after
    expected = {"event": "throttled", "time": START, "action": told[0], "peer": PEER}
    assert [expected | ({"username": told[1]} if told[1] else {})] == audit_lines(caplog)
    assert [] == post.sent


def test_failures_are_not_forgiven(service, throttle):
    """A wrong password, a taken name, a token that is none."""
    token = login(service)
    throttle.told.clear()
    with pytest.raises(InvalidCredentials):
        login(service, password="wrong")
    with pytest.raises(InvalidCredentials):
        service.change_password(token, "wrong", OTHER_PASSWORD)
    with pytest.raises(UserAlreadyExists):
        service.register_user(registration("alice"))
    assert 3 == len(throttle.told)
    assert not [told for told in throttle.told if told[1] == "succeeded"]


def test_what_is_no_attempt_is_not_counted(service, throttle):
    """A password that the policy refuses tries nothing out; operators are not throttled."""
    token = login(service)
    throttle.told.clear()
    for call in (
        lambda: service.change_password(token, PASSWORD, "short"),
        lambda: service.reset_password(unknown_token(), "short"),
        lambda: service.register_user(registration(password="123456")),
        lambda: service.forgot_password("no address"),
    ):
        with pytest.raises(InvalidRequest):
            call()
    service.set_password("alice", OTHER_PASSWORD)
    assert [] == throttle.told


def test_guessing_ends_at_the_limit_and_the_owner_comes_in_from_elsewhere(make, clock):
    """With the real throttle: refused here, even with the right password; let in there."""
    counters = open_repositories("memory://").counters
    throttle = LoginThrottle.open(
        "store", counters=counters, per_name_and_address="3/5minutes", clock=clock
    )
    service = make(throttle=throttle)
    service.create_user("alice", email="alice@example.com", password=PASSWORD)
    for _ in range(3):
        with pytest.raises(InvalidCredentials):
            login(service, password="wrong", peer=PEER)
    for username in ("alice", "ALICE", " alice "):
        with pytest.raises(TooManyAttempts) as caught:
            login(service, username, peer=PEER)
    assert 300 == caught.value.retry_after
    assert login(service, peer="198.51.100.1")
    clock.now += 300
    assert login(service, peer=PEER)
