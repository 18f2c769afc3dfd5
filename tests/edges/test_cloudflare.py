"""Cloudflare Access through Flask, Django and WSGI, over a real server (RULES 27 to 30, 43).

The team's domain is a server on a loopback port, which serves its keys and identities.
"""

import json
import threading
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from types import ModuleType

import pytest
import waitress.server
from callers import by_asgi, by_call, by_socket
from cloudflare_team import CERTS, IDENTITY, TAG, Team, TeamServer
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.http import HttpResponse
from django.test import override_settings
from django.urls import path
from flask import Flask
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.views import APIView
from waitress import wasyncore

from tokenward.authenticator import Authenticator, Credential, authorization
from tokenward.cloudflare import CloudflareAccess
from tokenward.django import decorators as django_guards
from tokenward.django.drf import HasRoles, TokenwardAuthentication
from tokenward.errors import AuthServiceUnavailable, ConfigurationError, InvalidToken
from tokenward.flask import Tokenward, current_principal, login_required, public, roles_required
from tokenward.principal import Principal
from tokenward.testing import StubVerifier, override_authenticator
from tokenward.testing._loopback import Answer
from tokenward.wsgi import AuthMiddleware, require

METHODS = ["GET", "POST"]
ASSERTION = "Cf-Access-Jwt-Assertion"
DEV = "dev@acme.example"


@contextmanager
def flask_door(authenticator):
    app = Flask("shop")
    Tokenward(app, authenticator)

    def who():
        return current_principal.subject or "nobody"

    @public
    def opened():
        return who()

    guards = {
        "/": login_required,
        "/optional": login_required(optional=True),
        "/live": login_required(live=True),
        "/role": roles_required("writers"),
        "/unmarked": lambda view: view,
    }
    app.route("/open", methods=METHODS, endpoint="/open")(opened)
    for where, guard in guards.items():
        app.route(where, methods=METHODS, endpoint=where)(guard(who))
    app.route("/later", endpoint="later")(lambda: current_principal.require_roles("writers"))
    yield app


@contextmanager
def wsgi_door(authenticator):
    checks = {
        "/": require,
        "/optional": lambda environ: require(environ, optional=True),
        "/live": lambda environ: require(environ, live=True),
        "/role": lambda environ: require(environ, roles=["writers"]),
        "/later": lambda environ: environ["tokenward.principal"].require_roles("writers"),
    }

    def app(environ, start_response):
        checks.get(environ["PATH_INFO"], lambda environ: None)(environ)
        body = environ["tokenward.principal"].subject.encode() or b"nobody"
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    yield AuthMiddleware(app, authenticator)


def who(request):
    return HttpResponse(request.principal.subject or "nobody")


def opened(request):
    return who(request)


async def awho(request):
    return HttpResponse((await request.aprincipal()).subject or "nobody")


async def aopened(request):
    return await awho(request)


def later(request):
    return HttpResponse(str(request.principal.require_roles("writers")))


async def alater(request):
    return HttpResponse(str((await request.aprincipal()).require_roles("writers")))


def exempt(view):
    view.csrf_exempt = True
    return view


def urls(name, who, opened, later):
    module = ModuleType(name)
    module.urlpatterns = [
        path("", exempt(django_guards.login_required(who))),
        path("optional", exempt(django_guards.login_required(optional=True)(who))),
        path("live", exempt(django_guards.login_required(live=True)(who))),
        path("role", exempt(django_guards.roles_required("writers")(who))),
        path("open", exempt(django_guards.public(opened))),
        path("unmarked", exempt(who)),
        path("later", later),
    ]
    return module


class Live(TokenwardAuthentication):
    live = True


def rest(*permissions, source=TokenwardAuthentication):
    def get(self, request):
        return HttpResponse("nobody" if request.auth is None else request.auth.subject)

    members = {"get": get, "post": get, "authentication_classes": (source,)}
    return type("Who", (APIView,), members | {"permission_classes": permissions}).as_view()


REST = ModuleType("rest_urls")
REST.urlpatterns = [
    path("", rest(IsAuthenticated)),
    path("optional", rest(AllowAny)),
    path("live", rest(IsAuthenticated, source=Live)),
    path("role", rest(HasRoles.of("writers"))),
    path("open", django_guards.public(rest(AllowAny))),
    path("unmarked", rest(AllowAny)),
    path("later", later),
]


