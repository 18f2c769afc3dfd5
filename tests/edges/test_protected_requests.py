"""The same request through every door: status, challenge and body are equal (RULES 26 to 30).

A door is an application with the paths that `VIEWS` lists, and a way to reach it. Another framework
joins by a line in `DOORS`; some stand behind a real socket, where repeated headers really are sent.
"""

import json
from contextlib import ExitStack, contextmanager

import pytest
from callers import by_asgi, by_asgi_socket, by_call, by_socket
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.test import override_settings
from flask import Flask

from tokenward.authenticator import Authenticator, Credential, authorization, cookie
from tokenward.errors import AuthServiceUnavailable, TokenExpired, TokenRevoked
from tokenward.flask import (
    Tokenward,
    current_principal,
    login_required,
    roles_required,
    scopes_required,
)
from tokenward.principal import Principal
from tokenward.testing import StubVerifier, override_authenticator
from tokenward.wsgi import AuthMiddleware, require

ORIGIN = "https://shop.example"
METHODS = ["GET", "POST", "PUT", "OPTIONS"]
VIEWS = ["/", "/optional", "/scoped", "/any-scope", "/role", "/kept"]
UNMARKED = ["/unmarked", "/health", "/hook", "/docs/<path:rest>"]
TEXT = "text/plain; charset=utf-8"
KEPT = "private, max-age=60"

# Where what declares nothing is closed, and these paths are open.
CLOSED = {"default_access": "deny", "public": ["/health", "/docs/*", "POST /hook"]}


def make_authenticator(**options):
    outcomes = {
        "alice": Principal("alice", scopes={"read", "write"}, roles={"editor"}),
        "bob": Principal("bob"),
        "old": TokenExpired("a hint"),
        "gone": TokenRevoked("a hint"),
        "down": AuthServiceUnavailable("a hint", retry_after=20),
    }
    verifier = StubVerifier(outcomes)
    places = (Credential(authorization(), verifier), Credential(cookie("session"), verifier))
    return Authenticator(*places, realm="shop", origins=[ORIGIN], **options)


@contextmanager
def flask_door(**options):
    app = Flask("shop")
    # It would send everybody from /docs/a//b to /docs/a/b, whatever we say to the one or the other.
    app.url_map.merge_slashes = False
    Tokenward(app, make_authenticator(**options))
    guards = {
        "/": login_required,
        "/optional": login_required(optional=True),
        "/scoped": scopes_required("read", "admin"),
        "/any-scope": scopes_required(any_of=("admin", "read")),
        "/role": roles_required("owner"),
        "/kept": login_required,
    }

    def who(**_more):
        return current_principal.subject or "nobody", {"Content-Type": TEXT}

    def kept():
        return "kept", {"Content-Type": TEXT, "Cache-Control": KEPT}

    for path in (*VIEWS, *UNMARKED):
        view = guards.get(path, lambda view: view)(kept if path == "/kept" else who)
        app.route(path, methods=METHODS, endpoint=path)(view)
    yield app


@contextmanager
def wsgi_door(**options):
    checks = {
        "/": require,
        "/optional": lambda environ: None,
        "/scoped": lambda environ: require(environ, scopes=("read", "admin")),
        "/any-scope": lambda environ: principal_of(environ).require_any_scope("admin", "read"),
        "/role": lambda environ: require(environ, roles=("owner",)),
        "/kept": require,
    }

    def principal_of(environ):
        return environ["tokenward.principal"]

    def who(environ, start_response):
        path = environ["PATH_INFO"]
        if path not in (*VIEWS, *UNMARKED) and not path.startswith("/docs/"):
            start_response("404 Not Found", [("Content-Length", "0")])
            return []
        checks.get(path, lambda environ: None)(environ)
        kept = [("Cache-Control", KEPT)] if path == "/kept" else []
        body = b"kept" if kept else principal_of(environ).subject.encode() or b"nobody"
        length = ("Content-Length", str(len(body)))
        start_response("200 OK", [("Content-Type", TEXT), length, *kept])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    yield AuthMiddleware(who, make_authenticator(**options))


