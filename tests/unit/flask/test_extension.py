"""tokenward.flask.Tokenward: set-up, deny by default, errors, proxies, signals, Vary."""

import logging
import threading

import pytest
from flask import Blueprint, Flask, abort, g, render_template_string, session
from flask.views import MethodView

import tokenward.flask
from tokenward.authenticator import Authenticator, Credential, header
from tokenward.errors import (
    AuthError,
    ConfigurationError,
    Forbidden,
    InvalidToken,
    NotAuthenticated,
    UserNotFound,
)
from tokenward.flask import (
    Tokenward,
    current_principal,
    current_user,
    login_required,
    public,
    scopes_required,
    token_refused,
    user_authenticated,
)
from tokenward.introspection import IntrospectionVerifier
from tokenward.principal import ANONYMOUS, Principal
from tokenward.schemas import PublicUser
from tokenward.testing import StubVerifier

CONFIG = {
    "realm": "shop",
    "credentials": [
        {
            "type": "introspection",
            "introspection_endpoint": "https://as.example/introspect",
            "client_auth": {
                "method": "client_secret_basic",
                "client_id": "shop",
                "client_secret": "9f8a-77e1-quartz-lantern",
            },
            "audience": "shop",
        }
    ],
}


def who():
    return current_principal.subject or "nobody"


def test_the_public_names_are_exactly_these():
    """Programs import them from here."""
    assert sorted(tokenward.flask.__all__) == [
        "Tokenward",
        "auth_service_blueprint",
        "clear_login",
        "current_principal",
        "current_token",
        "current_user",
        "login_required",
        "public",
        "roles_required",
        "safe_next",
        "scopes_required",
        "set_login",
        "token_refused",
        "user_authenticated",
    ]
    assert all(hasattr(tokenward.flask, name) for name in tokenward.flask.__all__)


def test_the_authenticator_comes_from_the_configuration(app):
    """One mapping, read when the extension is made."""
    app.config["TOKENWARD"] = CONFIG
    Tokenward(app)
    state = app.extensions["tokenward"]
    assert state.authenticator.realm == "shop"
    assert isinstance(state.authenticator.credentials[0].verifier, IntrospectionVerifier)
    assert state.service is None


def test_a_service_section_makes_a_service_whose_tokens_local_entries_verify(app):
    """The same process, the same store."""
    app.config["TOKENWARD"] = {
        "credentials": [{"type": "local"}],
        "service": {
            "issuer": "https://auth.example",
            "audience": "shop",
            "store": "memory://",
            "password": {"bcrypt_cost": 4},
        },
    }
    Tokenward(app)
    state = app.extensions["tokenward"]
    assert state.service.issuer == "https://auth.example"


@pytest.mark.parametrize("config", [{}, {"TOKENWARD": None}])
def test_without_authenticator_and_configuration_set_up_fails(app, config):
    """It says what to write where."""
    app.config.update(config)
    with pytest.raises(ConfigurationError, match=r'app\.config\["TOKENWARD"\]'):
        Tokenward(app)


def test_a_wrong_configuration_fails_at_set_up(app):
    """With the path of the setting."""
    app.config["TOKENWARD"] = {"relam": "shop"}
    with pytest.raises(ConfigurationError, match="relam"):
        Tokenward(app)
    assert "tokenward" not in app.extensions


def test_one_extension_serves_several_applications(make_authenticator):
    """An application factory calls init_app."""
    auth = Tokenward()
    apps = [Flask("a"), Flask("b")]
    for app in apps:
        auth.init_app(app, make_authenticator(realm=app.name))
        app.get("/")(login_required(who))
    challenges = [app.test_client().get("/").headers["WWW-Authenticate"] for app in apps]
    assert challenges == ['Bearer realm="a"', 'Bearer realm="b"']


def test_a_second_init_app_replaces_the_first_even_after_requests(app, make_authenticator, get):
    """And registers nothing twice."""
    auth = Tokenward(app, make_authenticator())
    app.get("/")(login_required(who))
    app.get("/open", endpoint="open")(who)
    assert get("/", "alice").text == "alice"
    stub = StubVerifier({"carol": Principal("carol")})
    other = Authenticator(Credential(header("X-T"), stub, ambient=False), default_access="deny")
    auth.init_app(app, other)
    auth.init_app(app, other)
    assert get("/", "alice").status_code == 401
    assert get("/", headers={"X-T": "carol"}).text == "carol"
    assert get("/open").status_code == 401
    assert len(app.before_request_funcs[None]) == 1


