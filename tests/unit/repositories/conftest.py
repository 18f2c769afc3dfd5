from __future__ import annotations

import pytest

from tokenward.repositories import open_repositories
from tokenward.schemas import RegisterRequest


@pytest.fixture
def path(tmp_path):
    """Where a store is, or is to be."""
    return tmp_path / "store.db"


@pytest.fixture
def open_store(path):
    """Opens the store at ``path`` with cheap hashing, and closes it at the end."""
    opened = []

    def open_(**options):
        repositories = open_repositories(f"sqlite:///{path}", bcrypt_cost=4, **options)
        opened.append(repositories)
        return repositories

    yield open_
    for repositories in opened:
        repositories.close()


@pytest.fixture
def register():
    """Adds a user by name."""

    def register_(repositories, username):
        return repositories.users.create(
            RegisterRequest(username=username, email=f"{username}@example.com", password="secret1")
        )

    return register_
