"""One service on each store that is meant for production, attacked over HTTP."""

import itertools
import queue

import bcrypt
import pytest
from service_callers import PASSWORD, Caller, make_service

from tokenward.repositories import open_repositories

_numbers = itertools.count()


class Attacker(Caller):
    """A caller who can have as many accounts as wanted, and reads their letters."""

    def __init__(self, service, letters):
        super().__init__(service)
        self._letters = letters

    def newcomer(self, password=PASSWORD):
        """Open an account and return its name; its letter of welcome is thrown away."""
        name = f"person{next(_numbers)}"
        members = {"username": name, "email": f"{name}@example.com", "password": password}
        answer = self.post("/register", members)
        assert answer.status == 201, answer.json
        self.letter(name, "verify_email")
        return name

    def letter(self, name, purpose):
        """Return the one-time token of the next letter, which must be that one."""
        letter = self._letters.get(timeout=120)
        assert letter[:2] == (purpose, name)
        return letter[2]

    def count(self):
        return self.service.users.count()


@pytest.fixture(scope="module", params=["sqlite", pytest.param("mongo", marks=pytest.mark.peer)])
def stores(request, tmp_path_factory):
    if request.param == "mongo":
        url = request.getfixturevalue("mongo").new_url()
    else:
        url = f"sqlite:///{tmp_path_factory.mktemp('abuse')}/store.db"
    opened = open_repositories(url, create=True, bcrypt_cost=4)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def attacker(stores):
    letters = queue.SimpleQueue()
    service = make_service(
        stores,
        users=(),
        registration="open",
        deliver=lambda purpose, user, token: letters.put((purpose, user.username, token)),
    )
    return Attacker(service, letters)


@pytest.fixture
def hashes(monkeypatch):
    """Return the list that each hash that is computed adds its cost to."""
    done = []
    real_check, real_hash = bcrypt.checkpw, bcrypt.hashpw

    def checkpw(password, hashed):
        done.append(hashed.split(b"$")[2])
        return real_check(password, hashed)

    def hashpw(password, salt):
        done.append(salt.split(b"$")[2])
        return real_hash(password, salt)

    monkeypatch.setattr(bcrypt, "checkpw", checkpw)
    monkeypatch.setattr(bcrypt, "hashpw", hashpw)
    return done
