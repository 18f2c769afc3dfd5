"""Accounts: opened, and looked after by those who own them."""

from hashlib import sha256

import bcrypt
import pytest
from auth_services import (
    OTHER_PASSWORD,
    PASSWORD,
    Stumbling,
    audit_lines,
    audited,
    log_in,
    login,
    registration,
    unknown_token,
)

from tokenward._secrets import random_token
from tokenward.errors import (
    AuthServiceUnavailable,
    InvalidCredentials,
    InvalidGrant,
    InvalidRequest,
    InvalidToken,
    TokenRevoked,
    UserAlreadyExists,
    UserNotFound,
)
from tokenward.schemas import RegisterRequest

LOCK_OUTS = {
    "no password": lambda service: service.set_password("alice", None),
    "another password": lambda service: service.set_password("alice", "a third horse"),
    "closed": lambda service: service.deactivate_user("alice"),
    "closed and opened": lambda service: (
        service.deactivate_user("alice"),
        service.reactivate_user("alice"),
    ),
    "roles": lambda service: service.set_roles("alice", ["suspect"]),
}


class TestRegisterUser:
    def test_new_user_can_log_in(self, service):
        """Registering is all it takes."""
        registered = service.register_user(registration())
        assert service.get_logged_in_user(login(service, "bob")) == registered

    def test_taken_name_and_taken_address_are_one_refusal(self, service):
        """Whoever tries names out does not learn which of the two was taken."""
        taken = [
            RegisterRequest(username="ALICE", email="other@example.com", password=PASSWORD),
            RegisterRequest(username="other", email="Alice@example.com", password=PASSWORD),
        ]
        refusals = []
        for request in taken:
            with pytest.raises(UserAlreadyExists) as refused:
                service.register_user(request)
            refusals.append((refused.value.error, refused.value.reason, str(refused.value)))
        assert refusals[0] == refusals[1]

    def test_service_may_want_longer_passwords(self, make):
        """The schema's six characters are the least that a service can ask for."""
        service = make(password_min_length=12)
        with pytest.raises(InvalidRequest) as refused:
            service.register_user(registration(password="elevenchars"))
        assert refused.value.fields == {"password": "must have at least 12 characters"}
        assert service.register_user(registration(password="twelve-chars")).username == "bob"

    @pytest.mark.parametrize("password", ["123456", "PassWord", "qwerty123"])
    def test_common_password_is_refused(self, make, password):
        """What everybody tries first (NIST SP 800-63B); unless the service takes them."""
        service = make()
        with pytest.raises(InvalidRequest) as refused:
            service.register_user(registration(password=password))
        assert ("common_password", ["password"]) == (
            refused.value.reason,
            list(refused.value.fields),
        )
        with pytest.raises(InvalidRequest):
            service.create_user("bob", email="bob@example.com", password=password)
        assert 0 == service.users.count()
        lenient = make(common_passwords=True)
        assert lenient.register_user(registration(password=password)).username == "bob"

    def test_nothing_is_sent_without_deliver(self, service):
        """A service that cannot send does not try."""
        service.register_user(registration())
        assert service.flush(timeout=0) is True


class TestCreateUser:
    def test_works_while_registration_is_closed(self, make):
        """Closed means closed to people from outside."""
        service = make(registration="closed")
        user = service.create_user(
            "alice", email="a@example.com", password=PASSWORD, roles=["admin"], email_verified=True
        )
        assert (user.roles, user.email_verified) == (("admin",), True)

    @pytest.mark.parametrize(
        ("arguments", "field"),
        [
            ({"username": "a b"}, "username"),
            ({"email": "nobody"}, "email"),
            ({"password": "short"}, "password"),
            ({"password": "short-elev"}, "password"),
            ({"roles": "admin"}, "roles"),
        ],
    )
    def test_bad_argument_is_an_invalid_request(self, make, arguments, field):
        """No foreign exception: the caller learns the field, and nothing of the value."""
        service = make(password_min_length=11)
        given = {"username": "alice", "email": "a@example.com", "password": PASSWORD} | arguments
        with pytest.raises(InvalidRequest) as refused:
            service.create_user(given.pop("username"), **given)
        assert list(refused.value.fields) == [field]
        assert refused.value.__context__ is None


