"""testing.signin: logins without tokens, through the real decorators."""

import pytest
from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client

from tokenward.authenticator import Authenticator, Credential, authorization
from tokenward.errors import ConfigurationError
from tokenward.flask import (
    Tokenward,
    current_principal,
    login_required,
    roles_required,
    scopes_required,
)
from tokenward.principal import Principal
from tokenward.testing import StubVerifier, login_as, override_authenticator
from tokenward.wsgi import AuthMiddleware


def stub(**subjects):
    outcomes = {token: Principal(subject) for token, subject in subjects.items()}
    return Credential(authorization(), StubVerifier(outcomes))


def who():
    return current_principal.subject or "nobody"


@pytest.fixture
def app():
    app = Flask("shop")
    app.testing = True
    Tokenward(app, Authenticator(stub(tok="carol"), realm="shop"))
    app.get("/")(login_required(who))
    app.get("/read", endpoint="read")(scopes_required("read")(who))
    app.get("/edit", endpoint="edit")(roles_required("editor")(who))
    app.post("/", endpoint="post")(login_required(who))
    app.get("/plain", endpoint="plain")(lambda: "ok")
    return app


def wsgi(environ, start_response):
    start_response("200 OK", [])
    return [environ["tokenward.principal"].subject.encode() or b"nobody"]


def test_a_login_takes_effect_at_once_and_until_it_is_undone(app):
    """No ``with`` is needed."""
    client = app.test_client()
    login = login_as(app, "alice")
    assert login.principal == Principal("alice")
    assert client.get("/").text == "alice"
    login.undo()
    assert client.get("/").status_code == 401
    login.undo()
    assert client.get("/", headers={"Authorization": "Bearer tok"}).text == "carol"


def test_a_login_is_a_context_manager(app):
    """It ends with an error too."""
    client = app.test_client()
    with login_as(app, "alice") as login:
        assert client.get("/").text == login.principal.subject
    assert client.get("/").status_code == 401
    with pytest.raises(ZeroDivisionError), login_as(app, "alice"):
        raise ZeroDivisionError
    assert client.get("/").status_code == 401


def test_the_real_decorators_decide(app):
    """Scopes and roles are checked, and the answers are the real ones."""
    client = app.test_client()
    with login_as(app, "alice", scopes={"read"}):
        assert client.get("/read").text == "alice"
        refused = client.get("/edit")
        assert (refused.status_code, refused.json["error"]) == (403, "insufficient_scope")
        assert 'realm="shop"' in refused.headers["WWW-Authenticate"]
    with login_as(app, "alice", roles=["editor"]):
        assert client.get("/edit").text == "alice"
        assert client.get("/read").status_code == 403


def test_a_login_needs_no_proof_of_the_site(app):
    """It stands for a token in Authorization."""
    with login_as(app, "alice"):
        response = app.test_client().post("/")
    assert (response.text, response.headers["Vary"]) == ("alice", "Authorization")


def test_a_principal_may_be_given_whole(app):
    """With more granted, if the test says so."""
    given = Principal("alice", issuer="https://as.example", scopes={"write"})
    with login_as(app, given) as login:
        assert login.principal == given
    with login_as(app, given, scopes=["read"], roles=["editor"]) as login:
        assert login.principal.scopes == {"read", "write"}
        assert login.principal.roles == {"editor"}
        assert login.principal.issuer == "https://as.example"
    with pytest.raises(TypeError, match="not one string"):
        login_as(app, "alice", scopes="read")


def test_a_later_login_goes_first_and_ends_in_any_order(app):
    """Each takes back only itself."""
    client = app.test_client()
    first, second = login_as(app, "first"), login_as(app, "second")
    assert client.get("/").text == "second"
    first.undo()
    assert client.get("/").text == "second"
    second.undo()
    assert client.get("/").status_code == 401


def test_a_login_goes_before_a_presented_token(app):
    """The test says who asks."""
    with login_as(app, "alice"):
        response = app.test_client().get("/", headers={"Authorization": "Bearer bad"})
    assert response.text == "alice"


