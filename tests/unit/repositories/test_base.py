from __future__ import annotations

from datetime import UTC, datetime

import bcrypt
import pytest

from tokenward.errors import ConfigurationError
from tokenward.repositories import CounterRepository, TokenRepository, UserRepository
from tokenward.schemas import LoginRequest, User

NOW = datetime(2024, 1, 1, tzinfo=UTC)


class OwnRepository(UserRepository):
    """What somebody writes who has users already: the contract's methods and nothing else."""

    def __init__(self) -> None:
        # Nothing is handed up: a subclass need not know what the base keeps.
        self.users = {
            "alice": User(
                id="1",
                username="alice",
                hashed_password=bcrypt.hashpw(b"secret1", bcrypt.gensalt(4)).decode(),
                created_at=NOW,
                updated_at=NOW,
            )
        }

    def get_by_username(self, username):
        return self.users.get(username)

    def create(self, request, *, roles=(), is_active=True, email_verified=False):
        raise AssertionError

    def get_by_id(self, user_id):
        raise AssertionError

    get_by_email = get_active_users = count = get_by_id
    set_password = set_active = set_roles = set_email_verified = delete = get_by_id


def test_a_repository_of_ones_own_logs_people_in():
    """Looking up by name is all that a login asks of a store."""
    users = OwnRepository()
    user = users.verify_credentials(LoginRequest(username="alice", password="secret1"))
    assert user == users.users["alice"]
    assert users.verify_credentials(LoginRequest(username="alice", password="wrong")) is None
    assert users.verify_credentials(LoginRequest(username="bob", password="secret1")) is None


def test_a_repository_of_ones_own_may_keep_its_hashes():
    """Renewing a hash is offered to a store, not demanded."""
    users = OwnRepository()
    assert users.replace_hash(users.users["alice"], "$tw1$") is False


def test_a_repository_of_ones_own_is_told_what_it_lacks():
    """Without a service there is nothing that issues."""
    users = OwnRepository()
    with pytest.raises(ConfigurationError, match="issue"):
        users.authenticate_user(LoginRequest(username="alice", password="secret1"))
    users.issue = lambda user: f"token for {user.username}"
    answer = users.authenticate_user(LoginRequest(username="alice", password="secret1"))
    assert answer["access_token"] == "token for alice"


@pytest.mark.parametrize("contract", [UserRepository, TokenRepository, CounterRepository])
def test_a_repository_that_leaves_something_out_cannot_be_made(contract):
    """A missing method shows at start-up and not at the first request that needs it."""
    with pytest.raises(TypeError, match="abstract"):
        type("Partial", (contract,), {})()


class OwnTokens(TokenRepository):
    """What somebody writes who keeps tokens elsewhere: the contract's methods and nothing else."""

    def is_revoked(self, jti):
        return jti == "revoked"

    def family_active(self, family_id):
        return family_id == "active"

    def revoke(self, *arguments):
        raise AssertionError

    start_family = find_family = rotate = end_family = end_all = families = revoke
    use_once = put_one_time = take_one_time = purge_expired = revoke


@pytest.mark.parametrize(
    ("jti", "sid", "over"),
    [
        ("good", None, False),
        ("good", "active", False),
        ("good", "ended", True),
        ("revoked", None, True),
        ("revoked", "active", True),
    ],
)
def test_a_repository_of_ones_own_knows_what_is_over(jti, sid, over):
    """One query for both is offered to a store, not demanded."""
    assert OwnTokens().is_over(jti, sid) is over