class TestChangePassword:
    def test_ends_every_token_and_session(self, service, caplog):
        """API 7: older tokens die, the one that asked included."""
        audited(caplog)
        given, other = log_in(service), log_in(service)
        service.change_password(given.access_token, PASSWORD, OTHER_PASSWORD, peer="192.0.2.7")
        for ended in (given, other):
            with pytest.raises(TokenRevoked):
                service.get_logged_in_user(ended.access_token)
            with pytest.raises(InvalidGrant):
                service.refresh(ended.refresh_token)
        assert [] == service.tokens.families(given.user.id)
        with pytest.raises(InvalidCredentials):
            login(service)
        assert service.get_logged_in_user(login(service, password=OTHER_PASSWORD)) == given.user
        line = audit_lines(caplog)[2]
        assert ("password_changed", given.user.id, "192.0.2.7") == (
            line["event"],
            line["subject"],
            line["peer"],
        )

    def test_wrong_current_password_changes_nothing(self, service):
        """A token alone does not take an account over."""
        token = login(service)
        with pytest.raises(InvalidCredentials):
            service.change_password(token, "wrong", OTHER_PASSWORD)
        assert service.get_logged_in_user(token).username == "alice"
        assert login(service)

    @pytest.mark.parametrize(
        ("current", "new", "field"),
        [
            ("", OTHER_PASSWORD, "current_password"),
            ("x" * 1_025, OTHER_PASSWORD, "current_password"),
            (None, OTHER_PASSWORD, "current_password"),
            (PASSWORD, "short", "new_password"),
            (PASSWORD, "123456", "new_password"),
            (PASSWORD, "x" * 1_025, "new_password"),
            (PASSWORD, "\ud800surrogate", "new_password"),
            (PASSWORD, 7_000_000, "new_password"),
        ],
    )
    def test_what_can_be_no_password_is_told_by_its_field(self, service, current, new, field):
        """400 before any hash, with nothing of what was sent."""
        with pytest.raises(InvalidRequest) as refused:
            service.change_password(login(service), current, new)
        error = refused.value
        assert [field] == list(error.fields)
        assert error.__context__ is error.__cause__ is None
        assert login(service)

    def test_a_name_that_is_somebody_elses_by_now_opens_nothing(self, make, service):
        """The password is the one of whom the token speaks for, and of nobody of that name."""
        bob = service.create_user("bob", email="bob@example.com", password=PASSWORD)
        users = Stumbling(service.users)
        users.verify_credentials = lambda credentials: service.users.get_by_id(bob.id)
        other = make(users=users, tokens=service.tokens, keys=service.keys)
        with pytest.raises(InvalidCredentials):
            other.change_password(login(service), PASSWORD, OTHER_PASSWORD)
        assert login(service)

    @pytest.mark.parametrize("done", LOCK_OUTS, ids=LOCK_OUTS)
    def test_what_an_operator_did_meanwhile_stands(self, service, hashing, caplog, done):
        """A hash takes its time, and whoever was told that the account is closed relies on it."""
        audited(caplog)
        token, left = login(service), []
        service.users.hasher = hashing
        hashing.meanwhile = lambda: (
            LOCK_OUTS[done](service),
            left.append(service.users.get_by_username("alice")),
        )
        with pytest.raises(TokenRevoked):
            service.change_password(token, PASSWORD, OTHER_PASSWORD)
        assert left == [service.users.get_by_username("alice")]
        lines = [line for line in audit_lines(caplog) if line["event"] == "password_changed"]
        assert "changed" not in {line["how"] for line in lines}

    def test_a_token_that_ended_while_the_password_was_checked_changes_nothing(self, make):
        """What counts is the account as it was when the token was verified."""

        class Meanwhile:
            def attempt(self, action, *_args, **_options):
                if action == "password":
                    service.users.set_roles("alice", ["suspect"])
                return self

            def succeeded(self):
                pass

        service = make(throttle=Meanwhile())
        service.create_user("alice", email="alice@example.com", password=PASSWORD)
        token = login(service)
        with pytest.raises(TokenRevoked):
            service.change_password(token, PASSWORD, OTHER_PASSWORD)
        assert login(service)

    def test_of_two_at_once_one_is_the_next_password(self, service, hashing):
        """The other one learns that its token is over."""
        first, second = login(service), login(service)
        service.users.hasher = hashing
        hashing.meanwhile = lambda: service.change_password(second, PASSWORD, "a third horse")
        with pytest.raises(TokenRevoked):
            service.change_password(first, PASSWORD, OTHER_PASSWORD)
        assert login(service, password="a third horse")

    def test_current_password_is_checked_as_at_a_login(self, service, monkeypatch):
        """One hash, whether it is right or wrong, before the new one is hashed (RULES 33)."""
        token = login(service)
        work = []
        real = bcrypt.checkpw
        monkeypatch.setattr(bcrypt, "checkpw", lambda *a: work.append(1) or real(*a))
        with pytest.raises(InvalidCredentials):
            service.change_password(token, "wrong", OTHER_PASSWORD)
        assert [1] == work