# --- deny by default ---------------------------------------------------------------------------


@pytest.fixture
def denying(app, make_authenticator):
    Tokenward(app, make_authenticator(default_access="deny", public=["/health", "/files/*"]))

    @app.route("/plain", methods=["GET", "POST"])
    def plain():
        return who()

    @app.get("/open")
    @public
    def open_to_all():
        return who()

    @app.get("/maybe")
    @login_required(optional=True)
    def maybe():
        return who()

    @app.get("/guarded")
    @scopes_required("read")
    def guarded():
        return who()

    app.get("/health")(lambda: "ok")
    return app


@pytest.mark.parametrize(
    ("path", "token", "status"),
    [
        ("/plain", None, 401),
        ("/plain", "alice", 200),
        ("/plain", "old", 401),
        ("/guarded", None, 401),
        ("/guarded", "alice", 200),
        ("/guarded", "bob", 403),
        ("/maybe", None, 200),
        ("/maybe", "old", 401),
        ("/open", None, 200),
        ("/open", "old", 200),
        ("/health", None, 200),
        ("/health", "old", 200),
        ("/unknown", None, 404),
        ("/unknown", "old", 404),
        ("/static/shop.css", None, 401),
        ("/static/shop.css", "alice", 404),
    ],
)
@pytest.mark.usefixtures("denying")
def test_deny_opens_only_what_says_so(get, path, token, status):
    """Undeclared views and static files are closed; unknown URLs stay 404."""
    assert get(path, token).status_code == status


@pytest.mark.usefixtures("denying")
def test_deny_leaves_405_and_redirects_to_the_router(app, get):
    """Nothing runs for them."""
    app.get("/folder/", endpoint="folder")(who)
    assert get("/open", method="POST").status_code == 405
    assert get("/folder").status_code == 308


@pytest.mark.usefixtures("denying")
def test_deny_lets_preflights_through_and_no_other_options(get):
    """Which Flask answers by itself."""
    preflight = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    assert get("/plain", method="OPTIONS", headers=preflight).status_code == 200
    assert get("/plain", method="OPTIONS").status_code == 401


def test_deny_comes_before_the_applications_own_hooks(app, make_authenticator, get):
    """Nothing of it runs for a request that is refused, whatever was registered first."""
    ran = []
    app.before_request(lambda: ran.append("before"))
    Tokenward(app, make_authenticator(default_access="deny"))
    app.before_request(lambda: ran.append("after"))
    app.get("/")(who)
    assert get("/").status_code == 401
    assert ran == []
    assert get("/", "alice").status_code == 200
    assert ran == ["before", "after"]


def test_public_opens_a_class_based_view(denying, get):
    """On the class, or among its decorators."""

    @public
    class One(MethodView):
        def get(self):
            return "one"

    class Two(MethodView):
        decorators = (public,)

        def get(self):
            return "two"

    denying.add_url_rule("/one", view_func=One.as_view("one"))
    denying.add_url_rule("/two", view_func=Two.as_view("two"))
    assert (get("/one").text, get("/two").text) == ("one", "two")


def test_credentials_are_not_looked_at_on_a_public_view(denying, get, verifier):
    """So that nobody is known there."""
    assert get("/open", "alice").text == "nobody"
    assert get("/health", "alice").status_code == 200
    assert verifier.calls == []
    assert "Vary" not in get("/open", "alice").headers


def test_static_files_are_opened_by_a_rule(app, make_authenticator, get, tmp_path):
    """Or by public(app.view_functions["static"])."""
    (tmp_path / "a.css").write_text("a")
    app.static_folder = str(tmp_path)
    Tokenward(app, make_authenticator(default_access="deny", public=["/static/*"]))
    response = get("/static/a.css")
    assert (response.status_code, response.text) == (200, "a")
    response.close()


