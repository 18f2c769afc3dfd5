"""The audit trail, and what no log may hold."""

import hashlib
import logging
import pickle
import traceback

import pytest
from auth_services import (
    OTHER_PASSWORD,
    PASSWORD,
    SECRET,
    START,
    Throttle,
    audit_lines,
    audited,
    login,
    registration,
)

from tokenward.clients import Client
from tokenward.errors import AuthError, InvalidCredentials, TooManyAttempts
from tokenward.schemas import LoginRequest


class TestAudit:
    @pytest.fixture
    def lines(self, caplog):
        audited(caplog)
        return lambda: audit_lines(caplog)

    def test_each_event_is_one_json_line(self, service, lines):
        """RULES 53: the names are contract; times are whole epoch seconds."""
        bob = service.register_user(registration(), peer="192.0.2.7")
        request = LoginRequest(username="bob", password=PASSWORD)
        token = service.login_user(request, peer="192.0.2.7").access_token
        service.logout_user(token, peer="192.0.2.7")
        seen = lines()
        ended = seen.pop(-1)
        assert ended.pop("jti")
        assert ended.pop("sid")
        at = {"time": START, "peer": "192.0.2.7", "subject": bob.id}
        assert seen == [
            {"event": "user_registered", "username": "bob", **at},
            {"event": "login_ok", **at},
        ]
        assert ended == {"event": "logout", **at}

    def test_failed_login_shows_an_escaped_and_cut_name(self, service, lines, caplog):
        """The name is from outside: it forges no line and fills no disk; the password is absent."""
        with pytest.raises(InvalidCredentials):
            login(service, "x\n{}" + "y" * 290, "the-wrong-one")
        (line,) = lines()
        assert line["event"] == "login_failed"
        assert line["username"].startswith("x\\x0a{}y")
        assert len(line["username"]) < 250
        assert "the-wrong-one" not in caplog.text
        assert PASSWORD not in caplog.text

    def test_handler_that_fails_changes_nothing(self, service):
        """RULES 51: the login stands, whatever a handler does."""

        class Broken(logging.Handler):
            def emit(self, record):
                raise OSError("disk full")

        logger = logging.getLogger("tokenward.audit")
        handler, level = Broken(), logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            assert service.get_logged_in_user(login(service)).username == "alice"
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)