def readdress(users, alice):
    """Give the user another address, as a store of one's own may."""
    record = users._records[("id", alice.id)]
    users._store(record, email="other@example.com")


def set_up(make, post, **options):
    """Return a service that sends what it has to send to ``post``, and has one user."""
    service = make(deliver=post, **options)
    service.create_user("alice", email="alice@example.com", password=PASSWORD)
    return service


def refusal(call, *args):
    """Have a one-time token refused; return what is said."""
    with pytest.raises(InvalidRequest) as caught:
        call(*args)
    return caught.value.reason, caught.value.fields


REFUSAL = ("one_time_token", {"token": "is not valid any more; ask for a new one"})


class TestVerifyEmail:
    def test_a_new_users_address_is_verified_by_what_is_sent_there(self, make, post, caplog):
        """Once; and it ends no session."""
        audited(caplog)
        service = make(deliver=post)
        bob = service.register_user(registration())
        token = post.token(service, "verify_email")
        session = log_in(service, "bob")
        assert (False, "bob", 43) == (bob.email_verified, post.sent[0][1], len(token))
        assert None is service.verify_email(token, peer="192.0.2.7")
        assert service.get_logged_in_user(session.access_token).email_verified is True
        assert REFUSAL == refusal(service.verify_email, token)
        line = audit_lines(caplog)[-1]
        assert ("email_verified", bob.id) == (line["event"], line["subject"])

    def test_can_be_sent_again(self, make, post):
        """By name; both tokens are good, once each."""
        service = set_up(make, post)
        service.send_email_verification("ALICE")
        service.send_email_verification("alice")
        assert service.flush()
        tokens = [token for _, _, token in post.sent]
        assert 2 == len(set(tokens))
        for token in tokens:
            service.verify_email(token)
        service.send_email_verification("alice")
        assert service.flush()
        assert 2 == len(post.sent)
        with pytest.raises(UserNotFound):
            service.send_email_verification("nobody")

    def test_an_operator_cannot_send_without_a_way(self, service):
        """A program that asks for it learns what is missing."""
        with pytest.raises(ValueError, match="deliver"):
            service.send_email_verification("alice")

    @pytest.mark.parametrize(
        "change",
        [
            lambda service: service.deactivate_user("alice"),
            lambda service: service.users._store(
                service.users._records[("username_key", "alice")], email=None
            ),
        ],
        ids=["inactive", "no-address"],
    )
    def test_is_not_sent_to_somebody_who_cannot_use_it(self, make, post, change):
        """Without an address there is nowhere to send it to."""
        service = set_up(make, post)
        change(service)
        service.send_email_verification("alice")
        assert service.flush()
        assert [] == post.sent

    def test_is_over_after_a_day(self, make, post, clock):
        """Short (RULES 41)."""
        service = set_up(make, post)
        for life, outcome in ((86_399, None), (86_400, REFUSAL)):
            service.send_email_verification("alice")
            token = post.token(service, "verify_email")
            clock.now += life
            if outcome is None:
                service.verify_email(token)
                service.users.set_email_verified("alice", verified=False)
            else:
                assert outcome == refusal(service.verify_email, token)

    @pytest.mark.parametrize(
        "change",
        [
            lambda users, alice: users.set_active("alice", active=False),
            lambda users, alice: users.delete("alice"),
            readdress,
        ],
        ids=["inactive", "gone", "another-address"],
    )
    def test_is_bound_to_the_account_and_its_address(self, make, post, change):
        """What was sent to one address proves nothing of another."""
        service = set_up(make, post)
        service.send_email_verification("alice")
        token = post.token(service, "verify_email")
        change(service.users, service.users.get_by_username("alice"))
        assert REFUSAL == refusal(service.verify_email, token)

    def test_outlives_a_new_password(self, make, post):
        """Which has nothing to do with the address."""
        service = set_up(make, post)
        service.send_email_verification("alice")
        service.set_password("alice", OTHER_PASSWORD)
        service.verify_email(post.token(service, "verify_email"))
        assert service.users.get_by_username("alice").email_verified is True


