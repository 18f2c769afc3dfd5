"""The setting `on_event`: who is told what happens."""

import logging
import re
import subprocess
import sys

import pytest
from configurations import ISSUER, introspection, parsed, refused, service

from tokenward.config import build_authenticator, build_service, build_shared
from tokenward.errors import ConfigurationError, InvalidCredentials, InvalidToken
from tokenward.protocols import Event
from tokenward.schemas import LoginRequest
from tokenward.testing import FakeAuthorizationServer

EVENT = Event("verify", "https://as.example", 0.001, "ok")

MODULE = """
import enum
seen = []
def record(event):
    seen.append(event)
async def record_later(event):
    pass
class Record:
    def __call__(self, event):
        seen.append(event)
    class inner:
        pass
    @staticmethod
    def other(event):
        seen.append(("other", event))
record_too = Record()
number = 5
"""


@pytest.fixture
def watching(tmp_path, monkeypatch):
    """Make a module of the application's, and forget it afterwards."""
    (tmp_path / "watching_shop.py").write_text(MODULE)
    (tmp_path / "broken_shop.py").write_text("raise RuntimeError('the-secret-of-a-module')")
    (tmp_path / "missing_shop.py").write_text("import no_such_module_at_all")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("watching_shop", "broken_shop", "missing_shop"):
        sys.modules.pop(name, None)


def seen():
    return sys.modules["watching_shop"].seen


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("watching_shop:record", [EVENT]),
        ("watching_shop:record_too", [EVENT]),
        ("watching_shop:Record.other", [("other", EVENT)]),
        (["watching_shop:record"], [EVENT]),
        (("watching_shop:record", "watching_shop:record_too"), [EVENT, EVENT]),
    ],
    ids=str,
)
def test_a_callable_of_your_own(watching, written, expected):
    """A function, an object that is called, a member of something; one or several."""
    build_shared(parsed(on_event=written)).on_event(EVENT)
    assert expected == seen()


def test_without_it_nobody_is_told():
    """The seam stays unset, so that it costs nothing."""
    assert build_shared(parsed(introspection())).on_event is None


def test_verifiers_are_given_it(watching):
    """Each verification is told, by the name of the issuer."""
    with FakeAuthorizationServer() as server:
        auth = {
            "method": "client_secret_basic",
            "client_id": server.client_id,
            "client_secret": server.client_secret,
        }
        entry = introspection(
            introspection_endpoint=..., issuer=server.issuer, client_auth=auth, audience="api"
        )
        settings = parsed(entry, on_event="watching_shop:record")
        (credential,) = build_authenticator(settings).credentials
        credential.verifier.verify(server.token())
        issuer = server.issuer
    assert ("verify", issuer, "ok") in [(e.kind, e.verifier, e.outcome) for e in seen()]


def test_the_service_is_given_it(watching):
    """A login is told."""
    ours = build_service(parsed(service=service(), on_event="watching_shop:record"))
    with pytest.raises(InvalidCredentials):
        ours.login_user(LoginRequest(username="nobody", password="lantern-9"))
    assert [("login", ISSUER)] == [(event.kind, event.verifier) for event in seen()]


def test_log(caplog):
    """Each event is one line of the logger `tokenward.observe`."""
    caplog.set_level(logging.DEBUG, "tokenward.observe")
    build_shared(parsed(on_event="log")).on_event(EVENT)
    (record,) = caplog.records
    assert ("tokenward.observe", True) == (record.name, '"verify"' in record.getMessage())


def test_one_that_fails_keeps_none_of_the_others_from_being_told(watching):
    """Each is told by itself."""
    settings = parsed(on_event=["watching_shop:number.__add__", "watching_shop:record"])
    build_shared(settings).on_event(EVENT)
    assert [EVENT] == seen()


PROMETHEUS = """
from prometheus_client import generate_latest
from tokenward.config import Settings, build_authenticator, build_shared
from tokenward.testing import FakeAuthorizationServer

with FakeAuthorizationServer() as server:
    auth = {"method": "client_secret_basic", "client_id": server.client_id,
            "client_secret": server.client_secret}
    entry = {"type": "introspection", "introspection_endpoint": server.introspection_endpoint,
             "client_auth": auth, "audience": "api", "issuer": server.issuer}
    mapping = {"credentials": [entry], "on_event": ["prometheus", "log"]}
    build_shared(Settings.model_validate(mapping))
    made = build_authenticator(Settings.model_validate(mapping))
    verifier = made.credentials[0].verifier
    for number in range(3):
        verifier.verify(server.token())
    print(generate_latest().decode().replace(server.issuer, "ISSUER"))
"""