class TestSecrets:
    """RULES 44: no password, token, digest or hash in any log, at any level."""

    def test_no_verb_writes_one(self, make, post, caplog):  # noqa: PLR0915 - every verb, in turn
        """Each is called with success and without, with the root logger at DEBUG."""
        caplog.set_level(logging.DEBUG)
        throttle = Throttle()
        shop = Client("shop", SECRET, grants=["refresh_token", "client_credentials"])
        service = make(
            clients=[shop],
            deliver=post,
            throttle=throttle,
            claims=lambda user: {"scope": "read write"},
        )
        secrets = [PASSWORD, OTHER_PASSWORD, SECRET, WRONG]

        def call(name, *args, **options):
            verb = getattr(service, name)
            assert verb.__self__.__class__ is type(service)
            called.add(name)
            try:
                return verb(*args, **options)
            except AuthError as error:
                refused.append(error)
                return None

        called, refused = set(), []
        call("register_user", registration())
        call("register_user", registration(password="short1"))
        for user in ("alice", "carol"):
            call("create_user", user, email=f"{user}@example.com", password=PASSWORD)
        call("create_user", "dora", email="dora@example.com", password="short1")
        call("send_email_verification", "alice")
        call("forgot_password", "alice@example.com")
        call("forgot_password", "nobody@example.com")
        call("flush")
        one_time = {purpose: token for purpose, _, token in post.sent}
        secrets += [token for _, _, token in post.sent]
        call("login_user", LoginRequest(username="alice", password=WRONG))
        given = [
            call("login_user", LoginRequest(username="alice", password=PASSWORD), client=client)
            for client in (None, None, None, None, shop)
        ]
        first, second, third, fourth, shops = given
        next_one = call("refresh", first.refresh_token, scopes={"read"})
        call("refresh", next_one.refresh_token, scopes={"root"})
        given.append(next_one)
        call("refresh", first.refresh_token)
        call("refresh", shops.refresh_token)
        call("introspect_token", shops.refresh_token, client=shop)
        client_token = call("issue_client_token", shop)
        call("issue_client_token", shop, {"root"})
        for token in (second.access_token, third.refresh_token, WRONG):
            call("introspect_token", token, client=shop)
            call("get_logged_in_user", token)
            call("sessions", token)
            call("end_session", token, WRONG)
        call(
            "end_session",
            second.access_token,
            service.sessions(second.access_token).sessions[0].sid,
        )
        call("logout_user", third.access_token, refresh_token=third.refresh_token)
        call("logout_user", refresh_token=third.refresh_token)
        call("revoke_token", client_token.access_token, client=shop)
        call("revoke_token", shops.refresh_token, client=shop)
        call("revoke_token", WRONG, client=shop)
        call("change_password", fourth.access_token, WRONG, OTHER_PASSWORD)
        call("verify_email", one_time["verify_email"])
        call("verify_email", one_time["verify_email"])
        call("reset_password", one_time["reset_password"], "123456")
        call("reset_password", one_time["reset_password"], OTHER_PASSWORD)
        last = service.login_user(LoginRequest(username="carol", password=PASSWORD))
        call("change_password", last.access_token, PASSWORD, OTHER_PASSWORD)
        last = service.login_user(LoginRequest(username="carol", password=OTHER_PASSWORD))
        call("end_sessions", last.access_token)
        call("issue", service.users.get_by_username("carol"))
        call("set_password", "carol", PASSWORD)
        call("set_roles", "carol", ["admin"])
        call("deactivate_user", "carol")
        call("reactivate_user", "carol")
        throttle.refusing = TooManyAttempts(7)
        call("login_user", LoginRequest(username="alice", password=PASSWORD))
        post.failure = OSError(*secrets)
        throttle.refusing = None
        call("forgot_password", "alice@example.com")
        call("flush")
        for name in ("public_jwks", "metadata", "ready"):
            call(name)
        given += [last, client_token]
        secrets += [answer.access_token for answer in given]
        secrets += [answer.access_token.rpartition(".")[2] for answer in given]
        secrets += [answer.refresh_token for answer in given if answer.refresh_token]
        digests = [hashlib.sha256(secret.encode()).digest() for secret in secrets]
        users = [service.users.get_by_username(name) for name in ("alice", "bob", "carol")]
        hashes = [user.hashed_password for user in users]
        hidden = [*secrets, *hashes, *(d.hex() for d in digests), *(repr(d)[2:-1] for d in digests)]
        written = [caplog.text, *map(repr, given), repr(service), *map(repr, refused)]
        written += [f"{error} {error.hint} {error.__dict__}" for error in refused]
        written += ["".join(traceback.format_exception(error)) for error in refused]

        public = {name for name in dir(service) if not name.startswith("_")}
        verbs = {name for name in public if callable(getattr(type(service), name, None))}
        assert {"with_users"} == verbs - called
        assert len(refused) >= 15
        # The lines of this test are in the tracebacks, names and constants among them.
        assert [] == [(h, text) for h in hidden for text in written if h in text]

    def test_what_an_error_came_from_is_not_shown(self, make):
        """No chain leads to a model's input."""
        service = make()
        with pytest.raises(AuthError) as caught:
            service.create_user("a b", email="nobody", password=PASSWORD)
        assert caught.value.__cause__ is caught.value.__context__ is None

    def test_a_service_is_not_pickled(self, service):
        """It holds keys, and what waits to be sent."""
        with pytest.raises(TypeError):
            pickle.dumps(service)


WRONG = "a password that nobody has"