class TestResetPassword:
    @pytest.fixture
    def service(self, make, post):
        return set_up(make, post)

    @pytest.fixture
    def token(self, service, post):
        service.forgot_password("Alice@EXAMPLE.com")
        return post.token(service, "reset_password")

    def test_sets_the_password_and_ends_every_session(self, make, post, caplog):
        """Whoever may have been in is out; the address is shown to be theirs."""
        audited(caplog)
        service = set_up(make, post)
        given = log_in(service)
        service.forgot_password("alice@example.com", peer="192.0.2.7")
        token = post.token(service, "reset_password")
        service.reset_password(token, OTHER_PASSWORD, peer="192.0.2.7")
        with pytest.raises(InvalidCredentials):
            login(service)
        assert log_in(service, password=OTHER_PASSWORD).user.email_verified is True
        with pytest.raises(TokenRevoked):
            service.get_logged_in_user(given.access_token)
        with pytest.raises(InvalidGrant):
            service.refresh(given.refresh_token)
        lines = audit_lines(caplog)[1:-2]
        assert ["password_reset_asked", "email_verified", "password_changed"] == [
            line["event"] for line in lines
        ]
        assert {(given.user.id, "192.0.2.7")} == {(x["subject"], x["peer"]) for x in lines}

    def test_is_good_once(self, service, token):
        """And for its own purpose only."""
        assert REFUSAL == refusal(service.verify_email, token)
        service.reset_password(token, OTHER_PASSWORD)
        assert REFUSAL == refusal(service.reset_password, token, PASSWORD)
        assert login(service, password=OTHER_PASSWORD)

    def test_a_token_that_verifies_does_not_reset(self, service, post):
        """One purpose (RULES 41)."""
        service.send_email_verification("alice")
        token = post.token(service, "verify_email")
        assert REFUSAL == refusal(service.reset_password, token, OTHER_PASSWORD)
        service.verify_email(token)

    def test_is_over_after_an_hour(self, service, token, clock):
        """Short (RULES 41)."""
        clock.now += 3_600
        assert REFUSAL == refusal(service.reset_password, token, OTHER_PASSWORD)

    @pytest.mark.parametrize(
        "change",
        [
            lambda users, alice: users.set_password("alice", "a third horse"),
            lambda users, alice: users.set_password("alice", None),
            lambda users, alice: users.set_roles("alice", ["admin"]),
            lambda users, alice: users.set_active("alice", active=False),
            lambda users, alice: users.delete("alice"),
            readdress,
        ],
        ids=["password", "no-password", "roles", "inactive", "gone", "another-address"],
    )
    def test_is_bound_to_the_account_as_it_was(self, service, token, change):
        """A message that lies about opens nothing later (RULES 41)."""
        change(service.users, service.users.get_by_username("alice"))
        assert REFUSAL == refusal(service.reset_password, token, OTHER_PASSWORD)

    @pytest.mark.parametrize(
        "done",
        [*LOCK_OUTS.values(), lambda service: service.users.delete("alice")],
        ids=[*LOCK_OUTS, "gone"],
    )
    def test_what_an_operator_did_meanwhile_stands(self, service, token, hashing, done):
        """The token was good when it came, and is not when the password would be set."""
        left = []
        service.users.hasher = hashing
        hashing.meanwhile = lambda: (
            done(service),
            left.append(service.users.get_by_username("alice")),
        )
        assert REFUSAL == refusal(service.reset_password, token, OTHER_PASSWORD)
        assert left == [service.users.get_by_username("alice")]
        assert REFUSAL == refusal(service.reset_password, token, OTHER_PASSWORD)

    def test_several_are_over_with_the_first(self, service, token, post):
        """Asked for twice, used once."""
        service.forgot_password("alice@example.com")
        other = post.token(service, "reset_password")
        assert token != other
        service.reset_password(token, OTHER_PASSWORD)
        assert REFUSAL == refusal(service.reset_password, other, PASSWORD)

    @pytest.mark.parametrize("password", ["short", "123456", "x" * 1_025, None])
    def test_bad_password_leaves_the_token_good(self, service, token, password):
        """Who mistypes does not have to ask again."""
        with pytest.raises(InvalidRequest) as caught:
            service.reset_password(token, password)
        assert ["new_password"] == list(caught.value.fields)
        service.reset_password(token, OTHER_PASSWORD)

    @pytest.mark.parametrize("token", ["", "x", "é" * 43, "\0", None, 7, b"x", "x" * 20_000])
    def test_what_is_no_token_is_refused_alike(self, service, token):
        """Whatever comes."""
        assert REFUSAL == refusal(service.reset_password, token, OTHER_PASSWORD)
        assert REFUSAL == refusal(service.verify_email, token)
        assert REFUSAL == refusal(service.verify_email, unknown_token())

    @pytest.mark.parametrize("failing", ["get_by_id", "set_email_verified", "set_password"])
    def test_an_outage_leaves_the_token_good(self, make, post, failing):
        """503 says to try again later, and trying again works."""
        plain = set_up(make, post)
        users = Stumbling(plain.users)
        service = make(users=users, tokens=plain.tokens, deliver=post)
        service.forgot_password("alice@example.com")
        token = post.token(service, "reset_password")
        users.failing = {failing}
        for _ in range(2):
            with pytest.raises(AuthServiceUnavailable):
                service.reset_password(token, OTHER_PASSWORD)
        users.failing = set()
        service.reset_password(token, OTHER_PASSWORD)
        assert login(service, password=OTHER_PASSWORD)
        assert REFUSAL == refusal(service.reset_password, token, PASSWORD)

    def test_a_store_that_goes_down_meanwhile_uses_the_token_up(self, make, post):
        """It is good once, whatever comes; who is told of the outage asks for another token."""
        plain = set_up(make, post)
        tokens, users = Stumbling(plain.tokens), Stumbling(plain.users)
        service = make(users=users, tokens=tokens, deliver=post)
        service.forgot_password("alice@example.com")
        token = post.token(service, "reset_password")
        tokens.failing, users.failing = {"put_one_time"}, {"get_by_id"}
        with pytest.raises(AuthServiceUnavailable):
            service.reset_password(token, OTHER_PASSWORD)
        tokens.failing, users.failing = set(), set()
        assert REFUSAL == refusal(service.reset_password, token, OTHER_PASSWORD)

    def test_an_outage_does_not_prolong_a_token(self, make, post, clock):
        """It ends when it would have ended, however often it could not be used."""
        plain = set_up(make, post)
        users = Stumbling(plain.users)
        service = make(users=users, tokens=plain.tokens, deliver=post)
        service.forgot_password("alice@example.com")
        token = post.token(service, "reset_password")
        users.failing = {"set_password"}
        for seconds in (0, 3_000, 595, 4):
            clock.now += seconds
            with pytest.raises(AuthServiceUnavailable):
                service.reset_password(token, OTHER_PASSWORD)
        clock.now += 1
        users.failing = set()
        assert REFUSAL == refusal(service.reset_password, token, OTHER_PASSWORD)

    def test_a_token_outlasts_an_outage_as_long_as_it_is_good(self, make, post, clock):
        """Whoever tries again much later has not lost it."""
        plain = set_up(make, post)
        users = Stumbling(plain.users)
        service = make(users=users, tokens=plain.tokens, deliver=post)
        service.forgot_password("alice@example.com")
        token = post.token(service, "reset_password")
        users.failing = {"get_by_id"}
        with pytest.raises(AuthServiceUnavailable):
            service.reset_password(token, OTHER_PASSWORD)
        users.failing = set()
        clock.now += 3_599
        service.reset_password(token, OTHER_PASSWORD)
        assert login(service, password=OTHER_PASSWORD)

    def test_a_password_that_the_store_refuses_leaves_the_token_good(self, make, post, clock):
        """A project may have rules of its own; they prolong nothing either."""
        plain = set_up(make, post)
        users = Stumbling(plain.users)
        service = make(users=users, tokens=plain.tokens, deliver=post)
        service.forgot_password("alice@example.com")
        token = post.token(service, "reset_password")

        def refuse(*_args, **_options):
            raise InvalidRequest({"password": "is not one that this site accepts"})

        users.set_password = refuse
        for seconds in (0, 3_599):
            clock.now += seconds
            with pytest.raises(InvalidRequest) as caught:
                service.reset_password(token, OTHER_PASSWORD)
            assert ["password"] == list(caught.value.fields)
        del users.set_password
        service.reset_password(token, OTHER_PASSWORD)
        assert login(service, password=OTHER_PASSWORD)

    @pytest.mark.parametrize("kept", ["0 {address} {id}", "{address} {id}", "{id}", "x", "1 x"])
    def test_what_was_kept_in_another_form_is_refused(self, service, kept):
        """A digest that something else wrote opens nothing."""
        token, digest = random_token()
        alice = service.users.get_by_username("alice")
        address = sha256(b"alice@example.com").hexdigest()
        end = service.clock() + 60
        subject = kept.format(address=address, id=alice.id)
        service.tokens.put_one_time(digest, "reset_password", subject, end)
        assert REFUSAL == refusal(service.reset_password, token, OTHER_PASSWORD)

    def test_two_at_once_set_one_password(self, service, token):
        """The store decides who was first."""
        import threading

        outcomes = []
        barrier = threading.Barrier(4)

        def reset(number):
            barrier.wait()
            try:
                service.reset_password(token, f"{OTHER_PASSWORD} {number}")
                outcomes.append(number)
            except InvalidRequest:
                pass

        threads = [threading.Thread(target=reset, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (winner,) = outcomes
        assert login(service, password=f"{OTHER_PASSWORD} {winner}")


class TestForgotPassword:
    def test_an_active_user_with_this_address_is_sent_one(self, make, post):
        """However the address is written; nobody else is sent anything."""
        service = set_up(make, post)
        service.forgot_password("ALICE@example.com")
        assert service.flush()
        assert [("reset_password", "alice")] == [sent[:2] for sent in post.sent]

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda service: service.users.delete("alice"),
            lambda service: service.users.set_active("alice", active=False),
            lambda service: service.users.set_password("alice", None),
        ],
        ids=["unknown", "inactive", "without-a-password"],
    )
    def test_nobody_else_is_sent_anything(self, make, post, caplog, spoil):
        """The answer is the same nothing, and the audit trail has nothing to say."""
        audited(caplog)
        service = set_up(make, post)
        spoil(service)
        assert None is service.forgot_password("alice@example.com")
        assert service.flush()
        assert [] == post.sent == audit_lines(caplog)

    def test_nothing_is_looked_up_before_the_answer(self, make, post):
        """A look-up that takes its time, or fails, is nothing to whoever asks."""
        import threading

        plain = set_up(make, post)
        users = Stumbling(plain.users)
        may_answer = threading.Event()
        real = plain.users.get_by_email

        def slowly(address):
            assert may_answer.wait(90)
            return real(address)

        users.get_by_email = slowly
        service = make(users=users, tokens=plain.tokens, deliver=post)
        service.forgot_password("alice@example.com")
        service.forgot_password("nobody@example.com")
        assert [] == [name for name in users.asked if name.startswith("get")]
        may_answer.set()
        assert 43 == len(post.token(service, "reset_password"))

    @pytest.mark.parametrize("email", ["", "nobody", "a b@example.com", None, 7, "Al <a@b.com>"])
    def test_what_is_no_address_is_an_invalid_request(self, make, post, email):
        """Told by its form, before anybody is looked up."""
        with pytest.raises(InvalidRequest) as caught:
            set_up(make, post).forgot_password(email)
        assert ["email"] == list(caught.value.fields)

    def test_without_deliver_it_is_logged_and_nothing_else(self, service, caplog):
        """Whoever asks gets the same answer; the operator learns what is missing."""
        service.forgot_password("alice@example.com")
        service.forgot_password("nobody@example.com")
        lines = [r for r in caplog.records if "deliver" in r.getMessage()]
        assert {"tokenward.service"} >= {r.name for r in lines}
        assert len(lines) <= 1
        assert service.flush(timeout=0)

    def test_what_deliver_raises_is_logged_by_its_type(self, make, post, caplog):
        """Its text may hold the address or the token; the next message is sent all the same."""
        service = set_up(make, post)
        post.failure = KeyError("alice@example.com in the text")
        service.forgot_password("alice@example.com")
        assert service.flush()
        post.failure = None
        service.forgot_password("alice@example.com")
        assert 43 == len(post.token(service, "reset_password"))
        assert "KeyError" in caplog.text
        assert "alice@example.com" not in caplog.text