def django_door(urls, make):
    """Return a door of the shop: a project as ``startproject`` makes one, with all middleware."""

    @contextmanager
    def door(**options):
        with ExitStack() as stack:
            stack.enter_context(
                override_settings(
                    ROOT_URLCONF=urls,
                    TOKENWARD={
                        "realm": "shop",
                        "credentials": [],
                        "django": {"user": "stateless"},
                    },
                )
            )
            stack.enter_context(override_authenticator(make_authenticator(**options)))
            for signal in (request_started, request_finished):
                # No view here may touch the database, and this would: as a test client does it.
                signal.disconnect(close_old_connections)
                stack.callback(signal.connect, close_old_connections)
            yield make()

    return door


def without_bodies_for_head(app):
    """Do what Django leaves to the server (PEP 3333 lets it)."""

    def served(environ, start_response):
        body = app(environ, start_response)
        if environ["REQUEST_METHOD"] != "HEAD":
            return body
        body.close()
        return []

    return served


def django_wsgi():
    return without_bodies_for_head(WSGIHandler())


DOORS = {
    "flask": (flask_door, by_call),
    "flask-socket": (flask_door, by_socket),
    "wsgi": (wsgi_door, by_call),
    "wsgi-socket": (wsgi_door, by_socket),
    "django": (django_door("shop.guarded", django_wsgi), by_call),
    "django-socket": (django_door("shop.guarded", django_wsgi), by_socket),
    "django-sync-under-asgi": (django_door("shop.guarded", ASGIHandler), by_asgi),
    "django-async": (django_door("shop.guarded_async", ASGIHandler), by_asgi),
    "django-async-socket": (django_door("shop.guarded_async", ASGIHandler), by_asgi_socket),
    "django-async-under-wsgi": (django_door("shop.guarded_async", django_wsgi), by_call),
    "rest": (django_door("shop.guarded_rest", django_wsgi), by_call),
    "rest-under-asgi": (django_door("shop.guarded_rest", ASGIHandler), by_asgi),
}


@pytest.fixture(scope="module")
def ask(request):
    """Open a door; the one before is closed: what a Django door puts in force is so for all."""
    name, options = request.param
    make, reach = DOORS[name]
    with make(**options) as app, reach(app) as ask:
        yield lambda target="/", *lines, method="GET": ask(method, target, lines)


def through(names=DOORS, **options):
    """Have a test run through each door, made with ``options``."""
    doors = [pytest.param((name, options), id=name) for name in names]
    return pytest.mark.parametrize("ask", doors, indirect=True, scope="module")


BARE = 'Bearer realm="shop"'


def challenge(error, description, scope=None):
    text = f'{BARE}, error="{error}", error_description="{description}"'
    return text if scope is None else f'{text}, scope="{scope}"'


MALFORMED = "The Authorization header is malformed, or the token was sent more than once."
INVALID = "The access token is invalid."
LITTLE = "The access token does not grant what this request needs."
CROSS_SITE = "The request comes from another site."
UNAVAILABLE = "The token cannot be checked right now; try again later."

NOBODY = (401, BARE, "not_authenticated", "Authentication is required.")
BAD_REQUEST = (400, challenge("invalid_request", MALFORMED), "invalid_request", MALFORMED)
BAD_TOKEN = (401, challenge("invalid_token", INVALID), "invalid_token", INVALID)
OTHER_SITE = (403, None, "cross_site_request", CROSS_SITE)
OUTAGE = (503, None, "temporarily_unavailable", UNAVAILABLE)


def ended(description):
    return (401, challenge("invalid_token", description), "invalid_token", description)


def lacking(scope=None):
    return (403, challenge("insufficient_scope", LITTLE, scope), "insufficient_scope", LITTLE)


def bearer(token):
    return ("Authorization", f"Bearer {token}")


def session(value):
    return ("Cookie", f"session={value}")


