"""tokenward.flask signals: who hears what, and that it decides nothing (RULES 51)."""

import functools
import logging

import pytest

from tokenward.errors import Forbidden
from tokenward.flask import (
    current_principal,
    login_required,
    scopes_required,
    token_refused,
    user_authenticated,
)


@pytest.fixture
def heard(app, auth):
    """What both signals say of an application with three views, and when its views run."""
    heard = []

    def view():
        heard.append("view")
        return current_principal.subject

    app.get("/")(login_required(view))
    app.get("/admin", endpoint="admin")(scopes_required("admin")(view))

    def hear(name, sender, **named):
        heard.append((name, sender, named))

    authenticated = functools.partial(hear, "authenticated")
    refused = functools.partial(hear, "refused")
    with user_authenticated.connected_to(authenticated), token_refused.connected_to(refused):
        yield heard


def test_user_authenticated_is_sent_before_the_view_runs(app, get, heard):
    """By the application, with the principal, and nothing else."""
    get("/", "alice")
    (name, sender, named), then = heard
    assert ("authenticated", app) == (name, sender)
    assert ["principal"] == list(named)
    assert "alice" == named["principal"].subject
    assert "view" == then


def test_authentication_comes_before_what_it_is_too_little_for(app, get, heard):
    """First who it is, then that it is not enough, with the error."""
    assert 403 == get("/admin", "bob").status_code
    assert ["authenticated", "refused"] == [name for name, *_ in heard]
    assert "InsufficientScope" == type(heard[1][2]["error"]).__name__


@pytest.mark.parametrize("raised", [ValueError("oops"), Forbidden("not today")], ids=type)
@pytest.mark.parametrize(
    ("path", "token", "status"),
    [("/", "alice", 200), ("/", "old", 401), ("/admin", "bob", 403)],
)
def test_a_receiver_that_fails_changes_nothing(get, heard, caplog, raised, path, token, status):  # noqa: PLR0917
    """It is logged, the others are told, and the request goes on as decided."""

    def failing(_sender, **_named):
        raise raised

    with (
        user_authenticated.connected_to(failing),
        token_refused.connected_to(failing),
        caplog.at_level(logging.ERROR, "tokenward.flask"),
    ):
        assert status == get(path, token).status_code
    assert "failing" in caplog.text
    assert heard


def test_neither_does_one_without_a_name_or_a_log_handler_that_fails(get, heard):
    """Whatever it is."""

    class Broken(logging.Handler):
        def emit(self, _record):
            raise ValueError

    def failing(_sender, **_named):
        raise ValueError

    handler = Broken()
    logging.getLogger().addHandler(handler)
    nameless = functools.partial(failing)
    try:
        with user_authenticated.connected_to(nameless):
            assert 200 == get("/", "alice").status_code
    finally:
        logging.getLogger().removeHandler(handler)


def test_an_async_receiver_is_told(get, heard):
    """As an async view is run."""
    told = []

    async def hear(_sender, principal):
        told.append(principal.subject)

    with user_authenticated.connected_to(hear):
        assert "alice" == get("/", "alice").text
    assert ["alice"] == told


def test_a_muted_signal_tells_nobody(get, heard):
    """As blinker means it."""
    with user_authenticated.muted():
        assert 200 == get("/", "alice").status_code
    assert ["view"] == heard


def test_a_receiver_of_another_application_hears_nothing(app, get, heard):
    """The sender is the application."""
    told = []

    def hear(_sender, **_named):
        told.append(1)

    with user_authenticated.connected_to(hear, sender=object()):
        get("/", "alice")
    assert [] == told