def django_door(urls, make):
    @contextmanager
    def door(authenticator):
        with ExitStack() as stack:
            section = {"credentials": [], "django": {"user": "stateless"}}
            stack.enter_context(override_settings(ROOT_URLCONF=urls, TOKENWARD=section))
            stack.enter_context(override_authenticator(authenticator))
            for signal in (request_started, request_finished):
                # No view here may touch the database, and this would.
                signal.disconnect(close_old_connections)
                stack.callback(signal.connect, close_old_connections)
            yield make()

    return door


SYNC, ASYNC = urls("sync_urls", who, opened, later), urls("async_urls", awho, aopened, alater)
DOORS = {
    "flask": (flask_door, by_call),
    "flask-socket": (flask_door, by_socket),
    "wsgi": (wsgi_door, by_call),
    "wsgi-socket": (wsgi_door, by_socket),
    "django": (django_door(SYNC, WSGIHandler), by_call),
    "django-socket": (django_door(SYNC, WSGIHandler), by_socket),
    "django-async": (django_door(ASYNC, ASGIHandler), by_asgi),
    "django-sync-under-asgi": (django_door(SYNC, ASGIHandler), by_asgi),
    "rest": (django_door(REST, WSGIHandler), by_call),
}


def seen_from(app, reach, peer):
    """Return ``app`` as it is when a server says that ``peer`` is at the other end."""
    if reach is by_asgi:

        async def seen(scope, receive, send):
            await app(scope | {"client": (peer, 50_000)}, receive, send)

        return seen
    return lambda environ, start: app(environ | {"REMOTE_ADDR": peer}, start)


@contextmanager
def by_waitress(app):
    """Serve a WSGI application on a free port, by a server that trusts no proxy by default."""
    channels = {}
    server = waitress.server.create_server(app, map=channels, host="127.0.0.1", port=0, threads=1)
    thread = threading.Thread(target=server.run)
    thread.start()

    def ask(**headers):
        connection = HTTPConnection("127.0.0.1", server.effective_port, timeout=120)
        try:
            connection.request("GET", "/", headers=headers)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    try:
        yield ask
    finally:
        server.trigger.pull_trigger(lambda: wasyncore.close_all(channels))
        thread.join()
        server.task_dispatcher.shutdown()


@pytest.fixture(scope="module")
def server():
    with TeamServer() as server:
        yield server


@pytest.fixture(autouse=True)
def _identities(server):
    """Begin each test with a domain that answers."""
    server.requests.clear()
    server.pages[CERTS] = Answer.json(200, server.team.certs)
    server.pages[IDENTITY] = Answer.json(200, {"groups": ["readers", {"name": "writers"}]})


@pytest.fixture
def team(server):
    return server.team


@pytest.fixture
def make(server):
    """Return a function that makes a `CloudflareAccess` of the server's; closed at the end."""
    made = []

    def make(**options):
        options = {"audience": TAG, "domain": server.issuer} | options
        made.append(CloudflareAccess("acme", **options))
        return made[-1]

    yield make
    for access in made:
        access.close()


@pytest.fixture
def open_(request, make):
    """Return a function that opens the door with credentials of ``make``, and asks through it."""
    door, reach = DOORS[request.param]
    with ExitStack() as stack:

        def open_(access=None, *, beside=(), peer=None, **options):
            access = access or make()
            places = (*access.credentials(cookie=True), *beside)
            app = stack.enter_context(door(Authenticator(*places, realm="shop", **options)))
            if peer is not None:
                app = seen_from(app, reach, peer)
            ask = stack.enter_context(reach(app))

            def send(target="/", *lines):
                method, _, where = target.rpartition(" ")
                return ask(method or "GET", where, lines)

            return send

        yield open_


# Sockets take their time; they show that servers hand over what the rules need.
QUICK = [name for name in DOORS if not name.endswith("socket")]


def through(names=QUICK):
    return pytest.mark.parametrize("open_", names, indirect=True)


BARE = 'Bearer realm="shop"'
INVALID = "The access token is invalid."
EXPIRED = "The access token has expired."
NOBODY = (
    401,
    BARE,
    (
        b'{"error":"not_authenticated","error_description":"Authentication is required.",'
        b'"detail":"Invalid CFA Token"}'
    ),
)


def refused(description=INVALID, detail=',"detail":"CFA token verification failed"'):
    body = f'{{"error":"invalid_token","error_description":"{description}"{detail}}}'
    said = f'{BARE}, error="invalid_token", error_description="{description}"'
    return 401, said, body.encode()