def test_prometheus():
    """Its metrics are in the library's registry, once for however many configurations."""
    done = subprocess.run(
        [sys.executable, "-c", PROMETHEUS], capture_output=True, text=True, check=True, timeout=150
    )
    assert 'tokenward_verify_total{outcome="ok",verifier="ISSUER"} 3.0' in done.stdout
    assert re.search(r"^tokenward_cache_entries [1-9]", done.stdout, re.MULTILINE)


def test_without_prometheus_client_it_says_what_to_install():
    """The extra is named as pip takes it, behind the name of the setting."""
    program = (
        "import sys; sys.modules['prometheus_client'] = None\n"
        "from tokenward.config import Settings, build_shared\n"
        "from tokenward.errors import ConfigurationError\n"
        "try: build_shared(Settings.model_validate({'on_event': 'prometheus'}))\n"
        "except ConfigurationError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=150
    )
    assert done.stdout.startswith("on_event: ")
    assert "pip install 'tokenward[metrics]'" in done.stdout


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("no_such_shop:record", "cannot be imported (ModuleNotFoundError: No module named"),
        ("missing_shop:record", "cannot be imported (ModuleNotFoundError: No module named"),
        ("broken_shop:record", "cannot be imported (RuntimeError)"),
        ("watching_shop:recrod", "cannot be imported (AttributeError)"),
        ("watching_shop:number", "is no function"),
        ("watching_shop:Record", "is a class"),
        ("watching_shop:record_later", "is async"),
    ],
)
def test_what_cannot_be_called_stops_the_start(watching, written, message):
    """The path, why not, and what to write; nothing that the module said."""
    settings = parsed(introspection(), on_event=["log", written])
    with pytest.raises(ConfigurationError) as caught:
        build_authenticator(settings)

    assert str(caught.value).startswith(f"on_event: {written!r} {message}")
    assert "write MODULE:NAME of a function of one Event" in str(caught.value)
    assert "the-secret-of-a-module" not in str(caught.value)
    assert (None, None) == (caught.value.__cause__, caught.value.__context__)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("shop.metrics.record", "is neither 'log', 'prometheus' nor MODULE:NAME; write"),
        ("shop.metrics:", "nor MODULE:NAME"),
        (":record", "nor MODULE:NAME"),
        ("shop metrics:record", "nor MODULE:NAME"),
        ("a:b:c", "nor MODULE:NAME"),
        ("", "nor MODULE:NAME"),
        ("promethius", "did you mean 'prometheus'?"),
        ("logs", "did you mean 'log'?"),
        (["log", "x"], "nor MODULE:NAME"),
        (5, "on_event"),
        ([5], "on_event[0]: "),
        ({"log": True}, "on_event"),
    ],
    ids=repr,
)
def test_what_cannot_be_meant(written, message):
    """It fails in the settings already, with the nearest right name."""
    told = refused({"on_event": written})
    assert told.startswith("on_event")
    assert message in told


def test_a_misspelt_setting_is_named():
    """With the right name."""
    assert "did you mean 'on_event'?" in refused({"on_events": "log"})


def test_nothing_is_imported_for_settings_alone(watching):
    """Parsing runs no code of the application's; building does."""
    parsed(on_event="broken_shop:record")
    assert "broken_shop" not in sys.modules


def test_what_is_not_configured_is_not_imported():
    """A process without a cache and observers loads neither drivers nor observers."""
    program = (
        "import sys, tokenward.config as c\n"
        "c.build_authenticator(c.Settings.model_validate({'realm': 'x'}))\n"
        "unwanted = ('redis', 'prometheus_client', 'tokenward.redis_cache', 'tokenward.observe')\n"
        "print([name for name in unwanted if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=150
    )
    assert "[]\n" == done.stdout


def test_a_refusal_is_as_it_was(watching):
    """An observer that raises changes no outcome (RULES 51)."""
    with FakeAuthorizationServer() as server:
        auth = {
            "method": "client_secret_basic",
            "client_id": server.client_id,
            "client_secret": server.client_secret,
        }
        entry = introspection(
            introspection_endpoint=server.introspection_endpoint, client_auth=auth, audience="api"
        )
        settings = parsed(entry, on_event="watching_shop:number.__floordiv__")
        verifier = build_authenticator(settings).credentials[0].verifier
        assert "ada" == verifier.verify(server.token(sub="ada")).subject
        with pytest.raises(InvalidToken):
            verifier.verify("made-up")
