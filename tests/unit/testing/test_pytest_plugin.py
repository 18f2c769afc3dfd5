"""testing.pytest_plugin: the fixtures, and what they cost a test run that uses none."""

import os
import subprocess
import sys

import pytest
from flask import Flask

import tokenward.testing
from tokenward.authenticator import Authenticator, Credential, authorization
from tokenward.flask import Tokenward, current_principal, login_required
from tokenward.testing import StubVerifier

TWO_TESTS = """
from tokenward.authenticator import Authenticator
from tokenward.wsgi import AuthMiddleware

def app(environ, start_response):
    start_response("200 OK", [])
    return [environ["tokenward.principal"].subject.encode()]

guarded = AuthMiddleware(app, Authenticator())

def ask():
    return b"".join(guarded({"REQUEST_METHOD": "GET"}, lambda *_: None))

def test_one(login_as):
    login_as(guarded, "alice")
    login_as(guarded, "bob")
    assert ask() == b"bob"

def test_two():
    assert ask() == b""
"""

IMPORTS = """
import sys
import tokenward.testing.pytest_plugin
heavy = {"flask", "django", "werkzeug", "requests", "pydantic", "jwt", "cryptography", "bcrypt"}
print(sorted(heavy & set(sys.modules)), [m for m in sys.modules if m.startswith("tokenward")])
"""


def test_importing_the_plugin_imports_nothing_heavy():
    """Every pytest run on the machine imports it, whether or not it uses tokenward."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True, timeout=150
    )
    names = ["tokenward", "tokenward.testing", "tokenward.testing.pytest_plugin"]
    assert done.stdout.strip() == f"[] {names}"


def test_logins_of_the_fixture_end_with_the_test(tmp_path):
    """The next test finds nobody."""
    (tmp_path / "test_two.py").write_text(TWO_TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    # A run of its own: the Django project of this one is not there.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DJANGO_")}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=150, env=environment
    )
    assert "2 passed" in done.stdout


def test_the_login_fixture_takes_what_the_function_takes(login_as):
    """Scopes, roles, principals; it returns the handle."""
    app = Flask("shop")
    Tokenward(app, Authenticator(Credential(authorization(), StubVerifier({}))))
    app.get("/")(login_required(lambda: " ".join(sorted(current_principal.scopes))))
    with login_as(app, "alice", scopes=["b", "a"]) as login:
        assert login.principal.subject == "alice"
        assert app.test_client().get("/").text == "a b"


def test_the_issuer_fixture_runs_a_server_that_makes_tokens(fake_issuer, make_token):
    """On a loopback port, for the length of the test."""
    assert fake_issuer.issuer.startswith("http://127.0.0.1:")
    assert isinstance(make_token(sub="alice"), str)


def test_every_public_name_is_there_and_nothing_else():
    """What a test of a program may import."""
    assert sorted(tokenward.testing.__all__) == [
        "FakeAuthorizationServer",
        "FakeClock",
        "MemoryRevocationBus",
        "MemorySharedCache",
        "StubVerifier",
        "login_as",
        "override_authenticator",
    ]
    for name in tokenward.testing.__all__:
        assert getattr(tokenward.testing, name).__name__ == name
    assert set(tokenward.testing.__all__) <= set(dir(tokenward.testing))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = tokenward.testing.nothing