REFUSED = {
    "nothing": (("/",), NOBODY),
    "nothing, scopes needed": (("/scoped",), NOBODY),
    "nothing, role needed": (("/role",), NOBODY),
    "an empty header": (("/", ("Authorization", "")), NOBODY),
    "another scheme": (("/", ("Authorization", "Basic YTpi")), NOBODY),
    "an unknown scheme": (("/", ("Authorization", "Bearers alice")), NOBODY),
    "an empty cookie": (("/", session("")), NOBODY),
    "another cookie": (("/", ("Cookie", "sessions=alice; Session=alice")), NOBODY),
    "a token in the query alone": (("/?access_token=alice",), NOBODY),
    "the scheme alone": (("/", ("Authorization", "Bearer")), BAD_REQUEST),
    "two words": (("/", bearer("alice bob")), BAD_REQUEST),
    "quotes": (("/", bearer('"alice"')), BAD_REQUEST),
    "a character outside ASCII": (("/", bearer("alic\u00e9")), BAD_REQUEST),
    "bytes that are no UTF-8": (("/", bearer("\xff\xfe\xa0")), BAD_REQUEST),
    "doubled": (("/", bearer("alice"), bearer("alice")), BAD_REQUEST),
    "doubled with another scheme first": (
        ("/", ("Authorization", "Basic YTpi"), bearer("alice")),
        BAD_REQUEST,
    ),
    "doubled with an empty one first": (("/", ("Authorization", ""), bearer("alice")), BAD_REQUEST),
    "doubled in other spellings": (
        ("/", bearer("alice"), ("aUTHORIZATION", "bearer bob")),
        BAD_REQUEST,
    ),
    "comma-joined": (("/", bearer("alice, Bearer bob")), BAD_REQUEST),
    "in the query too": (("/?a=1&access_token=alice", bearer("alice")), BAD_REQUEST),
    "in the query too, encoded": (("/?access%5ftoken=x", bearer("alice")), BAD_REQUEST),
    "malformed at an optional view": (("/optional", bearer("a b")), BAD_REQUEST),
    "two cookies": (("/", ("Cookie", "session=alice; session=bob")), BAD_REQUEST),
    "an unknown token": (("/", bearer("nonsense")), BAD_TOKEN),
    "a long token": (("/", bearer("x" * 20_000)), BAD_TOKEN),
    "an unknown token at an optional view": (("/optional", bearer("nonsense")), BAD_TOKEN),
    "an unknown cookie": (("/", session("nonsense")), BAD_TOKEN),
    "an unknown token beside a good cookie": (
        ("/", bearer("nonsense"), session("alice")),
        BAD_TOKEN,
    ),
    "an expired token": (("/", bearer("old")), ended("The access token has expired.")),
    "a revoked token": (("/", bearer("gone")), ended("The access token has been revoked.")),
    "an expired token at an optional view": (
        ("/optional", bearer("old")),
        ended("The access token has expired."),
    ),
    "too little scope": (("/scoped", bearer("alice")), lacking("read admin")),
    "none of the scopes": (("/any-scope", bearer("bob")), lacking("admin read")),
    "the wrong role": (("/role", bearer("alice")), lacking()),
    "an outage": (("/", bearer("down")), OUTAGE),
    "an outage at an optional view": (("/optional", bearer("down")), OUTAGE),
    "an outage beside a good cookie": (("/", bearer("down"), session("alice")), OUTAGE),
    "POST without proof of the site": (("POST /", session("alice")), OTHER_SITE),
    "POST from another site": (
        ("POST /", session("alice"), ("Sec-Fetch-Site", "cross-site")),
        OTHER_SITE,
    ),
    "POST from a sibling site": (
        ("POST /", session("alice"), ("Sec-Fetch-Site", "same-site")),
        OTHER_SITE,
    ),
    "POST from an unknown origin": (
        ("POST /", session("alice"), ("Origin", "https://evil.example")),
        OTHER_SITE,
    ),
    "POST from an opaque origin": (("POST /", session("alice"), ("Origin", "null")), OTHER_SITE),
    "POST from another site to an optional view": (
        ("POST /optional", session("alice")),
        OTHER_SITE,
    ),
    "POST that says it is GET": (
        (
            "POST /",
            session("alice"),
            ("X-HTTP-Method-Override", "GET"),
            ("X-Method-Override", "GET"),
        ),
        OTHER_SITE,
    ),
    "POST that says it is OPTIONS": (
        (
            "POST /",
            ("X-HTTP-Method-Override", "OPTIONS"),
            ("Origin", ORIGIN),
            ("Access-Control-Request-Method", "POST"),
        ),
        NOBODY,
    ),
    "OPTIONS that is no preflight": (("OPTIONS /", ("Origin", ORIGIN)), NOBODY),
    "a preflight that says it is DELETE": (
        (
            "OPTIONS /",
            ("Origin", ORIGIN),
            ("Access-Control-Request-Method", "DELETE"),
            ("X-HTTP-Method-Override", "DELETE"),
        ),
        NOBODY,
    ),
    "a preflight that says it is DELETE in its query": (
        (
            "OPTIONS /?_method=DELETE",
            ("Origin", ORIGIN),
            ("Access-Control-Request-Method", "DELETE"),
        ),
        NOBODY,
    ),
    "OPTIONS with a bad token": (("OPTIONS /", bearer("nonsense")), BAD_TOKEN),
    "GET that looks like a preflight": (
        ("/", ("Origin", ORIGIN), ("Access-Control-Request-Method", "GET")),
        NOBODY,
    ),
    "HEAD": (("HEAD /",), NOBODY),
    "HEAD with a bad token": (("HEAD /", bearer("nonsense")), BAD_TOKEN),
}

