"""Settings in which nobody is trusted: the program starts, and says so."""

import pytest
from benchmarks.ports import free_port
from configurations import introspection, jwks, parsed, service
from flask import Flask

from tokenward.commands.doctor import examine
from tokenward.commands.homes import MappingHome
from tokenward.config import Settings, build_authenticator, build_service
from tokenward.flask import Tokenward

LOGIN = {
    "issuer": "https://auth.example",
    "client_id": "shop",
    "client_secret": "correct-horse-battery-staple-9",
}
ADVICE = "so every request is one of nobody; add one"
NOBODY = f"The configuration of tokenward has no credentials, {ADVICE}"


@pytest.fixture
def warned(caplog):
    """Return a function that returns what was said of the configuration so far."""

    def warned():
        return [
            (record.levelname, record.getMessage())
            for record in caplog.records
            if record.name == "tokenward.config"
        ]

    return warned


@pytest.mark.parametrize("mapping", [{}, {"credentials": []}, {"realm": "x", "public": ["/"]}])
def test_settings_in_which_nobody_is_trusted_are_warned_of(warned, mapping):
    """Once, as the authenticator is made."""
    made = build_authenticator(Settings.model_validate(mapping))

    assert () == made.credentials
    assert [("WARNING", NOBODY)] == warned()


@pytest.mark.parametrize(
    "settings",
    [
        lambda: parsed(introspection()),
        lambda: parsed(jwks()),
        lambda: parsed(service=service()),
        lambda: parsed(service=service(), pages={"cookie": "shop"}),
        lambda: parsed(django={"login": LOGIN}),
    ],
    ids=["introspection", "jwks", "a service", "a service with pages", "logins elsewhere"],
)
def test_settings_in_which_somebody_is_trusted_are_not(warned, settings):
    """Tokens may be the service's own, and people sign in where there is a login."""
    build_authenticator(settings())

    assert [] == warned()


def test_a_service_that_is_handed_in_is_reason_enough(warned):
    """It may serve what issues tokens, in a program that takes none."""
    made = build_service(parsed(service=service()))
    build_authenticator(parsed(), service=made)

    assert [] == warned()


def test_an_application_is_warned_as_it_starts_and_no_more(warned):
    """Not at each of its requests."""
    app = Flask("shop")
    app.config["TOKENWARD"] = {"default_access": "deny"}
    Tokenward(app)
    app.add_url_rule("/", view_func=lambda: "")
    assert [("WARNING", NOBODY)] == warned()

    headers = {"Authorization": "Bearer good"}
    statuses = [app.test_client().get("/", headers=headers).status_code for _ in range(3)]

    assert [401] * 3 == statuses
    assert [("WARNING", NOBODY)] == warned()


def test_the_doctor_says_the_same_of_the_same():
    """Word for word, as a warning; and nothing where people sign in elsewhere."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    warned = [f"none, {ADVICE}"]
    for mapping, said in (({}, warned), ({"django": {"login": LOGIN | {"issuer": nowhere}}}, [])):
        home = MappingHome("settings.TOKENWARD", mapping, "manage.py tokenward_store init")
        found = [f for f in examine(home) if f.setting == "credentials"]

        assert said == [f.text for f in found if f.level == "warn"]
