"""What the tests of the auth service are about: one issuer, its password, its clock."""

import json
import logging
import secrets

from tokenward.errors import AuthServiceUnavailable
from tokenward.schemas import LoginRequest, RegisterRequest

ISSUER = "https://auth.example"
PASSWORD = "correct horse battery"
OTHER_PASSWORD = "another horse entirely"
SECRET = "9f8a-77e1-quartz-lantern"
START = 1_800_000_000


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now


def log_in(service, username="alice", password=PASSWORD, **options):
    """Return the answer of a login."""
    return service.login_user(LoginRequest(username=username, password=password), **options)


def login(service, username="alice", password=PASSWORD, **options):
    """Return the access token of a login."""
    return log_in(service, username, password, **options).access_token


def registration(username="bob", password=PASSWORD):
    """Return a request to register."""
    return RegisterRequest(username=username, email=f"{username}@example.com", password=password)


def unknown_token():
    """Return what could be a refresh token or a one-time token, and is none."""
    return secrets.token_urlsafe(32)


class Down:
    """A store that cannot be asked."""

    issue = None

    def __getattr__(self, name):
        def refuse(*args, **kwargs):
            raise AuthServiceUnavailable("the store is down", reason="store")

        return refuse


class Stumbling:
    """A store that fails where it is told to, and works everywhere else."""

    def __init__(self, store):
        self._store = store
        self.failing = set()
        self.asked = []

    def __getattr__(self, name):
        def ask(*args, **kwargs):
            self.asked.append(name)
            if name in self.failing:
                raise AuthServiceUnavailable("the store is busy", reason="store")
            return getattr(self._store, name)(*args, **kwargs)

        return ask


class Throttle:
    """A throttle that writes down what it is told, and refuses what it is told to."""

    def __init__(self):
        self.told = []
        self.refusing = None

    def attempt(self, action, name, address, *, vouched=False):
        self.told.append((action, name, address, vouched))
        if self.refusing is not None:
            raise self.refusing
        return _Attempt(self.told, action)


class _Attempt:
    def __init__(self, told, action):
        self._told, self._action = told, action

    def succeeded(self):
        self._told.append((self._action, "succeeded"))


class Post:
    """A ``deliver`` that keeps what it is given."""

    def __init__(self):
        self.sent = []
        self.failure = None

    def __call__(self, purpose, user, token):
        if self.failure is not None:
            raise self.failure
        self.sent.append((purpose, user.username, token))

    def token(self, service, purpose):
        """Return the last token that was sent for a purpose."""
        assert service.flush()
        return [token for sent, _, token in self.sent if sent == purpose][-1]


class Shared:
    """A shared cache and a revocation bus that keep what they are given, in order."""

    secrets = ("quartz-lantern-9f8a77e1",)

    def __init__(self, log):
        self.log = log
        self.failure = None

    def _called(self, *call):
        self.log.append(call)
        if self.failure is not None:
            raise self.failure

    def get_many(self, keys):
        raise AssertionError("the issuer looks nothing up")

    def set(self, key, value, *, ttl):
        self._called("set", key, value)

    def delete(self, key):
        raise AssertionError("a tombstone says it")

    def publish(self, message):
        self._called("publish", message)

    def subscribe(self, callback, *, missed):
        raise AssertionError("the issuer listens to nobody")


def audit_lines(caplog):
    """Return what is in the audit trail, line by line."""
    records = [r for r in caplog.records if r.name == "tokenward.audit"]
    return [json.loads(record.getMessage()) for record in records]


def audited(caplog):
    """Have the audit trail kept from now on."""
    caplog.set_level(logging.INFO, "tokenward.audit")
