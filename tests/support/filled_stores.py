"""Stores with something of everything in them."""

from tokenward._seal import Sealer
from tokenward.keys import KeyRing
from tokenward.repositories import open_repositories
from tokenward.repositories.base import KINDS

SECRET = "9f8a-77e1-quartz-lantern"
FAR = 2**32


def records(number, *, begin=0):
    """Return so many of each kind, as `Portable` has them, by kind."""
    numbers = range(begin, begin + number)
    return {
        "users": [
            {
                "id": f"user-{n:06}",
                "username": f"Name{n}",
                "username_key": f"name{n}",
                "email": None if n % 3 == 0 else f"n{n}@example.com",
                "email_key": None if n % 3 == 0 else f"n{n}@example.com",
                "hashed_password": None if n % 5 == 0 else f"$2b$04$not-a-hash-{n}",
                "is_active": n % 4 != 0,
                "email_verified": n % 2 == 0,
                "roles": ["editor"] if n % 2 else [],
                "token_version": n % 7,
                "created_at": 1_700_000_000 - n,
                "updated_at": 1_700_000_000,
            }
            for n in numbers
        ],
        "families": [
            {
                "id": f"family-{n:06}",
                "subject": f"user-{n:06}",
                "client_id": "tokenward",
                "scopes": ["orders:read"],
                "version": 0,
                "created_at": 1_700_000_000 - n,
                "used_at": 1_700_000_000,
                "expires_at": FAR,
                "ended": n % 2 == 0,
                "current": f"{n:064x}",
                "used": [f"{n + 2**40:064x}"],
            }
            for n in numbers
        ],
        "revocations": [{"id": f"jti-{n:06}", "expires_at": FAR} for n in numbers],
        "one_time_tokens": [
            {
                "id": f"{n + 2**50:064x}",
                "purpose": "reset_password",
                "subject": f"user-{n:06}",
                "expires_at": FAR,
            }
            for n in numbers
        ],
        "used_once": [{"id": f"assertion {n:06}", "expires_at": FAR} for n in numbers],
    }


def fill(url, number, *, keys=True):
    """Make a store with so many of each kind, and sealed signing keys."""
    repositories = open_repositories(url)
    try:
        for kind, some in records(number).items():
            repositories.store.put(kind, some)
        if keys:
            KeyRing.create(repositories.keys, "ES256", sealer=Sealer([SECRET], "signing keys"))
    finally:
        repositories.close()


def put(url, kind, some):
    """Put records into a store that is there."""
    repositories = open_repositories(url, create=False)
    try:
        repositories.store.put(kind, some)
    finally:
        repositories.close()


def everything(url):
    """Return what is in a store, in its order, and its signing keys."""
    repositories = open_repositories(url, create=False)
    try:
        found = {}
        for kind in KINDS:
            found[kind], after = [], None
            while True:
                some, after = repositories.store.records(kind, after=after)
                found[kind] += some
                if after is None:
                    break
        return found, sorted(repositories.keys.load()[1], key=lambda key: key.kid)
    finally:
        repositories.close()
