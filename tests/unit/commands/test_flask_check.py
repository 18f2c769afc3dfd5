"""`flask tokenward check`: what only the application knows: its views, and the sign-in page."""

import functools

import pytest
from flask import Flask
from flask.views import MethodView

from tokenward.flask import Tokenward, login_required, scopes_required


def wrapped(view):
    """Do nothing, as decorators of an application's own may."""

    @functools.wraps(view)
    def inner():
        return view()

    return inner


class Orders(MethodView):
    def get(self):
        return ""

    @login_required(live=True)
    def post(self):
        return ""


class Accounts(MethodView):
    decorators = (login_required(live=True),)

    def get(self):
        return ""


def view():
    return ""


@pytest.fixture
def check(server):
    """Check an application with these views; return the exit status and the views that fail."""

    def check(views, pages=None, **entry):
        app = Flask(__name__)
        known = {"type": "jwks", "issuer": server.issuer, "audience": "api"}
        app.config["TOKENWARD"] = {"credentials": [known | entry], "pages": pages}
        Tokenward(app)
        for name, function in views.items():
            app.add_url_rule(f"/{name}", name, function)
        result = app.test_cli_runner().invoke(args=["tokenward", "check"])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        failed = [line for line in result.output.splitlines() if line.startswith("FAIL ")]
        named = [line.removeprefix("FAIL view ").removeprefix("FAIL ") for line in failed]
        return result.exit_code, [line.split(":")[0] for line in named]

    return check


def test_views_that_ask_where_nobody_can_answer_are_a_failure(check):
    """Exit 1, each by its endpoint, however it says so."""
    live = login_required(live=True)
    views = {
        "plain": live(view),
        "below": scopes_required("a")(live(view)),
        "above": live(scopes_required("a")(view)),
        "around": wrapped(live(view)),
        "method": Orders.as_view("method"),
        "class": Accounts.as_view("class"),
        "cached": login_required(view),
        "open": view,
    }
    expected = ["plain", "below", "above", "around", "method", "class"]
    assert (1, expected) == check(views)


def test_views_that_ask_somebody_are_not(check, server):
    """An entry of type jwks with somebody to ask."""
    auth = {
        "method": "client_secret_basic",
        "client_id": "resource-server",
        "client_secret": server.client_secret,
    }
    views = {"plain": login_required(live=True)(view)}
    assert (0, []) == check(views, live={"client_auth": auth})


def test_views_that_ask_nobody_are_not(check):
    """Whatever the verifier can do."""
    assert (0, []) == check({"plain": login_required(view), "open": view})


def test_a_sign_in_page_that_no_view_is_called_after_is_a_failure(check):
    """Browsers would not be sent anywhere; what it is called is an endpoint."""
    views = {"sign_in": view}
    assert (0, []) == check(views, {"cookie": "shop"})
    assert (0, []) == check(views, {"cookie": "shop", "login_view": "sign_in"})
    for name in ("sign_inn", "/sign_in"):
        expected = (1, ["pages.login_view"])
        assert expected == check(views, {"cookie": "shop", "login_view": name})


def test_a_sign_in_page_whose_url_takes_arguments_is_a_failure(check):
    """Nobody would know which of them to send a browser to."""
    expected = (1, ["pages.login_view"])
    assert expected == check({"<lang>": view}, {"cookie": "shop", "login_view": "<lang>"})