def test_a_client_is_logged_in_alone(app):
    """Two people, two clients, one application."""
    alice, bob, nobody = app.test_client(), app.test_client(), app.test_client()
    login_as(alice, "alice")
    login = login_as(bob, "bob")
    assert (alice.get("/").text, bob.get("/").text) == ("alice", "bob")
    assert nobody.get("/").status_code == 401
    assert nobody.get("/", headers={"Authorization": "Bearer tok"}).text == "carol"
    login.undo()
    assert bob.get("/").status_code == 401
    assert alice.get("/").text == "alice"


def test_logins_of_one_client_are_stacked(app):
    """Undoing the inner one brings the outer one back."""
    client = app.test_client()
    with login_as(client, "alice"):
        with login_as(client, "admin"):
            assert client.get("/").text == "admin"
        assert client.get("/").text == "alice"
    assert client.get("/").status_code == 401


def test_nobody_can_log_in_by_a_header_they_guess(app):
    """Only the client that was logged in knows its ticket."""
    login_as(app.test_client(), "alice")
    headers = {"Tokenward-Test-Login": "alice"}
    assert app.test_client().get("/", headers=headers).status_code == 401


@pytest.mark.parametrize(
    "wrap", [lambda app: app, ProxyFix, Client, lambda app: Client(ProxyFix(app))]
)
def test_a_wsgi_application_is_found_behind_its_wrappers(wrap):
    """Through middleware and werkzeug's client."""
    app = AuthMiddleware(wsgi, Authenticator(stub(), default_access="deny"))
    with login_as(wrap(app), "alice"):
        assert Client(app).get("/").text == "alice"
    assert Client(app).get("/").status_code == 401


def test_a_flask_application_behind_the_middleware_knows_the_login_too(app):
    """Both are told."""
    app.wsgi_app = AuthMiddleware(app.wsgi_app, Authenticator(stub(), default_access="deny"))
    for target in (app, app.test_client(), app.wsgi_app):
        client = target if hasattr(target, "get") and target is not app else app.test_client()
        with login_as(target, "alice"):
            assert client.get("/").text == "alice"
        assert client.get("/").status_code == 401


@pytest.mark.parametrize("target", [object(), Flask("bare"), wsgi, None])
def test_where_nothing_of_tokenward_is_found_it_says_so(target):
    """A login without effect would make a test pass for the wrong reason."""
    with pytest.raises(ConfigurationError, match="found nothing of tokenward in"):
        login_as(target, "alice")


def test_an_override_replaces_every_authenticator(app):
    """Of Flask and WSGI, with its own realm and rules; and ends."""
    middleware = AuthMiddleware(wsgi, Authenticator(stub(tok="carol")))
    other = Authenticator(stub(other="dora"), realm="other", default_access="deny")
    headers = {"Authorization": "Bearer other"}
    with override_authenticator(other) as given:
        assert given is other
        for client in (app.test_client(), Client(middleware)):
            assert client.get("/", headers=headers).text == "dora"
            refused = client.get("/", headers={"Authorization": "Bearer tok"})
            assert refused.status_code == 401
            assert 'realm="other"' in refused.headers["WWW-Authenticate"]
    assert app.test_client().get("/", headers=headers).status_code == 401
    assert Client(middleware).get("/", headers={"Authorization": "Bearer tok"}).text == "carol"


def test_an_override_that_denies_does_so_everywhere(app):
    """Also in applications that allow, and in those that are made meanwhile."""
    client = app.test_client()
    assert client.get("/plain").text == "ok"
    with override_authenticator(Authenticator(stub(), default_access="deny")):
        assert client.get("/plain").status_code == 401
        later = Flask("later")
        Tokenward(later, Authenticator(stub()))
        later.get("/")(lambda: "ok")
        assert later.test_client().get("/").status_code == 401
    assert client.get("/plain").text == "ok"
    assert later.test_client().get("/").text == "ok"


def test_an_override_is_a_decorator_too(app):
    """For a whole test."""
    authenticator = Authenticator(stub(other="dora"))

    @override_authenticator(authenticator)
    def check():
        return app.test_client().get("/", headers={"Authorization": "Bearer other"}).text

    assert check() == "dora"
    assert app.test_client().get("/", headers={"Authorization": "Bearer x"}).status_code == 401
