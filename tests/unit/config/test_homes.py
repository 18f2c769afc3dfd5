"""The new sections in each of the three homes, and in the plain functions."""

import pytest
from configurations import SECRET, introspection, service
from django.core.management import CommandError, call_command
from django.test import override_settings
from flask import Flask
from pydantic import SecretStr

from tokenward import app as plain
from tokenward.commands.homes import MappingHome, written_secrets
from tokenward.django import _state
from tokenward.errors import ConfigurationError
from tokenward.flask import Tokenward
from tokenward.flask._state import EXTENSION
from tokenward.testing import FakeAuthorizationServer

CACHE = {"url": "redis://127.0.0.1:1/0", "secrets": [SECRET]}
PASSWORD = "quartz-lantern-9f8a"


def mapping(**changes):
    """Return a configuration whose service and verifiers have a cache to share."""
    return {"credentials": [introspection()], "service": service(), "shared_cache": CACHE} | changes


def shared_by(service, authenticator):
    """Return the caches and buses of a service and of the verifiers beside it."""
    verifiers = [c.verifier for c in authenticator.credentials]
    parts = [v._revocations for v in verifiers] + [service._access._revocations]
    return {part._cache for part in parts}, {part._bus for part in parts}


@pytest.fixture
def by_flask():
    app = Flask("shop")
    app.config["TOKENWARD"] = mapping()
    Tokenward(app)
    state = app.extensions[EXTENSION]
    return state.service, state.authenticator


@pytest.fixture
def by_django():
    with override_settings(TOKENWARD=mapping()):
        parts = _state.parts()
        yield parts.service, parts.authenticator


@pytest.fixture
def by_configure():
    plain.configure(mapping())
    yield plain._defaults.service(), plain._defaults.authenticator()
    plain.configure()


@pytest.mark.parametrize("home", ["by_flask", "by_django", "by_configure"])
def test_service_and_verifiers_share_one_cache_and_one_bus(home, request):
    """One pool and one thread that listens, wherever the mapping is written."""
    caches, buses = shared_by(*request.getfixturevalue(home))
    assert (1, 1, False) == (len(caches), len(buses), None in caches | buses)


def test_the_plain_functions_share_nothing_with_what_was_configured_before(by_configure):
    """A new configuration has its own."""
    before = shared_by(*by_configure)
    plain.configure(mapping())
    now = shared_by(plain._defaults.service(), plain._defaults.authenticator())
    assert [True, True] == [a.isdisjoint(b) for a, b in zip(before, now, strict=True)]


def test_the_configured_endpoint_is_asked_whatever_stands_before_it():
    """An entry that names no issuer is guarded beside one that does, and is asked all the same."""
    with FakeAuthorizationServer() as server:
        auth = {
            "method": "client_secret_basic",
            "client_id": server.client_id,
            "client_secret": server.client_secret,
        }
        asked = introspection(
            introspection_endpoint=server.introspection_endpoint, client_auth=auth, audience="api"
        )
        named = introspection(issuer="https://other.example", source="cookie:other")
        plain.configure({"credentials": [asked, named]})
        try:
            assert "ada" == plain.introspect_configured(server.token(sub="ada"))["sub"]
        finally:
            plain.configure()


# --- secrets that are written out


def test_secrets_of_the_new_sections_are_known():
    """Each by its path, with what stands there; of what the program read itself nothing is said."""
    inner = {"method": "client_secret_post", "client_id": "a", "client_secret": {"env": "HOME"}}
    fetched = {"method": "client_credentials", "issuer": "https://as.example", "client_auth": inner}
    written = {
        "credentials": [
            introspection(
                client_auth={"method": "private_key_jwt", "client_id": "a", "private_key": SECRET}
            ),
            introspection(client_auth=fetched),
            introspection(
                client_auth={"method": "bearer", "token": SecretStr("from wherever it was")}
            ),
        ],
        "shared_cache": {"url": f"redis://:{PASSWORD}@h/0", "secrets": [SECRET, SECRET[::-1]]},
    }
    home = MappingHome("settings.TOKENWARD", written, "")

    assert [
        ("credentials[0].client_auth.private_key", SECRET),
        ("credentials[1].client_auth.client_auth.client_secret", {"env": "HOME"}),
        ("shared_cache.url", f"redis://:{PASSWORD}@h/0"),
        ("shared_cache.secrets[0]", SECRET),
        ("shared_cache.secrets[1]", SECRET[::-1]),
    ] == list(written_secrets(home.settings(), home))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h/0", []),
        ("redis://user:pw@h/0", ["shared_cache.url"]),
        ({"env": "CACHE_URL"}, ["shared_cache.url"]),
    ],
    ids=str,
)
def test_a_url_is_a_secret_if_it_holds_a_password(monkeypatch, url, expected):
    """One without may stand anywhere; where one comes from is always known."""
    monkeypatch.setenv("CACHE_URL", "redis://h/0")
    written = {"shared_cache": CACHE | {"url": url}}
    home = MappingHome("x", written, "")
    found = [path for path, _ in written_secrets(home.settings(), home)]
    assert [*expected, "shared_cache.secrets[0]"] == found


# --- the commands of the frameworks


def test_flask_examines_the_shared_cache():
    """`flask tokenward check` reaches for it."""
    app = Flask("shop")
    app.config["TOKENWARD"] = mapping(credentials=[{"type": "local"}])
    Tokenward(app)
    result = app.test_cli_runner().invoke(args=["tokenward", "check"])
    assert 3 == result.exit_code
    assert "FAIL shared_cache.url: Redis at redis://127.0.0.1:1/0" in result.output
    assert "warn shared_cache.secrets[0]: stands in app.config" in result.output


def test_django_examines_the_shared_cache(capsys):
    """`manage.py tokenward_check` does, too."""
    here = override_settings(TOKENWARD=mapping(credentials=[{"type": "local"}]))
    with here, pytest.raises(CommandError) as caught:
        call_command("tokenward_check")
    assert 3 == caught.value.returncode
    assert "FAIL shared_cache.url: Redis at redis://127.0.0.1:1/0" in capsys.readouterr().out


def test_django_checks_warn_of_secrets_that_are_written_out():
    """`manage.py check --deploy` names those of the new sections."""
    from tokenward.django.checks.deployment import check_deployment

    with override_settings(TOKENWARD=mapping()):
        named = [m.msg.split()[1] for m in check_deployment() if m.id == "tokenward.W007"]
    assert "shared_cache.secrets[0]" in named
    assert "shared_cache.url" not in named


def test_a_wrong_section_stops_each_home():
    """With the words of the home, and what to write."""
    wrong = mapping(shared_cache={"url": "redis://127.0.0.1:1/0"})
    app = Flask("shop")
    app.config["TOKENWARD"] = wrong
    with pytest.raises(ConfigurationError, match=r"shared_cache\.secrets: is missing"):
        Tokenward(app)
    with (
        override_settings(TOKENWARD=wrong),
        pytest.raises(ConfigurationError, match=r"shared_cache\.secrets: is missing"),
    ):
        _state.parts()
    with pytest.raises(ConfigurationError, match=r"shared_cache\.secrets: is missing"):
        plain.configure(wrong)
