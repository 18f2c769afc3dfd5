"""The README's code is run, so that what a stranger pastes works."""

import re
import tomllib
from pathlib import Path

import pytest

from tokenward.config import Settings

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
SECRET = "f3a9c1e07b5d4826-of-a-test"


@pytest.fixture
def blocks(monkeypatch):
    """The README's Python blocks, run in order in one module."""
    monkeypatch.setenv("AS_SECRET", SECRET)
    names = {
        "__name__": "readme",
        "application": lambda _environ, _start_response: [b"inner"],
        # What startproject has written above.
        "INSTALLED_APPS": [],
        "MIDDLEWARE": [],
    }
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(compile(block, "README.md", "exec"), names)  # noqa: S102 - our own README
    return names


def test_the_flask_example_and_its_test_run(blocks, login_as):
    """The README's test passes on the README's application."""
    blocks["test_orders"](login_as)


def test_the_flask_example_refuses_who_presents_nothing(blocks):
    """Without login_as the example's view answers 401 with a bare challenge."""
    answer = blocks["app"].test_client().get("/orders")
    assert (401, 'Bearer realm="api"') == (answer.status_code, answer.headers["WWW-Authenticate"])


def test_the_wsgi_example_runs(blocks):
    """The wrapped application lets anonymous requests through and says who they are from."""
    started = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/"}
    body = b"".join(blocks["application"](environ, lambda *a: started.append(a)))
    assert b"inner" == body
    assert environ["tokenward.principal"].is_anonymous


def test_the_django_settings_are_a_configuration(blocks):
    """The mapping for settings.py parses, and maps a role that its one issuer asserts."""
    settings = Settings.model_validate(blocks["TOKENWARD"])
    assert (("admin",), ("https://as.example",)) == (settings.django.staff_roles, settings.issuers)


def test_the_toml_is_a_configuration(monkeypatch):
    """The file that the README shows parses into settings."""
    monkeypatch.setenv("ORDERS_SECRET", SECRET)
    (text,) = re.findall(r"\$ cat tokenward\.toml\n(.*?)\n\n", README, re.DOTALL)
    settings = Settings.model_validate(tomllib.loads(text))
    assert "orders" == settings.service.clients[0].client_id
