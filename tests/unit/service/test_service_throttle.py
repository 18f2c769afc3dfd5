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
    """By action, name and address; a message that was asked for is not forgiven.

    Before it is sent it is counted as well, by whom it goes to.
    """
    call, told = attempts(service, login(service))[name]
    throttle.told.clear()
    succeeds = name not in ("reset", "verify")
    try:
        call()
    except InvalidRequest:
        assert not succeeds

    assert service.flush()
    forgiven = [(told[0], "succeeded")] if succeeds and name != "forgot" else []
    sent = [("message", "alice@example.com", PEER, False)] if name == "forgot" else []
    assert [told, *sent, *forgiven] == throttle.told


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


class TestMessages:
    """What is sent to one mailbox because somebody asks (RULES 40)."""

    @pytest.fixture
    def counters(self):
        return open_repositories("memory://").counters

    @pytest.fixture
    def throttled(self, make, counters, clock, post):
        """A service with the real throttle, and alice."""
        throttle = LoginThrottle.open("store", counters=counters, clock=clock)
        service = make(throttle=throttle, deliver=post)
        service.create_user("alice", email="alice@example.com", password=PASSWORD)
        return service

    def ask(self, service, times, email="alice@example.com"):
        """Ask for so many messages, each from an address of its own, in several spellings."""
        for n in range(times):
            spelled = email.upper() if n % 2 else email
            service.forgot_password(spelled, peer=f"198.51.{n // 250}.{n % 250}")
        assert service.flush()

    def test_a_mailbox_is_not_filled_from_many_addresses(self, throttled, post, caplog):
        """Five in an hour; nothing is raised beyond, and the audit trail says it."""
        audited(caplog)
        self.ask(throttled, 40)

        assert 5 == len(post.sent)
        said = [line["event"] for line in audit_lines(caplog)]
        assert 5 == said.count("password_reset_asked")
        assert 35 == said.count("throttled")
        last = audit_lines(caplog)[-1]
        assert ("message", "alice@example.com") == (last["action"], last["username"])
        assert "198.51.0.39" == last["peer"]
        assert not [record for record in caplog.records if record.levelname == "ERROR"]

    def test_what_was_sent_before_stays_good(self, throttled, post):
        """Somebody else's asking takes nothing away from the owner."""
        self.ask(throttled, 40)
        token = post.sent[0][2]
        throttled.reset_password(token, OTHER_PASSWORD)

        assert login(throttled, password=OTHER_PASSWORD)

    def test_another_mailbox_and_the_next_hour_are_not_concerned(self, throttled, post, clock):
        """It is a bound of one mailbox, and it ends."""
        throttled.create_user("bob", email="bob@example.com", password=PASSWORD)
        self.ask(throttled, 9)
        self.ask(throttled, 1, "bob@example.com")
        assert ["alice"] * 5 + ["bob"] == [username for _, username, _ in post.sent]
        clock.now += 3_600
        self.ask(throttled, 9)
        assert 11 == len(post.sent)

    def test_asking_uses_up_nothing_else(self, throttled):
        """Who is written to can still log in and change the password."""
        self.ask(throttled, 40)
        throttled.change_password(login(throttled, peer=PEER), PASSWORD, OTHER_PASSWORD, peer=PEER)

    def test_addresses_of_nobody_and_of_the_inactive_count_nothing(self, throttled, post):
        """Only what is sent is counted, so an account that opens again gets its messages."""
        throttled.deactivate_user("alice")
        self.ask(throttled, 9)
        throttled.reactivate_user("alice")
        self.ask(throttled, 1)

        assert 1 == len(post.sent)

    def test_without_a_throttle_there_is_no_bound(self, make, post):
        """What counts is then something before the service."""
        service = make(deliver=post)
        service.create_user("alice", email="alice@example.com", password=PASSWORD)
        self.ask(service, 9)

        assert 9 == len(post.sent)