OTHER_SITE = (
    403,
    None,
    b'{"error":"cross_site_request","error_description":"The request comes from another site."}',
)
OUTAGE = (
    503,
    None,
    (
        b'{"error":"temporarily_unavailable",'
        b'"error_description":"The token cannot be checked right now; try again later."}'
    ),
)


def header(token):
    return (ASSERTION, token)


def cookie(token):
    return ("Cookie", f"CF_Authorization={token}")


def said(answer):
    return answer.status, answer.challenge, answer.body


def vary(answer):
    return {name.strip().lower() for name in answer.headers.get("vary", "").split(",")}


@through(DOORS)
def test_nothing_presented(open_):
    """The bare challenge, and the detail; other headers of Cloudflare's say nothing."""
    ask = open_()
    others = [
        (),
        (("Cf-Access-Authenticated-User-Email", "alice@acme.example"),),
        (header(""),),
        (cookie(""), ("Cf-Connecting-Ip", "127.0.0.1")),
        (("Cf-Access-Client-Id", "robot.access"), ("Cf-Access-Client-Secret", "x")),
        (("Authorization", "Bearer x"),),
    ]
    for lines in others:
        answer = ask("/", *lines)
        assert NOBODY == said(answer)
        assert "no-store" == answer.headers["cache-control"]
        assert vary(answer) >= {"cf-access-jwt-assertion", "cookie"}
    assert NOBODY == said(ask("/role"))
    assert (200, b"nobody") == said(ask("/optional"))[::2]


@through()
def test_a_view_that_demands_something_of_nobody_answers_the_same(open_):
    """Whoever raised the error."""
    assert NOBODY == said(open_()("/later"))


@through()
def test_let_in(open_, team):
    """A person and a service token, by the header or the cookie."""
    ask = open_()
    for token, who in (
        (team.person(), b"uuid-of-alice"),
        (team.service(), b"service:robot.access"),
    ):
        for line in (header(token), cookie(token)):
            answer = ask("/", line)
            assert (200, None, who) == said(answer)
            # By either it is the browser that stays signed in.
            assert "no-store" == answer.headers["cache-control"]
            assert vary(answer) >= {"cf-access-jwt-assertion", "cookie"}
            assert who == ask("/optional", line).body


@through()
def test_refused(open_, team):
    """The standard members and challenge, and the detail beside them."""
    ask = open_()
    for token, answer in (
        ("nonsense", refused()),
        (team.person(type="org"), refused()),
        (team.person(aud="another"), refused()),
        (team.person(iss="https://other.cloudflareaccess.com"), refused()),
        (team.person(sub="", email=None), refused()),
        (team.person(expires_in=-60), refused(EXPIRED)),
    ):
        for line in (header(token), cookie(token)):
            for where in ("/", "/optional", "/role"):
                assert answer == said(ask(where, line))


@through(DOORS)
def test_the_header_decides(open_, team):
    """Where both are there; one that is empty is not there."""
    ask = open_()
    alice, bob = team.person(), team.person("bob")
    assert b"uuid-of-alice" == ask("/", header(alice), cookie(bob)).body
    assert b"uuid-of-alice" == ask("/", header(alice), cookie("nonsense")).body
    assert refused() == said(ask("/", header("nonsense"), cookie(bob)))
    assert b"uuid-of-bob" == ask("/", header(""), cookie(bob)).body
    assert 400 == ask("/", header(f"{alice},{bob}"), cookie(bob)).status


@through()
def test_another_site_cannot_act_for_a_person(open_, team):
    """A service token is in no browser."""
    ask = open_()
    for line in (header(team.person()), cookie(team.person())):
        assert OTHER_SITE == said(ask("POST /", line))
        assert 200 == ask("POST /", line, ("Sec-Fetch-Site", "same-origin")).status
    for line in (header(team.service()), cookie(team.service())):
        assert b"service:robot.access" == ask("POST /", line).body


@through()
def test_an_outage(open_, server, team):
    """A 503 that says when to come back, and no detail."""
    server.pages[CERTS] = Answer(500)
    answer = open_()("/", header(team.person()))
    assert OUTAGE == said(answer)
    assert int(answer.headers["retry-after"]) >= 1