def test_cross_site_forms_are_refused_on_undeclared_views_too(denying, get):
    """The cookie was attached by the browser."""
    response = get("/plain", method="POST", headers={"Cookie": "session=alice"})
    assert (response.status_code, response.json["error"]) == (403, "cross_site_request")


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [{}, {"TESTING": True}, {"PROPAGATE_EXCEPTIONS": True}, {"DEBUG": True}],
    ids=lambda config: "".join(config) or "production",
)
def test_an_auth_error_from_anywhere_in_a_view_is_answered(app, auth, get, config):
    """Under every setting that shows other exceptions as tracebacks."""
    app.testing = False
    app.config.update(config)

    @app.get("/")
    def view():
        raise Forbidden("a hint for the log")

    response = get("/")
    assert (response.status_code, response.json["error"]) == (403, "forbidden")
    assert "hint" not in response.text
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("before", [True, False])
def test_the_applications_own_error_handler_wins(app, make_authenticator, get, before):
    """Whether it was registered before the extension or after."""

    def handle(error):
        return {"own": error.reason}, 418

    if before:
        app.register_error_handler(AuthError, handle)
    Tokenward(app, make_authenticator())
    if not before:
        app.register_error_handler(AuthError, handle)
    app.get("/")(login_required(who))
    assert (get("/").status_code, get("/").json) == (418, {"own": "not_authenticated"})


def test_a_handler_of_a_blueprint_or_of_one_error_wins_there(app, auth, get):
    """As Flask chooses them."""
    pages = Blueprint("pages", "pages", url_prefix="/pages")
    pages.register_error_handler(NotAuthenticated, lambda _error: ("sign in", 302))
    pages.get("/")(login_required(who))
    app.register_blueprint(pages)
    app.get("/")(login_required(who))
    app.register_error_handler(InvalidToken, lambda _error: ("own", 401))
    assert get("/pages/").text == "sign in"
    assert get("/").json["error"] == "not_authenticated"
    assert get("/", "old").text == "own"


def test_a_handler_of_every_exception_does_not_take_ours(app, auth, get):
    """Ours is the more specific one; other exceptions are its."""
    app.register_error_handler(Exception, lambda _error: ("oops", 500))
    app.get("/")(login_required(who))
    app.get("/broken")(lambda: 1 / 0)
    assert get("/").status_code == 401
    assert get("/broken").text == "oops"


def test_http_errors_of_flask_stay_flasks(app, auth, get):
    """abort(403) is not ours."""

    @app.get("/")
    @login_required
    def view():
        abort(403)

    assert get("/", "alice").content_type.startswith("text/html")


# --- who asks ------------------------------------------------------------------------------------


def test_without_a_guard_nobody_is_known(app, auth, get, verifier):
    """The proxies look at nothing by themselves."""
    app.get("/")(lambda: f"{who()} {current_user == ANONYMOUS} {bool(current_principal)}")
    assert get("/", "alice").text == "nobody True True"
    assert verifier.calls == []


def test_current_user_is_what_the_loader_returns(app, auth, get):
    """Asked once a request, and only for somebody."""
    asked = []

    @auth.user_loader
    def load(principal):
        asked.append(principal.subject)
        return Principal(f"user of {principal.subject}")

    @app.get("/")
    @login_required(optional=True)
    def view():
        if current_user.is_anonymous:
            return "nobody"
        return f"{current_user.subject} {current_user.subject}"

    assert get("/").text == "nobody"
    assert asked == []
    assert get("/", "alice").text == "user of alice user of alice"
    assert asked == ["alice"]


def test_without_a_loaders_answer_it_is_the_issuers_user_or_the_principal(app, auth, get, verifier):
    """The nearest thing there is."""
    user = PublicUser(id="1", username="dora")
    verifier._outcomes["dora"] = Principal("dora", user=user)
    app.get("/")(login_required(lambda: type(current_user._get_current_object()).__name__))
    assert get("/", "dora").text == "PublicUser"
    assert get("/", "alice").text == "Principal"
    auth.user_loader(lambda _principal: None)
    assert get("/", "dora").text == "PublicUser"


def test_a_loader_may_refuse(app, auth, get):
    """A user who is gone here is answered like any refusal."""

    @auth.user_loader
    def load(principal):
        raise UserNotFound

    app.get("/")(login_required(lambda: str(current_user.name)))
    assert get("/", "alice").json["error"] == "invalid_token"


def test_templates_know_the_three_names(app, auth, get):
    """In every template, without passing them."""
    text = "{{ current_principal.subject }} {{ current_user.subject }} {{ current_token or '-' }}"
    app.get("/")(login_required(optional=True)(lambda: render_template_string(text)))
    assert get("/", "alice").text == "alice alice alice"
    assert get("/").text == "  -"


