"""tokenward.flask decorators: who may call a view (RULES 27, 30)."""

import functools

import pytest
from flask import jsonify
from flask.views import MethodView, View

from tokenward.errors import ConfigurationError
from tokenward.flask import (
    Tokenward,
    current_principal,
    current_token,
    login_required,
    public,
    roles_required,
    scopes_required,
)

pytestmark = pytest.mark.usefixtures("auth")


def who():
    return current_principal.subject or "nobody"


@pytest.mark.parametrize(
    ("token", "status"), [(None, 401), ("alice", 200), ("old", 401), ("down", 503), ("a b", 400)]
)
def test_login_required_lets_only_good_tokens_through(app, get, token, status):
    """Nothing, good, refused, unknowable, malformed."""
    app.get("/")(login_required(who))
    response = get("/", token)
    assert response.status_code == status
    assert (response.text == "alice") is (status == 200)


@pytest.mark.parametrize(
    ("token", "status", "text"),
    [(None, 200, "nobody"), ("alice", 200, "alice"), ("old", 401, None), ("down", 503, None)],
)
def test_optional_swallows_only_that_nothing_was_presented(app, get, token, status, text):
    """A refusal and an outage stay what they are."""
    app.get("/")(login_required(optional=True)(who))
    response = get("/", token)
    assert response.status_code == status
    assert text is None or response.text == text


def test_live_asks_the_issuer(app, get, verifier):
    """Only for the views that say so."""
    app.get("/live", endpoint="live")(login_required(live=True)(who))
    app.get("/")(login_required(who))
    get("/live", "alice")
    get("/", "alice")
    assert verifier.calls == [("alice", True), ("alice", False)]


@pytest.mark.parametrize(
    ("decorator", "token", "status"),
    [
        (scopes_required("read"), "alice", 200),
        (scopes_required("read", "write"), "alice", 200),
        (scopes_required("read", "admin"), "alice", 403),
        (scopes_required("read"), "bob", 403),
        (scopes_required("read"), None, 401),
        (scopes_required(any_of=("admin", "read")), "alice", 200),
        (scopes_required(any_of=("admin", "own")), "alice", 403),
        (scopes_required("read", any_of=["admin"]), "alice", 403),
        (roles_required("editor"), "alice", 200),
        (roles_required("editor", "owner"), "alice", 403),
        (roles_required(any_of=("owner", "editor")), "alice", 200),
        (roles_required(any_of=("owner",)), "alice", 403),
        (roles_required("editor"), None, 401),
    ],
)
def test_scopes_and_roles_are_checked_and_authenticate_by_themselves(
    app, get, decorator, token, status
):
    """Without any login_required."""
    app.get("/")(decorator(who))
    assert get("/", token).status_code == status


@pytest.mark.parametrize(
    "decorators",
    [
        (login_required, scopes_required("read"), roles_required("editor")),
        (roles_required("editor"), scopes_required("read"), login_required),
        (scopes_required("read"), login_required(optional=True)),
        (login_required(optional=True), scopes_required("read")),
    ],
)
def test_decorators_work_in_any_order_and_verify_once(app, get, verifier, decorators):
    """The strictest of them decides, wherever it stands."""
    app.get("/")(functools.reduce(lambda view, decorate: decorate(view), decorators, who))
    assert get("/", "alice").text == "alice"
    assert len(verifier.calls) == 1
    assert get("/", "bob").status_code == 403
    assert get("/").status_code == 401


def test_a_live_view_below_another_decorator_asks_again(app, get, verifier):
    """What was cached is not good enough for it."""
    app.get("/")(login_required(login_required(live=True)(who)))
    assert get("/", "alice").text == "alice"
    assert verifier.calls == [("alice", False), ("alice", True)]


def test_async_views_are_guarded_and_awaited(app, get):
    """The refusal comes before anything of the view runs."""

    @app.get("/")
    @login_required
    @scopes_required("read")
    async def view():
        return who()

    assert get("/", "alice").text == "alice"
    assert get("/", "bob").status_code == 403
    assert get("/").status_code == 401


def test_class_based_views_are_guarded_by_their_decorators(app, get):
    """Whole, or method by method."""

    class Orders(MethodView):
        decorators = (login_required,)

        def get(self):
            return who()

        @scopes_required("admin")
        def post(self):
            raise AssertionError

    app.add_url_rule("/", view_func=Orders.as_view("orders"))
    assert get("/").status_code == 401
    assert get("/", "alice").text == "alice"
    assert get("/", "alice", method="POST").status_code == 403


def test_a_class_cannot_be_decorated():
    """It would be called like a function, and never be a view."""

    class Orders(MethodView):
        pass

    with pytest.raises(ConfigurationError, match="decorators = \\[login_required\\]"):
        login_required(Orders)


def test_require_guards_methods_and_before_request(app, auth, get):
    """It returns the principal, and takes the same demands."""

    class Orders(MethodView):
        def get(self):
            return auth.require(scopes=["read"], roles=["editor"]).subject

        def post(self):
            return auth.require(optional=True).subject or "nobody"

    app.add_url_rule("/", view_func=Orders.as_view("orders"))
    assert get("/", "alice").text == "alice"
    assert get("/", "bob").status_code == 403
    assert get("/").status_code == 401
    assert get("/", method="POST").text == "nobody"
    assert get("/", "old", method="POST").status_code == 401