@through()
def test_closed_by_default(open_, team):
    """What declares nothing needs an assertion, and what is open looks at none."""
    ask = open_(default_access="deny", public=["/docs"])
    assert NOBODY == said(ask("/unmarked"))
    assert refused() == said(ask("/unmarked", header("nonsense")))
    assert b"uuid-of-alice" == ask("/unmarked", header(team.person())).body


@through(["flask", "django", "django-async", "rest"])
def test_open_views_look_at_no_assertion(open_):
    """Where the view says so."""
    ask = open_(default_access="deny")
    assert (200, b"nobody") == said(ask("/open", header("nonsense")))[::2]


@through()
def test_beside_another_credential(open_, team):
    """Its refusals have no detail; who presents nothing at all is told of both."""
    stub = StubVerifier({"good": Principal("bearer"), "down": AuthServiceUnavailable()})
    ask = open_(beside=[Credential(authorization(), stub)])
    assert b"bearer" == ask("/", ("Authorization", "Bearer good")).body
    assert refused(detail="") == said(ask("/", ("Authorization", "Bearer bad")))
    assert OUTAGE == said(ask("/", ("Authorization", "Bearer down")))
    assert 400 == ask("/", ("Authorization", "Bearer")).status
    assert b"detail" not in ask("/", ("Authorization", "Bearer")).body
    assert refused() == said(ask("/", header("nonsense"), ("Authorization", "Bearer good")))
    assert NOBODY == said(ask("/"))


@through()
def test_groups_as_roles(open_, make, server, team):
    """A person who is in the group; one who is not; and when nobody can say."""
    ask = open_(make(groups_as_roles=True))
    assert b"uuid-of-alice" == ask("/role", header(team.person())).body
    server.pages[IDENTITY] = Answer.json(200, {"groups": ["readers"]})
    lacking = ask("/role", header(team.person("bob")))
    assert 403 == lacking.status
    assert b"detail" not in lacking.body
    server.pages[IDENTITY] = Answer(500)
    assert OUTAGE == said(ask("/role", header(team.person("carol"))))
    assert b"service:robot.access" == ask("/", header(team.service())).body
    server.pages[IDENTITY] = Answer.json(401, {"err": "no session"})
    assert refused() == said(ask("/role", header(team.person("dave"))))
    sent = server.asked(IDENTITY)
    assert all(r.headers["cookie"].startswith("CF_Authorization=ey") for r in sent)


@pytest.fixture
def _development(monkeypatch):
    monkeypatch.setenv("TOKENWARD_ENV", "development")


@through(DOORS)
@pytest.mark.usefixtures("_development")
def test_the_developer(open_, make, team):
    """Whoever presents nothing at this very machine; what is presented still decides."""
    ask = open_(make(dev_user=DEV))
    for where in ("/", "/optional"):
        answer = ask(where)
        assert (200, None, DEV.encode()) == said(answer)
    assert vary(ask("/")) >= {"cf-access-jwt-assertion", "cookie"}
    assert DEV.encode() == ask("/", header("")).body
    assert b"uuid-of-alice" == ask("/", header(team.person())).body
    assert refused() == said(ask("/", header("nonsense")))
    assert 403 == ask("/role").status
    assert OTHER_SITE == said(ask("POST /"))
    assert OTHER_SITE == said(ask("POST /", ("Sec-Fetch-Site", "cross-site")))
    assert DEV.encode() == ask("POST /", ("Sec-Fetch-Site", "same-origin")).body
    for name in ("X-Forwarded-For", "Forwarded", "Via", "Cf-Ray", "X-Real-Ip", "X-Forwarded-New"):
        assert NOBODY == said(ask("/", (name, "127.0.0.1")))
        assert b"nobody" == ask("/optional", (name, "127.0.0.1")).body


@through()
@pytest.mark.usefixtures("_development")
def test_the_developer_asks_for_this_machine(open_, make):
    """By one of its names."""
    ask = open_(make(dev_user=DEV))
    for host in ("localhost:8000", "shop.localhost", "127.0.0.1:8000", "[::1]:8000", "testserver"):
        assert DEV.encode() == ask("/", ("Host", host)).body