def test_one_request_never_sees_another_ones_principal(app, auth, get):
    """Even when a test keeps one application context around several requests."""
    app.get("/")(login_required(optional=True)(who))
    app.get("/plain", endpoint="plain")(who)
    with app.app_context():
        assert get("/", "alice").text == "alice"
        assert get("/").text == "nobody"
        assert get("/", "bob").text == "bob"
        assert get("/plain").text == "nobody"
        assert get("/", "old").status_code == 401


def test_the_token_is_not_kept_in_g(app, auth):
    """A debugger shows what is in g."""
    with app.test_request_context(headers={"Authorization": "Bearer alice"}):
        auth.require()
        kept = [getattr(g.tokenward, name) for name in type(g.tokenward).__slots__]
        assert "alice" not in [value for value in kept if isinstance(value, str)]
        assert current_principal.subject == "alice"


def test_threads_see_their_own_request(app, auth):
    """Eight at once, each with its own token."""
    auth.init_app(
        app,
        Authenticator(
            Credential(
                header("X-T"),
                StubVerifier({str(n): Principal(str(n)) for n in range(8)}),
                ambient=False,
            )
        ),
    )
    barrier = threading.Barrier(8)

    @app.get("/")
    @login_required
    def view():
        barrier.wait(90)
        return who()

    seen = {}

    def ask(n):
        seen[n] = app.test_client().get("/", headers={"X-T": n}).text

    threads = [threading.Thread(target=ask, args=(str(n),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert seen == {str(n): str(n) for n in range(8)}


# --- signals, Vary, logs -------------------------------------------------------------------------


def test_user_authenticated_is_sent_once_a_request(app, auth, get):
    """With the application and the principal; not again when a view asks the issuer too."""
    app.get("/")(login_required(login_required(live=True)(who)))
    heard = []

    def hear(sender, principal):
        heard.append((sender, principal.subject))

    with user_authenticated.connected_to(hear):
        get("/", "alice")
        get("/")
        get("/", "old")
    assert heard == [(app, "alice")]


def test_token_refused_is_sent_for_refusals_and_for_nothing_else(app, auth, get):
    """Not when nothing came, and not for an outage."""
    app.get("/")(scopes_required("read")(who))
    heard = []

    def hear(sender, error):
        heard.append((sender, type(error).__name__))

    with token_refused.connected_to(hear):
        for token in (None, "alice", "old", "down", "bob", "a b"):
            get("/", token)
    assert heard == [
        (app, "TokenExpired"),
        (app, "InsufficientScope"),
        (app, "InvalidAuthorizationHeader"),
    ]


@pytest.mark.parametrize("token", [None, "alice", "old", "bob", "down"])
def test_vary_is_on_every_response_that_looked_at_credentials(app, auth, get, token):
    """Whatever came of it."""
    app.get("/")(scopes_required("read")(who))
    assert get("/", token).headers["Vary"] == "Authorization, Cookie"


def test_vary_joins_what_the_view_says(app, auth, get):
    """Each name once, in one header."""

    @app.get("/")
    @login_required
    def view():
        return "x", {"vary": "Accept-Encoding, authorization"}

    names = get("/", "alice").headers.getlist("Vary")
    assert len(names) == 1
    assert [name.strip().lower() for name in names[0].split(",")] == [
        "accept-encoding",
        "authorization",
        "cookie",
    ]


def test_vary_survives_flasks_own_session(app, auth, get):
    """Flask adds Cookie later."""
    app.secret_key = "for this test only"

    @app.get("/")
    @login_required
    def view():
        session["seen"] = True
        return "x"

    response = get("/", "alice")
    assert {"Authorization", "Cookie"} <= {n.strip() for n in response.headers["Vary"].split(",")}


def test_a_view_that_looks_at_nothing_has_no_vary(app, auth, get):
    """It answers everybody alike."""
    app.get("/")(who)
    assert "Vary" not in get("/", "alice").headers


def test_no_token_is_logged(app, auth, get, caplog):
    """At any level."""
    caplog.set_level(logging.DEBUG)
    app.get("/")(login_required(who))
    get("/", "unknown-but-secret-token")
    assert "unknown-but-secret-token" not in caplog.text