def test_require_in_before_request_covers_every_view(app, auth, get):
    """A refusal there is answered too."""
    app.before_request(lambda: auth.require(live=True) and None)
    app.get("/")(who)
    assert get("/").status_code == 401
    assert get("/", "alice").text == "alice"


@pytest.mark.parametrize("options", [{"scopes": "read"}, {"roles": "editor"}])
def test_require_takes_no_single_string(app, auth, options):
    """Its characters would be demanded."""
    with app.test_request_context(), pytest.raises(ConfigurationError):
        auth.require(**options)


@pytest.mark.parametrize("decorator", [scopes_required, roles_required])
def test_scopes_and_roles_cannot_be_used_bare(decorator):
    """They would take the view for a name."""
    with pytest.raises(ConfigurationError, match="needs names"):
        decorator(who)


def test_guarded_views_keep_their_name_and_document():
    """Flask makes the endpoint from the name."""

    def orders():
        """List orders."""

    guarded = login_required(scopes_required("read")(orders))
    assert (guarded.__name__, guarded.__doc__) == ("orders", "List orders.")
    assert public(orders) is orders


def test_arguments_and_results_pass_through(app, get):
    """A guard is not seen from inside the view."""

    @app.get("/<int:number>/<name>")
    @login_required
    def view(number, name):
        return jsonify(number=number, name=name), 202, {"X-Own": "1"}

    response = get("/7/x", "alice")
    assert (response.status_code, response.json) == (202, {"number": 7, "name": "x"})
    assert response.headers["X-Own"] == "1"


def test_head_follows_get(app, get):
    """The same decision, without a body."""
    app.get("/")(login_required(who))
    refused, allowed = get("/", method="HEAD"), get("/", "alice", method="HEAD")
    assert (refused.status_code, refused.data) == (401, b"")
    assert (allowed.status_code, allowed.data) == (200, b"")


PREFLIGHT = {"Origin": "https://a.example", "Access-Control-Request-Method": "PUT"}


def test_a_preflight_is_not_refused(app, get):
    """Browsers send it without credentials, and the real request after it."""
    app.route("/", methods=["GET", "PUT"])(login_required(who))
    assert get("/", method="OPTIONS", headers=PREFLIGHT).status_code == 200


def test_a_view_is_not_run_for_a_preflight(app, get):
    """It would do for nobody what it does for a GET; and any other OPTIONS request is refused."""

    @app.route("/", methods=["GET", "OPTIONS"])
    @scopes_required("read")
    def view():
        return who()

    answer = get("/", "alice", method="OPTIONS", headers=PREFLIGHT)
    assert (answer.status_code, answer.data) == (204, b"")
    assert get("/", method="OPTIONS").status_code == 401
    assert get("/", headers=PREFLIGHT).status_code == 401


def test_without_the_extension_a_guarded_view_says_what_to_do(get):
    """It never runs unguarded."""
    from flask import Flask

    bare = Flask("bare")
    bare.testing = True
    bare.get("/")(login_required(who))
    with pytest.raises(ConfigurationError, match="call Tokenward\\(app\\)"):
        bare.test_client().get("/")


def test_the_token_is_at_hand_for_calls_to_other_services(app, get):
    """Only while it authenticated the request."""
    app.get("/")(login_required(optional=True)(lambda: f"{current_token} {bool(current_token)}"))
    assert get("/", "alice").text == "alice True"
    assert get("/").text == "None False"
    assert get("/", headers={"Cookie": "session=bob"}).text == "bob True"


def test_a_live_refusal_ends_what_was_decided_before(app, auth, get, verifier):
    """Once the issuer says no, nothing in the request goes by the cached yes."""
    from tokenward.errors import InvalidToken, TokenRevoked
    from tokenward.flask import current_principal

    after = []

    @app.get("/")
    def view():
        auth.require()
        verifier._outcomes["alice"] = TokenRevoked()
        try:
            auth.require(live=True)
        except InvalidToken:
            after.append(current_principal.is_authenticated)
        auth.require()
        return "in"

    assert 401 == get("/", "alice").status_code
    assert [False] == after


def test_a_live_view_is_verified_once_under_deny(app, make_authenticator, get, verifier):
    """The first decision is the live one."""
    from tokenward.flask import Tokenward

    Tokenward(app, make_authenticator(default_access="deny"))

    @app.get("/")
    @login_required(live=True)
    def view():
        return "in"

    assert 200 == get("/", "alice").status_code
    assert [("alice", True)] == verifier.calls


def test_who_derives_from_an_open_view_is_closed(app, make_authenticator, get):
    """Only the class that says so is open."""

    @public
    class Opened(View):
        def dispatch_request(self):
            return "open"

    class Derived(Opened):
        pass

    Tokenward(app, make_authenticator(default_access="deny"))
    app.add_url_rule("/open", view_func=Opened.as_view("open"))
    app.add_url_rule("/derived", view_func=Derived.as_view("derived"))
    assert get("/open").status_code == 200
    assert get("/derived").status_code == 401
