"""Whether the service can do its work, and the same service over other users."""

from contextlib import closing

import pytest
from auth_services import PASSWORD, Down, log_in, login

from tokenward.errors import InvalidGrant
from tokenward.repositories import open_repositories
from tokenward.repositories.mongo import MongoStore, MongoUserRepository
from tokenward.schemas import LoginRequest


class TestReady:
    def test_stores_that_answer_are_ready(self, service):
        """The stores answered and there is a key."""
        assert service.ready() is True

    @pytest.mark.parametrize("part", ["users", "tokens"])
    def test_store_that_is_down_is_not_ready(self, make, part):
        """Either store is needed for an answer."""
        assert make(**{part: Down()}).ready() is False

    def test_what_is_asked_of_the_users_reaches_their_database(self, make):
        """No repository knows the answer by itself."""
        with closing(MongoStore("mongodb://127.0.0.1:1/tokenward", timeout=0.1)) as nowhere:
            assert make(users=MongoUserRepository(nowhere)).ready() is False


class TestWithUsers:
    def test_the_same_service_over_other_users(self, service):
        """Other people, the same issuer, keys and revocations; the first service is unchanged."""
        others = open_repositories("memory://", bcrypt_cost=4).users
        other = service.with_users(others)
        other.create_user("zoe", email="zoe@example.com", password=PASSWORD)
        token = login(other, "zoe")
        assert other.get_logged_in_user(token).username == "zoe"
        assert service.introspect_token(token).active is False
        assert service.get_logged_in_user(login(service)).username == "alice"
        request = LoginRequest(username="zoe", password=PASSWORD)
        assert other.introspect_token(others.authenticate_user(request)["access_token"]).active
        other.logout_user(token)
        assert other.introspect_token(token).active is False

    def test_sessions_are_those_of_the_other_users(self, service, clock):
        """A refresh token leads to a user of the store that it was handed out over."""
        others = open_repositories("memory://", bcrypt_cost=4, clock=clock).users
        other = service.with_users(others)
        other.create_user("zoe", email="zoe@example.com", password=PASSWORD)
        refreshed = other.refresh(log_in(other, "zoe").refresh_token)
        other.change_password(refreshed.access_token, PASSWORD, "another horse entirely")
        assert "zoe" == log_in(other, "zoe", "another horse entirely").user.username
        with pytest.raises(InvalidGrant):
            service.refresh(log_in(other, "zoe", "another horse entirely").refresh_token)