LET_IN = {
    "a token": (("/", bearer("alice")), b"alice"),
    "the scheme in another case": (("/", ("authorization", "bEARER alice")), b"alice"),
    "white space around": (("/", ("Authorization", " Bearer   alice \t")), b"alice"),
    "enough scope": (("/any-scope", bearer("alice")), b"alice"),
    "nobody at an optional view": (("/optional",), b"nobody"),
    "another scheme at an optional view": (
        ("/optional", ("Authorization", "Basic YTpi")),
        b"nobody",
    ),
    "somebody at an optional view": (("/optional", bearer("bob")), b"bob"),
    "a cookie": (("/", session("alice")), b"alice"),
    "a cookie among others": (("/", ("Cookie", "a=1; session=alice; b=2")), b"alice"),
    "a cookie beside another scheme": (
        ("/", ("Authorization", "Basic YTpi"), session("alice")),
        b"alice",
    ),
    "a token beside a cookie": (("/", bearer("alice"), session("bob")), b"alice"),
    "a cookie beside a query that has such a name": (
        ("/?access_token=x", session("alice")),
        b"alice",
    ),
    "POST with a token from anywhere": (
        ("POST /", bearer("alice"), ("Sec-Fetch-Site", "cross-site")),
        b"alice",
    ),
    "POST with a cookie from the same origin": (
        ("POST /", session("alice"), ("Sec-Fetch-Site", "same-origin")),
        b"alice",
    ),
    "POST with a cookie from a configured origin": (
        ("POST /", session("alice"), ("Origin", ORIGIN), ("Sec-Fetch-Site", "cross-site")),
        b"alice",
    ),
    "GET that says it is POST": (
        ("/", session("alice"), ("X-HTTP-Method-Override", "POST")),
        b"alice",
    ),
    "HEAD": (("HEAD /", bearer("alice")), b""),
}


def vary(answer):
    return {name.strip().lower() for name in answer.headers.get("vary", "").split(",")}


def send(ask, request):
    target, *lines = request
    method, _, path = target.rpartition(" ")
    return ask(path, *lines, method=method or "GET")


