"""The same request through every door: status, challenge and body are equal (RULES 26 to 30).

A door is a WSGI application with the paths that `VIEWS` lists. Another framework joins by a line in
`DOORS`; Flask also stands behind a real socket, where repeated headers really are sent.
"""

import io
import json
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from flask import Flask
from werkzeug.serving import make_server

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
from tokenward.testing import StubVerifier
from tokenward.wsgi import AuthMiddleware

ORIGIN = "https://shop.example"
METHODS = ["GET", "POST", "PUT", "OPTIONS"]
VIEWS = ["/", "/optional", "/scoped", "/any-scope", "/role"]


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


def flask_door():
    app = Flask("shop")
    Tokenward(app, make_authenticator())
    guards = {
        "/": login_required,
        "/optional": login_required(optional=True),
        "/scoped": scopes_required("read", "admin"),
        "/any-scope": scopes_required(any_of=("admin", "read")),
        "/role": roles_required("owner"),
    }

    def who():
        return current_principal.subject or "nobody"

    for path in VIEWS:
        app.route(path, methods=METHODS, endpoint=path.strip("/") or "home")(guards[path](who))
    return app


def wsgi_door():
    checks = {
        "/scoped": lambda principal: principal.require_scopes("read", "admin"),
        "/any-scope": lambda principal: principal.require_any_scope("admin", "read"),
        "/role": lambda principal: principal.require_roles("owner"),
    }

    def who(environ, start_response):
        principal = environ["tokenward.principal"]
        if environ["PATH_INFO"] in checks:
            checks[environ["PATH_INFO"]](principal)
        start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
        is_head = environ["REQUEST_METHOD"] == "HEAD"
        return [] if is_head else [principal.subject.encode() or b"nobody"]

    closed = AuthMiddleware(who, make_authenticator(default_access="deny"))
    opened = AuthMiddleware(who, make_authenticator())

    def door(environ, start_response):
        app = opened if environ["PATH_INFO"] == "/optional" else closed
        return app(environ, start_response)

    return door


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict = field(repr=False)
    body: bytes

    @property
    def challenge(self):
        return self.headers.get("www-authenticate")


@contextmanager
def by_call(app):
    """Call the application as a server would: repeated headers joined, bytes as Latin-1."""

    def ask(method, target, lines):
        path, _, query = target.partition("?")
        environ = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in lines:
            key = "HTTP_" + name.upper().replace("-", "_")
            environ[key] = f"{environ[key]},{value}" if key in environ else value
        begun = []
        body = app(environ, lambda status, headers, _exc=None: begun.append((status, headers)))
        try:
            content = b"".join(body)
        finally:
            if hasattr(body, "close"):
                body.close()
        status, headers = begun[0]
        return Answer(int(status[:3]), {k.lower(): v for k, v in headers}, content)

    yield ask


@contextmanager
def by_socket(app):
    """Serve the application on a free port, and speak HTTP to it byte by byte."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def ask(method, target, lines):
        request = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close"]
        request += [f"{name}: {value}" for name, value in lines]
        with socket.create_connection(server.server_address, timeout=10) as connection:
            connection.sendall("\r\n".join([*request, "", ""]).encode("latin-1"))
            received = b""
            while chunk := connection.recv(65_536):
                received += chunk
        head, _, content = received.partition(b"\r\n\r\n")
        first, *rest = head.decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in rest)
        return Answer(int(first.split()[1]), {k.lower(): v for k, v in headers.items()}, content)

    try:
        yield ask
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


DOORS = {
    "flask": (flask_door, by_call),
    "flask-socket": (flask_door, by_socket),
    "wsgi": (wsgi_door, by_call),
}


@pytest.fixture(scope="module", params=DOORS)
def ask(request):
    make, reach = DOORS[request.param]
    with reach(make()) as ask:
        yield lambda target="/", *lines, method="GET": ask(method, target, lines)


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
    "a preflight": (
        ("OPTIONS /", ("Origin", ORIGIN), ("Access-Control-Request-Method", "PUT")),
        b"nobody",
    ),
    "HEAD": (("HEAD /", bearer("alice")), b""),
}


def send(ask, request):
    target, *lines = request
    method, _, path = target.rpartition(" ")
    return ask(path, *lines, method=method or "GET")


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
    assert answer.headers["vary"] == "Authorization, Cookie"
    assert ("retry-after" in answer.headers) is (status == 503)
    assert b"hint" not in answer.body


@pytest.mark.parametrize(("request_", "body"), LET_IN.values(), ids=LET_IN)
def test_let_in(ask, request_, body):
    """The view runs, for whom it should."""
    answer = send(ask, request_)
    assert (answer.status, answer.body, answer.challenge) == (200, body, None)


def test_an_outage_says_when_to_come_back(ask):
    """An integer, never earlier than the verifier said, and not the same for everybody."""
    seconds = {int(ask("/", bearer("down")).headers["retry-after"]) for _ in range(30)}
    assert min(seconds) >= 20
    assert max(seconds) <= 30
    assert len(seconds) > 1


def test_a_preflight_depends_on_no_credential(ask):
    """Nothing was looked at, so nothing is in Vary."""
    lines = (("Origin", ORIGIN), ("Access-Control-Request-Method", "PUT"), bearer("nonsense"))
    answer = ask("/", *lines, method="OPTIONS")
    assert (answer.status, answer.body) == (200, b"nobody")
    assert "vary" not in answer.headers


def test_repeated_headers_really_arrive_at_the_server():
    """Two lines on the wire, and the server's way to hand them over: refused all the same."""
    with by_socket(flask_door()) as ask:
        answer = ask("GET", "/", [bearer("alice"), bearer("bob")])
        assert (answer.status, json.loads(answer.body)["error"]) == (400, "invalid_request")
        answer = ask("GET", "/", [bearer("alice")])
        assert (answer.status, answer.body) == (200, b"alice")
