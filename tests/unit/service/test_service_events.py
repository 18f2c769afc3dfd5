"""Events for an observer."""

import pytest
from auth_services import ISSUER, PASSWORD, Down, Shared, Throttle, login

from tokenward.errors import AuthServiceUnavailable, InvalidCredentials, TooManyAttempts
from tokenward.repositories import open_repositories


class TestEvents:
    """Logins are told to an observer, who can change nothing (RULES 51, 53)."""

    @pytest.fixture
    def events(self):
        return []

    @pytest.fixture
    def observed(self, make, events):
        service = make(on_event=events.append)
        service.create_user("alice", email="alice@example.com", password=PASSWORD)
        return service

    def test_a_login_is_one_event(self, observed, events):
        """It is named after the issuer and says how long it took; nothing else is told."""
        observed.logout_user(login(observed))
        (event,) = events

        assert (event.kind, event.verifier, event.outcome) == ("login", ISSUER, "ok")
        assert 0 < event.seconds < 90

    @pytest.mark.parametrize("username", ["alice", "nobody"])
    def test_a_failed_login_never_says_which(self, observed, events, username):
        """A wrong password and an unknown name are one outcome."""
        with pytest.raises(InvalidCredentials):
            login(observed, username, "wrong")

        assert [event.outcome for event in events] == ["invalid_credentials"]

    def test_an_outage_is_unavailable(self, make, events):
        """A store that is down refused nobody."""
        service = make(users=Down(), on_event=events.append)
        with pytest.raises(AuthServiceUnavailable):
            login(service)

        assert [(event.kind, event.outcome) for event in events] == [("login", "unavailable")]

    def test_a_claims_hook_that_fails_decided_nothing(self, make, events):
        """It is the application's mistake, and neither a success nor a wrong password."""

        def fail(user):
            raise RuntimeError("mistake")

        service = make(claims=fail, on_event=events.append)
        service.create_user("alice", email="alice@example.com", password=PASSWORD)
        with pytest.raises(RuntimeError):
            login(service)

        assert [event.outcome for event in events] == ["interrupted"]

    def test_a_cache_that_fails_is_told(self, make, events):
        """Whoever watches sees that revocations do not get through."""
        shared = Shared([])
        shared.failure = ConnectionError("gone")
        service = make(shared_cache=shared, on_event=events.append)
        service.create_user("alice", email="alice@example.com", password=PASSWORD)
        service.logout_user(login(service))

        told = [(e.kind, e.outcome) for e in events]
        assert told == [("login", "ok"), *([("cache", "shared.error")] * 2)]

    def test_an_observer_that_raises_changes_nothing(self, make):
        """The login stands."""

        def fail(event):
            raise RuntimeError

        service = make(on_event=fail)
        service.create_user("alice", email="alice@example.com", password=PASSWORD)
        assert service.get_logged_in_user(login(service)).username == "alice"
        with pytest.raises(InvalidCredentials):
            login(service, password="wrong")

    def test_other_users_are_told_of_too(self, observed, events):
        """A service over other users keeps the observer."""
        others = open_repositories("memory://", bcrypt_cost=4).users
        other = observed.with_users(others)
        other.create_user("zoe", email="zoe@example.com", password=PASSWORD)
        login(other, "zoe")

        assert [(event.verifier, event.outcome) for event in events] == [(ISSUER, "ok")]

    def test_an_attempt_that_is_not_looked_at_is_told(self, make, events):
        """Whoever watches sees a flood as what it is."""
        throttle = Throttle()
        throttle.refusing = TooManyAttempts(30)
        service = make(on_event=events.append, throttle=throttle)
        with pytest.raises(TooManyAttempts):
            login(service)

        assert [(e.kind, e.outcome) for e in events] == [("login", "too_many_attempts")]