@through()
@pytest.mark.usefixtures("_development")
def test_another_sites_name_leads_to_nobody(open_, make):
    """Neither a tunnel under its name, nor a site that leads its own name to this machine."""
    ask = open_(make(dev_user=DEV))
    for host in ("demo.ngrok.app", "evil.example:8000", "203.0.113.9"):
        assert NOBODY == said(ask("/", ("Host", host)))
        own = (("Host", host), ("Sec-Fetch-Site", "same-origin"))
        assert NOBODY == said(ask("POST /", *own))
        assert b"nobody" == ask("/optional", *own).body


@pytest.mark.parametrize("door", ["flask", "wsgi", "django"])
@pytest.mark.usefixtures("_development")
def test_a_server_that_takes_the_headers_of_proxies_away(make, door):
    """As waitress does: what the tunnel was asked for is still there."""
    authenticator = Authenticator(*make(dev_user=DEV).credentials())
    with DOORS[door][0](authenticator) as app, by_waitress(app) as ask:
        assert (200, DEV) == ask(Host="localhost:8000")
        forwarded = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Host": "demo.ngrok.app"}
        assert 401 == ask(Host="demo.ngrok.app", **forwarded)[0]
        assert 401 == ask(Host="evil.example")[0]


@through()
@pytest.mark.usefixtures("_development")
def test_the_developer_where_everything_is_closed(open_, make):
    """They come in as anybody does who has an assertion."""
    ask = open_(make(dev_user=DEV), default_access="deny")
    assert (200, DEV.encode()) == said(ask("/unmarked"))[::2]
    assert NOBODY == said(ask("/unmarked", ("Via", "1.1 proxy")))


@through()
@pytest.mark.usefixtures("_development")
def test_the_developer_is_at_this_machine(open_, make):
    """The peer is what the server says it is."""
    access = make(dev_user=DEV)
    assert DEV.encode() == open_(access, peer="::1")("/").body
    for peer in ("203.0.113.9", "10.0.0.1", "", "localhost"):
        assert NOBODY == said(open_(access, peer=peer)("/"))


@through()
def test_the_developer_is_nobody_in_production(open_, make, monkeypatch):
    """Though the configuration came along."""
    monkeypatch.setenv("TOKENWARD_ENV", "production")
    assert NOBODY == said(open_(make(dev_user=DEV))("/"))


@through()
@pytest.mark.usefixtures("_development")
def test_a_live_view_lets_nobody_in(open_, make, team):
    """It is a mistake of the set-up, for the developer and for everybody else."""
    ask = open_(make(dev_user=DEV))

    def status(*lines):
        try:
            return ask("/live", *lines).status
        except ConfigurationError:
            return 500

    assert (500, 500) == (status(), status(header(team.person())))
    assert 401 == status(("Via", "1.1 proxy"))


def test_identities_have_connections_of_their_own(make, server, team):
    """However often that fails, the keys are fetched all the same."""
    access = make(retries=0)
    server.pages[IDENTITY] = Answer(500)
    reasons = []
    for n in range(7):
        with pytest.raises(AuthServiceUnavailable) as caught:
            access.get_identity(team.person(str(n)))
        reasons.append(caught.value.reason)
    assert ["bad_response"] * 5 + ["circuit_open"] * 2 == reasons
    access.refresh()
    assert 2 == len(server.asked(CERTS))


def test_no_redirect_is_followed(make, server, team):
    """A token goes nowhere that an answer names."""
    with TeamServer() as elsewhere:
        server.pages[IDENTITY] = Answer(302, b"", {"Location": elsewhere.issuer + IDENTITY})
        with pytest.raises(AuthServiceUnavailable) as caught:
            make().get_identity(team.person())
        assert "redirects are not followed" in caught.value.hint
        assert [] == elsewhere.requests


def test_an_answer_is_bounded(make, server, team):
    """In size; a server that goes on and on is an outage."""
    server.pages[IDENTITY] = Answer.json(200, {"email": "a" * 1_100_000})
    with pytest.raises(AuthServiceUnavailable) as caught:
        make().get_identity(team.person())
    assert "too_large" == caught.value.reason


def test_another_teams_assertion_is_sent_to_nobody(make, server):
    """Not even for its keys."""
    stranger = Team("https://other.cloudflareaccess.com")
    with pytest.raises(InvalidToken):
        make().get_identity(stranger.person())
    assert [] == server.requests


def test_the_answers_are_json():
    """Of the expectations above, which are compared byte by byte."""
    for _, _, body in (NOBODY, OTHER_SITE, OUTAGE, refused(), refused(detail="")):
        assert {"error", "error_description"} <= json.loads(body).keys()