@through()
@pytest.mark.parametrize(("request_", "expected"), REFUSED.values(), ids=REFUSED)
def test_refused(ask, request_, expected):
    """Status, challenge and body are these, through whatever door."""
    status, challenged, error, description = expected
    answer = send(ask, request_)
    body = {"error": error, "error_description": description}
    is_head = request_[0].startswith("HEAD")
    assert (answer.status, answer.challenge) == (status, challenged)
    assert (json.loads(answer.body) if answer.body else None) == (None if is_head else body)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == str(len(json.dumps(body, separators=(",", ":"))))
    assert answer.headers["cache-control"] == "no-store"
    assert vary(answer) >= {"authorization", "cookie"}
    assert ("retry-after" in answer.headers) is (status == 503)
    assert b"hint" not in answer.body


@through()
@pytest.mark.parametrize(("request_", "body"), LET_IN.values(), ids=LET_IN)
def test_let_in(ask, request_, body):
    """The view runs, for whom it should; by a cookie the page is not kept by the browser."""
    answer = send(ask, request_)
    assert (answer.status, answer.body, answer.challenge) == (200, body, None)
    assert answer.headers["content-type"] == TEXT
    is_by_cookie = (
        body == b"alice" and bearer("alice") not in request_ and "Cookie" in str(request_)
    )
    assert answer.headers.get("cache-control") == ("no-store" if is_by_cookie else None)


@through()
def test_an_outage_says_when_to_come_back(ask):
    """An integer, never earlier than the verifier said, and not the same for everybody."""
    seconds = {int(ask("/", bearer("down")).headers["retry-after"]) for _ in range(30)}
    assert min(seconds) >= 20
    assert max(seconds) <= 30
    assert len(seconds) > 1


@through()
def test_a_preflight_depends_on_no_credential(ask):
    """Nothing was looked at, so nothing is in Vary."""
    lines = (("Origin", ORIGIN), ("Access-Control-Request-Method", "PUT"), bearer("nonsense"))
    answer = ask("/scoped", *lines, method="OPTIONS")
    # 200 where an application has an answer of its own: a class-based view, or what is behind the
    # middleware, of which the status passes and not the body.
    assert answer.status in (200, 204)
    assert answer.challenge is None
    assert vary(answer).isdisjoint({"authorization", "cookie"})


@through()
@pytest.mark.parametrize("line", [bearer("alice"), session("alice")])
def test_what_a_view_says_about_caches_stands(ask, line):
    """It knows its page."""
    answer = ask("/kept", line)
    assert (answer.status, answer.headers["cache-control"]) == (200, KEPT)


# --- where what declares nothing is closed -------------------------------------------------------

CLOSED_TO = {
    "nobody": (("/unmarked",), NOBODY),
    "a bad token": (("/unmarked", bearer("nonsense")), BAD_TOKEN),
    "an outage": (("/unmarked", bearer("down")), OUTAGE),
    "a malformed header": (("/unmarked", bearer("a b")), BAD_REQUEST),
    "POST by nobody": (("POST /unmarked",), NOBODY),
    "POST by a cookie without proof": (("POST /unmarked", session("alice")), OTHER_SITE),
    "POST to what is open for GET": (("POST /health",), NOBODY),
    "GET of what is open for POST": (("/hook",), NOBODY),
    "OPTIONS of what is open": (("OPTIONS /health",), NOBODY),
    "POST that says it is GET": (("POST /health", ("X-HTTP-Method-Override", "GET")), NOBODY),
    "two slashes": (("/docs/a//b",), NOBODY),
    "dots": (("/docs/../unmarked",), NOBODY),
    "a dot": (("/docs/./a",), NOBODY),
    "dots at the end": (("/docs/a/..",), NOBODY),
    "encoded dots": (("/docs/%2e%2e/unmarked",), NOBODY),
    "encoded slashes": (("/docs/a%2f%2fb",), NOBODY),
    "a backslash": (("/docs/a\\..\\b",), NOBODY),
    "an encoded backslash": (("/docs/a%5cb",), NOBODY),
    "a parameter": (("/docs/a;b",), NOBODY),
    "a control character": (("/docs/a%01b",), NOBODY),
}

