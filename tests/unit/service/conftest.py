"""Services over new stores: in memory, and where a test asks for it in SQLite too."""

import pytest
from auth_services import ISSUER, PASSWORD, Clock, Post, Throttle

from tokenward.keys import KeyRing
from tokenward.passwords import PasswordHasher
from tokenward.repositories import open_repositories
from tokenward.service import AuthService


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(params=["memory"])
def stores(request, tmp_path, clock):
    """Return new, empty stores; of another kind where a test parametrises this."""
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/tokens.db"
    repositories = open_repositories(url, bcrypt_cost=4, clock=clock)
    yield repositories
    repositories.close()


@pytest.fixture
def make(clock, tmp_path):
    """Return a function that builds a service over new, empty stores in memory."""

    def build(**options):
        stores = open_repositories("memory://", bcrypt_cost=4, clock=clock)
        options = {
            "keys": KeyRing.generate(clock=clock),
            "tokens": stores.tokens,
            "issuer": ISSUER,
            "audience": "orders",
            "registration": "open",
            "clock": clock,
        } | options
        return AuthService(options.pop("users", stores.users), **options)

    return build


@pytest.fixture
def service(make):
    service = make()
    service.create_user("alice", email="alice@example.com", password=PASSWORD, roles=["editor"])
    return service


class Interrupted(PasswordHasher):
    """Has something else happen once, while it hashes."""

    meanwhile = None

    def hash(self, password):
        meanwhile, self.meanwhile = self.meanwhile, None
        hashed = super().hash(password)
        if meanwhile is not None:
            meanwhile()
        return hashed


@pytest.fixture
def hashing():
    """Return a hasher; what its attribute ``meanwhile`` is set to is called while it hashes."""
    return Interrupted(cost=4)


@pytest.fixture
def post():
    return Post()


@pytest.fixture
def throttle():
    return Throttle()
