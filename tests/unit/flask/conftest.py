"""A Flask application behind a stub verifier."""

import pytest
from flask import Flask

from tokenward.authenticator import Authenticator, Credential, authorization, cookie
from tokenward.errors import AuthServiceUnavailable, TokenExpired
from tokenward.flask import Tokenward
from tokenward.principal import Principal
from tokenward.testing import StubVerifier

ALICE = Principal("alice", scopes={"read", "write"}, roles={"editor"}, username="alice")


@pytest.fixture
def verifier():
    return StubVerifier(
        {
            "alice": ALICE,
            "bob": Principal("bob"),
            "old": TokenExpired(),
            "down": AuthServiceUnavailable(retry_after=7),
        }
    )


@pytest.fixture
def make_authenticator(verifier):
    def make(**options):
        return Authenticator(
            Credential(authorization(), verifier),
            Credential(cookie("session"), verifier),
            **options,
        )

    return make


@pytest.fixture
def app():
    app = Flask("shop")
    app.testing = True
    return app


@pytest.fixture
def auth(app, make_authenticator):
    """The extension, on `app`, with default access "allow"."""
    return Tokenward(app, make_authenticator())


@pytest.fixture
def get(app):
    """Return a function that asks ``app`` for a path as the bearer of a token."""

    def get(path, token=None, **options):
        headers = dict(options.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        # Without its own jar, the client sends the Cookie header that it is given.
        return app.test_client(use_cookies=False).open(path, headers=headers, **options)

    return get