OPEN_TO = {
    "somebody": (("/unmarked", bearer("alice")), b"alice"),
    "somebody by a cookie": (("/unmarked", session("alice")), b"alice"),
    "nobody, an open path": (("/health",), b"nobody"),
    "nobody, below an open path": (("/docs/a/b",), b"nobody"),
    "nobody, an encoded letter": (("/%68ealth",), b"nobody"),
    "nobody, HEAD": (("HEAD /health",), b""),
    "nobody, POST": (("POST /hook",), b"nobody"),
    "a good token, which is not looked at": (("/health", bearer("alice")), b"nobody"),
    "a bad token, which is not looked at": (("/health", bearer("nonsense")), b"nobody"),
    "a malformed one, which is not looked at": (("/health", bearer("a b")), b"nobody"),
    "an outage, which is not looked at": (("/health", bearer("down")), b"nobody"),
    "a cookie from another site, which is not looked at": (
        ("POST /hook", session("alice")),
        b"nobody",
    ),
}


@through(**CLOSED)
@pytest.mark.parametrize(("request_", "expected"), CLOSED_TO.values(), ids=CLOSED_TO)
def test_closed(ask, request_, expected):
    """What declares nothing is closed; and a path is open only if everybody reads it alike."""
    status, challenged, error, _ = expected
    answer = send(ask, request_)
    assert (answer.status, answer.challenge) == (status, challenged)
    assert json.loads(answer.body)["error"] == error
    assert answer.headers["cache-control"] == "no-store"


@through(**CLOSED)
@pytest.mark.parametrize(("request_", "body"), OPEN_TO.values(), ids=OPEN_TO)
def test_open(ask, request_, body):
    """To whom it should be; where it is open, nothing that is presented is looked at."""
    answer = send(ask, request_)
    assert (answer.status, answer.body, answer.challenge) == (200, body, None)
    if answer.body in (b"nobody", b""):
        assert vary(answer).isdisjoint({"authorization", "cookie"})


BARE_WSGI = [name for name in DOORS if name.startswith("wsgi")]
ROUTED = [name for name in DOORS if name not in BARE_WSGI]
NOWHERE = ["/nowhere", "/health/", "/health/../nowhere", "/Health"]


@through(ROUTED, **CLOSED)
@pytest.mark.parametrize("target", NOWHERE)
def test_nothing_is_there_says_the_router(ask, target):
    """To everybody: what is not there needs no protection."""
    assert [ask(target).status, ask(target, bearer("alice")).status] == [404, 404]


@through(BARE_WSGI, **CLOSED)
@pytest.mark.parametrize("target", NOWHERE)
def test_nothing_is_there_says_nobody_without_a_router(ask, target):
    """We cannot ask a bare application what it has: every path is closed."""
    assert [ask(target).status, ask(target, bearer("alice")).status] == [401, 404]


@through(**CLOSED)
def test_two_slashes_in_front_are_one_or_another_path(ask, request):
    """Werkzeug takes all but one away, as a server or as a framework, before anybody looks.

    To the others it is another path, and no rule is about it.
    """
    name = request.node.callspec.id
    if name == "wsgi":
        expected = 401
    else:
        is_werkzeug = name.startswith("flask") or name in ("wsgi-socket", "django-socket")
        expected = 200 if is_werkzeug else 404
    assert ask("//health").status == expected


@through([name for name in DOORS if name.endswith("socket")])
def test_repeated_headers_really_arrive_at_the_server(ask):
    """Two lines on the wire, and the server's way to hand them over: refused all the same."""
    answer = ask("/", bearer("alice"), bearer("bob"))
    assert (answer.status, json.loads(answer.body)["error"]) == (400, "invalid_request")
    answer = ask("/", bearer("alice"))
    assert (answer.status, answer.body) == (200, b"alice")