class TestOperators:
    @pytest.mark.parametrize(
        ("change", "event"),
        [
            (lambda service: service.deactivate_user("ALICE"), "user_disabled"),
            (lambda service: service.set_roles("ALICE", ["admin"]), "role_changed"),
            (lambda service: service.set_password("ALICE", OTHER_PASSWORD), "password_changed"),
            (lambda service: service.set_password("ALICE", None), "password_changed"),
            (lambda service: service.reactivate_user("ALICE"), "user_enabled"),
        ],
        ids=["deactivate", "roles", "password", "no-password", "reactivate"],
    )
    def test_what_they_change_ends_every_session_and_is_audited(
        self, service, caplog, change, event
    ):
        """RULES 37, 53; somebody else's go on."""
        service.create_user("bob", email="bob@example.com", password=PASSWORD)
        given, other = log_in(service), log_in(service, "bob")
        audited(caplog)
        change(service)
        with pytest.raises(InvalidToken):
            service.get_logged_in_user(given.access_token)
        with pytest.raises(InvalidGrant):
            service.refresh(given.refresh_token)
        assert [] == service.tokens.families(given.user.id)
        assert service.refresh(other.refresh_token).user.username == "bob"
        (line,) = audit_lines(caplog)
        assert (event, given.user.id, "alice") == (
            line["event"],
            line["subject"],
            line["username"],
        )

    def test_what_they_change_is_changed(self, service):
        """Each does what it says."""
        service.set_roles("alice", ["admin", "editor"])
        assert log_in(service).user.roles == ("admin", "editor")
        service.deactivate_user("alice")
        with pytest.raises(InvalidCredentials):
            login(service)
        service.reactivate_user("alice")
        service.set_password("alice", OTHER_PASSWORD)
        assert log_in(service, password=OTHER_PASSWORD).user.is_active is True
        service.set_password("alice", None)
        with pytest.raises(InvalidCredentials):
            login(service, password=OTHER_PASSWORD)

    @pytest.mark.parametrize(
        "change",
        [
            lambda service: service.deactivate_user("nobody"),
            lambda service: service.reactivate_user("nobody"),
            lambda service: service.set_roles("nobody", []),
            lambda service: service.set_password("nobody", OTHER_PASSWORD),
        ],
    )
    def test_nobody_cannot_be_changed(self, service, change, caplog):
        """UserNotFound, and nothing in the audit trail."""
        audited(caplog)
        with pytest.raises(UserNotFound):
            change(service)
        assert [] == audit_lines(caplog)

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            (lambda service: service.set_password("alice", "short"), "password"),
            (lambda service: service.set_password("alice", "123456"), "password"),
            (lambda service: service.set_roles("alice", "admin"), "roles"),
        ],
    )
    def test_bad_argument_changes_nothing(self, service, change, field, caplog):
        """The policy is the operators' too."""
        given = log_in(service)
        audited(caplog)
        with pytest.raises(InvalidRequest) as caught:
            change(service)
        assert [field] == list(caught.value.fields)
        assert service.refresh(given.refresh_token).user.roles == ("editor",)
        assert [] == audit_lines(caplog)
