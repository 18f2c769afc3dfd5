"""The auth service through every door: Flask, Django, bare WSGI, and real sockets."""

import base64
import http.client
import io
import json
import socket
import threading
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
import waitress.server
from callers import by_asgi
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.test import RequestFactory, override_settings
from flask import Flask, request
from waitress import wasyncore
from werkzeug.test import Client as WSGIClient

from tokenward.client_auth import ClientSecretBasic
from tokenward.clients import Client
from tokenward.config import Settings
from tokenward.django import _state
from tokenward.django._endpoint_views import view_of
from tokenward.endpoints import ENDPOINTS
from tokenward.errors import AuthServiceUnavailable, ConfigurationError, InvalidToken
from tokenward.flask import Tokenward, auth_service_blueprint
from tokenward.introspection import IntrospectionClient, IntrospectionVerifier
from tokenward.keys import KeyRing
from tokenward.protocols import Response as ProtocolResponse
from tokenward.repositories import open_repositories
from tokenward.schemas import LoginRequest
from tokenward.service import AuthService
from tokenward.wsgi import auth_service_app, service_app

ISSUER = "https://auth.example"
PASSWORD = "correct horse battery"
SECRET = "9f8a-77e1-quartz-lantern"
BASIC = "Basic " + base64.b64encode(f"orders:{SECRET}".encode()).decode()
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MACHINES_SECRET = "another-0quartz-77e1-lamp"
GRANTED = "Basic " + base64.b64encode(f"machine:{MACHINES_SECRET}".encode()).decode()
CREDENTIALS = json.dumps({"username": "alice", "password": PASSWORD}).encode()

SETTINGS = {"service": {"issuer": ISSUER, "audience": "orders", "store": "memory://"}}
OPEN_SETTINGS = {
    "service": SETTINGS["service"]
    | {
        "registration": "open",
        "password": {"bcrypt_cost": 4},
        "clients": [
            {"client_id": "orders", "client_secret": SECRET},
            {
                "client_id": "machine",
                "client_secret": MACHINES_SECRET,
                "grants": ["client_credentials"],
            },
        ],
        # Six doors, one address.
        "throttle": False,
    }
}
# What the middleware of a Django project says of every answer.
DJANGOS = {
    "cross-origin-opener-policy",
    "referrer-policy",
    "x-content-type-options",
    "x-frame-options",
}


def make_service(issuer=ISSUER):
    stores = open_repositories("memory://", bcrypt_cost=4)
    service = AuthService(
        stores.users,
        keys=KeyRing.generate(),
        tokens=stores.tokens,
        issuer=issuer,
        audience="orders",
        registration="open",
        clients=[Client("orders", SECRET)],
    )
    return with_users(service)


def with_users(service):
    service.create_user("alice", email="alice@example.com", password=PASSWORD)
    service.create_user("idle", email="idle@example.com", password=PASSWORD)
    service.users.set_active("idle", active=False)
    return service


@pytest.fixture(scope="module")
def service():
    """Return the service of the Django project; the other doors are made for it too."""
    with override_settings(TOKENWARD=OPEN_SETTINGS, ROOT_URLCONF="shop.auth_service"):
        for signal in (request_started, request_finished):
            # As a test client does: no view here has to do with the database.
            signal.disconnect(close_old_connections)
        yield with_users(_state.parts().service)
        for signal in (request_started, request_finished):
            signal.connect(close_old_connections)


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = {}
        for name, value in headers:
            assert name.lower() not in self.headers, f"{name} came twice"
            if name.lower() not in DJANGOS:
                self.headers[name.lower()] = value
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)


class FlaskDoor:
    def __init__(self, service):
        app = Flask(__name__)
        app.register_blueprint(auth_service_blueprint(service))
        self._client = app.test_client(use_cookies=False)

    def send(self, method, path, body=b"", **headers):
        sent = [(name.replace("_", "-"), value) for name, value in headers.items()]
        answer = self._client.open(path, method=method, data=body or None, headers=sent)
        return Answer(answer.status_code, answer.headers, answer.data)


class WSGIDoor:
    """Calls the application as PEP 3333 has it, under the standard library's validator."""

    def __init__(self, app):
        self._app = app
        self._validated = validator(app)

    def send(self, method, path, body=b"", **headers):
        path, _, query = path.partition("?")
        environ = {"PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": method}
        for name, value in headers.items():
            key = name.upper()
            environ[key if key.startswith("CONTENT_") else f"HTTP_{key}"] = value
        if body:
            environ["CONTENT_LENGTH"] = str(len(body))
        return self.call(environ | {"wsgi.input": io.BytesIO(body)}, self._validated)

    def call(self, environ, app=None):
        """Send an environment as it stands, errors of a server's making included."""
        environ.setdefault("SCRIPT_NAME", "")
        setup_testing_defaults(environ)
        started = []

        def start_response(status, headers, exc_info=None):
            started.append((int(status.split()[0]), headers))
            return lambda data: None

        result = (app or self._app)(environ, start_response)
        body = b"".join(result)
        if hasattr(result, "close"):
            result.close()
        return Answer(*started[0], body)


class ASGIDoor:
    """Calls the application on an event loop."""

    def __init__(self, app):
        self._app = app

    def send(self, method, path, body=b"", **headers):
        lines = [(name.replace("_", "-"), value) for name, value in headers.items()]
        if body:
            lines.append(("Content-Length", str(len(body))))
        with by_asgi(self._app) as ask:
            answer = ask(method, path, lines, body)
        return Answer(answer.status, answer.headers.items(), answer.body)


class SocketDoor:
    """A waitress on a free loopback port, spoken to in bytes."""

    def __init__(self, app):
        self._map = {}
        self._server = waitress.server.create_server(
            app, map=self._map, host="127.0.0.1", port=0, threads=2
        )
        self.address = ("127.0.0.1", self._server.effective_port)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()

    def close(self):
        self._server.trigger.pull_trigger(lambda: wasyncore.close_all(self._map))
        self._thread.join()
        self._server.task_dispatcher.shutdown()

    def send(self, method, path, body=b"", **headers):
        lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        return self.send_bytes(head + body, method=method)

    def send_bytes(self, data, *, method="POST"):
        with socket.create_connection(self.address, timeout=120) as connection:
            connection.sendall(data)
            answer = http.client.HTTPResponse(connection, method=method)
            answer.begin()
            with answer:
                hidden = {"server", "date", "connection", "via"}
                headers = [h for h in answer.getheaders() if h[0].lower() not in hidden]
                return Answer(answer.status, headers, answer.read())


DOORS = ["wsgi", "flask", "socket", "django", "django-asgi", "django-socket"]
SOCKETS = ["socket", "django-socket"]


@pytest.fixture(scope="module")
def doors(service):
    bare, django = auth_service_app(service), WSGIHandler()
    opened = {
        "wsgi": WSGIDoor(bare),
        "flask": FlaskDoor(service),
        "socket": SocketDoor(bare),
        "django": WSGIDoor(django),
        "django-asgi": ASGIDoor(ASGIHandler()),
        "django-socket": SocketDoor(django),
    }
    yield opened
    for name in SOCKETS:
        opened[name].close()


@pytest.fixture(params=DOORS)
def door(request, doors):
    return doors[request.param]


@pytest.fixture
def token(service, doors):
    return doors["wsgi"].send("POST", "/login", CREDENTIALS, Content_Type=JSON).json["access_token"]


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


CASES = {
    "register": ("POST", "/register", b"{}", {"Content_Type": JSON}, 400),
    "register taken": (
        "POST",
        "/register",
        json.dumps(
            {"username": "Alice", "email": "new@example.com", "password": PASSWORD}
        ).encode(),
        {"Content_Type": JSON},
        409,
    ),
    "login wrong": (
        "POST",
        "/login",
        b'{"username":"alice","password":"wrong"}',
        {"Content_Type": JSON},
        401,
    ),
    "login malformed": ("POST", "/login", b"{", {"Content_Type": JSON}, 400),
    "login NUL": ("POST", "/login", b"\0" * 100, {"Content_Type": JSON}, 400),
    "login not UTF-8": ("POST", "/login", b'{"username":"\xff"}', {"Content_Type": JSON}, 400),
    "login surrogate": ("POST", "/login", b'{"username":"\\ud800"}', {"Content_Type": JSON}, 400),
    "login form": ("POST", "/login", b"username=alice", {"Content_Type": FORM}, 415),
    "login without type": ("POST", "/login", CREDENTIALS, {}, 415),
    "login 1 MB": ("POST", "/login", b" " * 1_000_000, {"Content_Type": JSON}, 413),
    "login 64 KiB + 1": ("POST", "/login", b" " * 65_537, {"Content_Type": JSON}, 413),
    "login wrong client": (
        "POST",
        "/login",
        CREDENTIALS,
        {"Content_Type": JSON, "Authorization": "Basic b3JkZXJzOng="},
        401,
    ),
    "me nobody": ("GET", "/me", b"", {}, 401),
    "me bad": ("GET", "/me", b"", {"Authorization": "Bearer a.b.c"}, 401),
    "me malformed": ("GET", "/me", b"", {"Authorization": "Bearer"}, 400),
    "me joined": ("GET", "/me", b"", {"Authorization": "Bearer a, Bearer b"}, 400),
    "me query": ("GET", "/me?access_token=a", b"", {"Authorization": "Bearer a"}, 400),
    "me query alone": ("GET", "/me?access_token=a", b"", {}, 401),
    "logout form": (
        "POST",
        "/logout",
        b"access_token=a",
        {"Authorization": "Bearer a", "Content_Type": FORM},
        400,
    ),
    "introspect nobody": ("POST", "/introspect", b"token=a", {"Content_Type": FORM}, 401),
    "introspect inactive": (
        "POST",
        "/introspect",
        b"token=a",
        {"Content_Type": FORM, "Authorization": BASIC},
        200,
    ),
    "introspect twice": (
        "POST",
        "/introspect",
        b"token=a&token=b",
        {"Content_Type": FORM, "Authorization": BASIC},
        400,
    ),
    "introspect JSON": (
        "POST",
        "/introspect",
        b'{"token":"a"}',
        {"Content_Type": JSON, "Authorization": BASIC},
        415,
    ),
    "refresh unknown": (
        "POST",
        "/refresh",
        b'{"refresh_token":"x"}',
        {"Content_Type": JSON},
        400,
    ),
    "password nobody": ("POST", "/password", b"{}", {"Content_Type": JSON}, 401),
    "forgot malformed": ("POST", "/password/forgot", b"{}", {"Content_Type": JSON}, 400),
    "forgot query": ("POST", "/password/forgot?token=x", b"{}", {"Content_Type": JSON}, 400),
    "reset unknown": (
        "POST",
        "/password/reset",
        b'{"token":"x","new_password":"violet staple lantern"}',
        {"Content_Type": JSON},
        400,
    ),
    "verify unknown": ("POST", "/email/verify", b'{"token":"x"}', {"Content_Type": JSON}, 400),
    "sessions nobody": ("GET", "/sessions", b"", {}, 401),
    "sessions end nobody": ("POST", "/sessions/end", b"{}", {"Content_Type": JSON}, 401),
    "token nobody": (
        "POST",
        "/token",
        b"grant_type=client_credentials",
        {"Content_Type": FORM},
        401,
    ),
    "token grant missing": (
        "POST",
        "/token",
        b"",
        {"Content_Type": FORM, "Authorization": BASIC},
        400,
    ),
    "token grant unknown": (
        "POST",
        "/token",
        b"grant_type=password",
        {"Content_Type": FORM, "Authorization": BASIC},
        400,
    ),
    "token grant not allowed": (
        "POST",
        "/token",
        b"grant_type=refresh_token&refresh_token=x",
        {"Content_Type": FORM, "Authorization": BASIC},
        400,
    ),
    "revoke nobody": ("POST", "/revoke", b"token=a", {"Content_Type": FORM}, 401),
    "description": ("GET", "/openapi.json", b"", {}, 200),
    "keys": ("GET", "/.well-known/jwks.json", b"", {}, 200),
    "metadata": ("GET", "/.well-known/oauth-authorization-server", b"", {}, 200),
    "openid": ("GET", "/.well-known/openid-configuration", b"", {}, 200),
    "live": ("GET", "/health/live", b"", {}, 200),
    "ready": ("GET", "/health/ready", b"", {}, 200),
}


@pytest.mark.parametrize("case", CASES)
def test_every_door_gives_the_same_answer(doors, case):
    """Status, headers and body, whatever server or framework stands before the endpoints."""
    method, path, body, headers, status = CASES[case]
    answers = [door.send(method, path, body, **headers) for door in doors.values()]
    assert [answer.status for answer in answers] == [status] * len(DOORS)
    assert all(answer.headers == answers[0].headers for answer in answers)
    assert all(answer.body == answers[0].body for answer in answers)
    assert answers[0].headers["content-type"] == JSON


def test_from_registration_to_logout(door):
    """The whole life of a token."""
    name = f"user{id(door)}"
    asked = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
    made = door.send("POST", "/register", json.dumps(asked).encode(), Content_Type=JSON)
    login = json.dumps({"username": name, "password": PASSWORD}).encode()
    granted = door.send("POST", "/login", login, Content_Type=JSON)
    token = granted.json["access_token"]
    form = f"token={token}".encode()
    ask = {"Content_Type": FORM, "Authorization": BASIC}
    assert (made.status, granted.status) == (201, 200)
    assert granted.headers["cache-control"] == "no-store"
    assert door.send("GET", "/me", **bearer(token)).json == made.json
    assert door.send("POST", "/introspect", form, **ask).json["user"] == made.json
    assert door.send("POST", "/logout", **bearer(token)).status == 200
    assert door.send("GET", "/me", **bearer(token)).status == 401
    assert door.send("POST", "/introspect", form, **ask).json == {"active": False}


NOTHING = {
    "forgot": (
        "POST",
        "/password/forgot",
        b'{"email":"nobody@example.com"}',
        {"Content_Type": JSON},
        204,
    ),
    "revoke": (
        "POST",
        "/revoke",
        b"token=a",
        {"Content_Type": FORM, "Authorization": BASIC},
        200,
    ),
}


def said(name, answer):
    """Return the headers, but for the length that Django's CommonMiddleware gives to nothing."""
    ours = dict(answer.headers)
    if name.startswith("django") and answer.status in {204, 304}:
        ours.pop("content-length", None)
    return ours


@pytest.mark.parametrize("case", NOTHING)
def test_every_door_answers_nothing_in_the_same_way(doors, case):
    """No body; type and length only where there could be one (RFC 9110, 8.6; PEP 3333)."""
    method, path, body, headers, status = NOTHING[case]
    answers = [door.send(method, path, body, **headers) for door in doors.values()]
    assert [(answer.status, answer.body) for answer in answers] == [(status, b"")] * len(DOORS)
    ours = [said(name, answer) for name, answer in zip(doors, answers, strict=True)]
    assert ours == [answers[0].headers] * len(DOORS)
    kept = {name: answers[0].headers.get(name) for name in ("content-type", "content-length")}
    given = (None, None) if status == 204 else ("text/plain", "0")
    assert tuple(kept.values()) == given


def test_every_door_shows_the_page(doors):
    """HTML, with all that keeps it from running anything."""
    answers = [door.send("GET", "/docs") for door in doors.values()]
    assert all(answer.body == answers[0].body for answer in answers)
    assert {a.headers["content-type"] for a in answers} == {"text/html; charset=utf-8"}
    assert len({a.headers["content-security-policy"] for a in answers}) == 1


def test_every_door_knows_what_was_fetched(doors):
    """RFC 9110, section 15.4.5: 304 without body and length."""
    tag = doors["wsgi"].send("GET", "/openapi.json").headers["etag"]
    answers = [door.send("GET", "/openapi.json", If_None_Match=tag) for door in doors.values()]
    assert [(a.status, a.body, a.headers["etag"]) for a in answers] == [(304, b"", tag)] * len(
        DOORS
    )
    ours = [said(name, answer).keys() for name, answer in zip(doors, answers, strict=True)]
    assert ours == [{"etag", "cache-control"}] * len(DOORS)


def test_from_login_to_the_end_of_a_session(door):
    """Refreshed, listed, ended: every door to what a login leads to."""
    granted = door.send("POST", "/login", CREDENTIALS, Content_Type=JSON).json
    members = json.dumps({"refresh_token": granted["refresh_token"]}).encode()
    answer = door.send("POST", "/refresh", members, Content_Type=JSON)
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
    token = answer.json["access_token"]
    sessions = door.send("GET", "/sessions", **bearer(token)).json["sessions"]
    (sid,) = [session["sid"] for session in sessions if session["current"]]
    members = json.dumps({"sid": sid}).encode()
    ended = door.send("POST", "/sessions/end", members, Content_Type=JSON, **bearer(token))
    assert (ended.status, ended.body) == (204, b"")
    assert door.send("GET", "/me", **bearer(token)).status == 401


def test_token_of_a_client_from_grant_to_revocation(door):
    """Every door to what a program does in its own name."""
    ask = {"Content_Type": FORM, "Authorization": GRANTED}
    answer = door.send("POST", "/token", b"grant_type=client_credentials", **ask)
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
    form = f"token={answer.json['access_token']}".encode()
    assert door.send("POST", "/introspect", form, **ask).json["sub"] == "machine"
    assert door.send("POST", "/revoke", form, **ask).status == 200
    assert door.send("POST", "/introspect", form, **ask).json == {"active": False}


FORMS = {"application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"}
"""What a page may have a browser post to another site without asking (Fetch, section 4.8)."""


@pytest.mark.parametrize("row", [e for e in ENDPOINTS if e.method == "POST"], ids=lambda e: e.name)
def test_no_other_sites_form_does_anything(door, token, row):
    """RULES 29: nothing ambient is a credential, and no form of a page is read as JSON."""
    if not isinstance(row.takes, type):
        # These read forms, and want a client's own authentication with each.
        sent = {
            "Content_Type": FORM,
            "Cookie": f"tokenward={token}",
            "Origin": "https://evil.example",
        }
        assert door.send("POST", row.path, f"token={token}".encode(), **sent).status == 401
        return
    for content_type in FORMS:
        sent = {
            "Content_Type": content_type,
            "Cookie": f"tokenward={token}; access_token={token}",
            "Origin": "https://evil.example",
        }
        answer = door.send("POST", row.path, b'{"username":"alice"}', **sent)
        # Without a bearer in the header nobody is logged in; with none needed, it is no JSON.
        assert answer.status == (401 if row.authentication == "bearer" else 415)
        assert "set-cookie" not in answer.headers
        assert "access-control-allow-origin" not in answer.headers


def test_unknown_inactive_and_wrong_are_one_answer(door):
    """RULES 33: byte for byte."""
    attempts = [("alice", "wrong"), ("nobody", PASSWORD), ("idle", PASSWORD), ("a\0b", "x")]
    answers = [
        door.send(
            "POST",
            "/login",
            json.dumps({"username": name, "password": password}).encode(),
            Content_Type=JSON,
        )
        for name, password in attempts
    ]
    body = (
        b'{"error":"invalid_credentials",'
        b'"error_description":"The username or the password is wrong."}'
    )
    assert [(a.status, a.body) for a in answers] == [(401, body)] * 4
    assert all(a.headers == answers[0].headers for a in answers)


def test_unknown_client_and_wrong_secret_are_one_answer(door):
    """RULES 39: byte for byte."""
    answers = [
        door.send(
            "POST",
            "/introspect",
            b"token=a",
            Content_Type=FORM,
            Authorization="Basic " + base64.b64encode(credentials).decode(),
        )
        for credentials in (b"orders:wrong", b"nobody:wrong", b"nobody:" + SECRET.encode())
    ]
    assert {(a.status, a.body) for a in answers} == {
        (
            401,
            b'{"error":"invalid_client","error_description":"Client authentication failed."}',
        )
    }
    assert {a.headers["www-authenticate"] for a in answers} == {'Basic realm="api"'}


def test_head_follows_get(door, token):
    """RFC 9110, section 9.3.2: the headers of GET, and no body."""
    for path, headers in [("/me", bearer(token)), ("/me", {}), ("/health/live", {})]:
        got = door.send("GET", path, **headers)
        head = door.send("HEAD", path, **headers)
        assert (head.status, head.headers, head.body) == (got.status, got.headers, b"")


def test_wrong_method_is_405_with_allow(door):
    """The framework's own router may word the body; status and Allow are the same."""
    answer = door.send("GET", "/login")
    assert answer.status == 405
    assert set(answer.headers["allow"].split(", ")) == {"OPTIONS", "POST"}


def test_preflight_is_not_refused(door):
    """RULES 30: it carries no credentials, and gets none of our answers to read across sites."""
    answer = door.send(
        "OPTIONS",
        "/me",
        Origin="https://shop.example",
        Access_Control_Request_Method="GET",
    )
    assert answer.status in (200, 204)
    assert "access-control-allow-origin" not in answer.headers


def test_cookies_authenticate_nobody(door, token):
    """RULES 29: no credential of these endpoints is ambient."""
    answer = door.send("GET", "/me", Cookie=f"tokenward={token}; access_token={token}")
    assert answer.json["error"] == "not_authenticated"


class TestWSGI:
    """What only a server that hands on broken requests can do."""

    @pytest.fixture
    def door(self, doors):
        return doors["wsgi"]

    def environ(self, body, **more):
        return {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/login",
            "CONTENT_TYPE": JSON,
            "wsgi.input": io.BytesIO(body),
        } | more

    def test_body_without_length_is_no_body(self, door):
        """Where nothing ends the stream, reading on would wait for the next request."""

        class Endless(io.RawIOBase):
            def read(self, size=-1):
                pytest.fail("read from a stream without an end")

        environ = self.environ(b"", **{"wsgi.input": Endless()})
        assert door.call(environ).status == 400

    def test_body_without_length_is_read_from_a_stream_that_ends(self, door):
        """Servers that decode chunks say so by wsgi.input_terminated."""
        environ = self.environ(CREDENTIALS, **{"wsgi.input_terminated": True})
        assert door.call(environ).status == 200

    def test_chunked_body_is_read_to_its_end_whatever_the_length_says(self, door):
        """RFC 9112, section 6.3: Transfer-Encoding overrides Content-Length."""
        more = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
        environ = self.environ(CREDENTIALS, CONTENT_LENGTH="5", **more)
        assert door.call(environ).status == 200
        environ = self.environ(b" " * 70_000, CONTENT_LENGTH="5", **more)
        assert door.call(environ).status == 413

    def test_next_request_is_not_read(self, door):
        """Content-Length bounds what is ours on a kept connection."""
        stream = io.BytesIO(CREDENTIALS + b"POST /login HTTP/1.1")
        environ = self.environ(b"", CONTENT_LENGTH=str(len(CREDENTIALS)), **{"wsgi.input": stream})
        assert door.call(environ).status == 200
        assert stream.read() == b"POST /login HTTP/1.1"

    def test_body_that_ends_early_is_a_400(self, door):
        """A length that lies upwards: half a body is no body, even when it could be parsed."""
        environ = self.environ(
            b"token=half",
            CONTENT_LENGTH="60",
            CONTENT_TYPE=FORM,
            PATH_INFO="/introspect",
            HTTP_AUTHORIZATION=BASIC,
        )
        answer = door.call(environ)
        assert (answer.status, answer.json["error"]) == (400, "invalid_request")

    def test_peer_that_goes_away_is_a_400(self, door):
        """Servers raise OSError then; nobody reads the answer, and nothing is logged as ours."""

        class Gone(io.RawIOBase):
            def read(self, size=-1):
                raise ConnectionResetError

        for more in ({"CONTENT_LENGTH": "60"}, {"wsgi.input_terminated": True}):
            environ = self.environ(b"", **{"wsgi.input": Gone()}, **more)
            assert door.call(environ).status == 400

    def test_malformed_chunk_is_a_400(self, door):
        """Servers have errors of their own for it, of any type."""

        class Malformed(io.RawIOBase):
            def read(self, size=-1):
                raise RuntimeError("no size")

        environ = self.environ(b"", **{"wsgi.input": Malformed(), "wsgi.input_terminated": True})
        answer = door.call(environ)
        assert (answer.status, answer.json["error"]) == (400, "invalid_request")

    def test_path_that_is_not_ascii_is_404(self, door):
        """PEP 3333: bytes as latin-1; compared as they stand."""
        assert door.call({"PATH_INFO": "/m\xe9", "REQUEST_METHOD": "GET"}).status == 404

    def test_mounted_below_a_path(self, door):
        """SCRIPT_NAME is the server's business."""
        environ = {"SCRIPT_NAME": "/auth", "PATH_INFO": "/health/live", "REQUEST_METHOD": "GET"}
        assert door.call(environ).status == 200

    def test_204_has_no_length(self, door):
        """RFC 9110, section 8.6."""
        answer = door.send("OPTIONS", "/login")
        assert (answer.status, answer.headers, answer.body) == (
            204,
            {"allow": "OPTIONS, POST"},
            b"",
        )


class TestServiceApp:
    """`tokenward.wsgi.service_app`: from a configuration to an application."""

    def health(self, app):
        return WSGIClient(app).get("/health/ready").status_code

    def test_from_a_mapping_or_settings(self):
        """As they stand in a program."""
        assert self.health(service_app(SETTINGS)) == 200
        assert self.health(service_app(Settings.model_validate(SETTINGS))) == 200

    def test_from_the_environment(self, tmp_path, monkeypatch):
        """As gunicorn calls it: without an argument."""
        file = tmp_path / "tokenward.toml"
        lines = [f'{name} = "{value}"' for name, value in SETTINGS["service"].items()]
        file.write_text("\n".join(["[service]", *lines]))
        monkeypatch.setenv("TOKENWARD_CONFIG", str(file))
        assert self.health(service_app()) == 200

    def test_configuration_without_a_service_stops_start_up(self):
        """There is nothing to answer for."""
        with pytest.raises(ConfigurationError):
            service_app({"realm": "x"})


class TestSocket:
    """Bytes that no client library would send."""

    @pytest.fixture(params=SOCKETS)
    def door(self, request, doors):
        return doors[request.param]

    def chunked(self, body, size=1_000, path="/login"):
        chunks = [body[at : at + size] for at in range(0, len(body), size)]
        framed = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\n"
        return head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + framed + b"0\r\n\r\n"

    def test_chunked_body_is_read(self, door):
        """No Content-Length at all."""
        assert door.send_bytes(self.chunked(CREDENTIALS, 7)).status == 200

    def test_chunked_body_beyond_the_cap_is_413(self, door):
        """RULES 32: counted while reading."""
        assert door.send_bytes(self.chunked(b" " * 1_000_000, 10_000)).status == 413

    def test_doubled_authorization_is_400(self, door, token):
        """RULES 26: two headers, the same token or not."""
        for second in (token, "other"):
            data = (
                f"GET /me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
                f"Authorization: Bearer {second}\r\n\r\n"
            )
            answer = door.send_bytes(data.encode(), method="GET")
            assert (answer.status, answer.json["error"]) == (400, "invalid_request")

    def test_doubled_basic_authorization_is_400(self, door):
        """The same for clients."""
        data = (
            f"POST /introspect HTTP/1.1\r\nHost: x\r\nAuthorization: {BASIC}\r\n"
            f"Authorization: {BASIC}\r\nContent-Type: {FORM}\r\nContent-Length: 7\r\n\r\ntoken=a"
        )
        assert door.send_bytes(data.encode()).status == 400

    def test_bytes_beyond_the_length_are_not_ours(self, door):
        """A length that lies downwards: what remains is the next request, not this body."""
        short = CREDENTIALS[:-1]
        head = f"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\n"
        head += f"Content-Length: {len(short)}\r\nConnection: close\r\n\r\n"
        assert door.send_bytes(head.encode() + CREDENTIALS).status == 400

    def test_many_connections_leave_nothing_behind(self, door):
        """Refusals close what they should; the service goes on."""
        for _ in range(20):
            assert door.send("POST", "/login", b"\0" * 65_537, Content_Type=JSON).status == 413
        assert door.send("GET", "/health/ready").status == 200


class TestFlask:
    def test_needs_no_extension(self, service):
        """An application that only hosts the service is a Flask application and nothing else."""
        app = Flask(__name__)
        app.register_blueprint(auth_service_blueprint(service))
        assert "tokenward" not in app.extensions
        assert app.test_client().get("/health/live").status_code == 200

    def test_stays_open_where_the_application_denies_by_default(self, service):
        """The endpoints do their own checks; nobody could log in otherwise."""
        app = Flask(__name__)
        app.config["TOKENWARD"] = {"default_access": "deny", "credentials": []}
        Tokenward(app)
        app.register_blueprint(auth_service_blueprint(service))
        app.add_url_rule("/denied", view_func=lambda: "")
        client = app.test_client()
        assert client.get("/denied").status_code == 401
        assert client.post("/login", data=CREDENTIALS, content_type=JSON).status_code == 200
        assert client.get("/.well-known/jwks.json").status_code == 200

    def test_body_that_the_application_has_read_is_still_read(self, service):
        """A function that logs every JSON body must not turn logins into refusals."""
        app = Flask(__name__)
        app.before_request(lambda: request.get_data() and None)
        app.register_blueprint(auth_service_blueprint(service))
        answer = app.test_client().post("/login", data=CREDENTIALS, content_type=JSON)
        assert answer.status_code == 200

    def test_applications_own_limit_is_a_413_of_ours(self, service):
        """MAX_CONTENT_LENGTH below our cap: the same body as for ours."""
        app = Flask(__name__)
        app.config["MAX_CONTENT_LENGTH"] = 10
        app.register_blueprint(auth_service_blueprint(service))
        answer = app.test_client().post("/login", data=CREDENTIALS, content_type=JSON)
        assert (answer.status_code, answer.json["error"]) == (413, "payload_too_large")

    def test_body_that_ends_early_is_a_400(self, service):
        """A length that lies upwards."""
        app = Flask(__name__)
        app.register_blueprint(auth_service_blueprint(service))
        answer = app.test_client().post(
            "/login",
            input_stream=io.BytesIO(CREDENTIALS),
            content_type=JSON,
            environ_overrides={"CONTENT_LENGTH": "1000"},
        )
        assert (answer.status_code, answer.json["error"]) == (400, "invalid_request")

    @pytest.mark.parametrize("error", [RuntimeError("no size"), ConnectionResetError()])
    def test_malformed_chunk_is_a_400(self, service, error):
        """Servers raise what they like for it, and for a peer that goes away."""

        class Malformed(io.RawIOBase):
            def read(self, size=-1):
                raise error

        app = Flask(__name__)
        app.register_blueprint(auth_service_blueprint(service))
        chunked = {"CONTENT_LENGTH": "", "wsgi.input_terminated": True, "wsgi.input": Malformed()}
        answer = app.test_client().post("/login", content_type=JSON, environ_overrides=chunked)
        assert (answer.status_code, answer.json["error"]) == (400, "invalid_request")

    @pytest.mark.parametrize(("size", "status"), [(len(CREDENTIALS), 200), (1_000_000, 413)])
    def test_chunked_body_is_capped(self, service, size, status):
        """Where the server ends the stream itself, we count, and stop."""
        stream = io.BytesIO(CREDENTIALS.ljust(size))
        app = Flask(__name__)
        app.register_blueprint(auth_service_blueprint(service))
        answer = app.test_client().post(
            "/login",
            input_stream=stream,
            content_type=JSON,
            environ_overrides={
                "CONTENT_LENGTH": "",
                "HTTP_TRANSFER_ENCODING": "chunked",
                "wsgi.input_terminated": True,
            },
        )
        assert answer.status_code == status
        assert stream.tell() <= 65_537

    def test_url_prefix_is_the_path_of_the_issuer(self):
        """RFC 8414, section 3.1: metadata also before the path, at the root."""
        app = Flask(__name__)
        blueprint = auth_service_blueprint(make_service("https://example.com/auth"))
        app.register_blueprint(blueprint, url_prefix="/auth")
        client = app.test_client()
        documents = [
            client.get(path).json
            for path in (
                "/auth/.well-known/oauth-authorization-server",
                "/auth/.well-known/openid-configuration",
                "/.well-known/oauth-authorization-server/auth",
                "/.well-known/openid-configuration/auth",
            )
        ]
        assert documents == [documents[0]] * 4
        assert documents[0]["introspection_endpoint"] == "https://example.com/auth/introspect"
        assert client.post("/auth/introspect").status_code == 401

    def test_rules_have_names(self, service):
        """For url_for."""
        app = Flask(__name__)
        app.register_blueprint(auth_service_blueprint(service, name="tokens"))
        with app.test_request_context():
            assert app.url_for("tokens.login") == "/login"


class TestDjango:
    def test_view_gives_nothing_no_length(self, service):
        """RFC 9110, section 8.6: what a project's middleware adds is the project's."""
        (row,) = [row for row in ENDPOINTS if row.name == "password_forgot"]
        members = {"email": "nobody@example.com"}
        asked = RequestFactory().post(row.path, members, content_type=JSON)
        answer = view_of(row)(asked)
        assert (answer.status_code, answer.content) == (204, b"")
        assert not answer.has_header("Content-Length")
        assert not answer.has_header("Content-Type")


class InProcess:
    """A transport that calls the auth service's WSGI application."""

    def __init__(self, service):
        self.client = WSGIClient(auth_service_app(service))
        self.asked = 0
        self.down = False

    def send(self, request, *, deadline):
        if self.down:
            raise AuthServiceUnavailable("down", reason="connect_failed")
        self.asked += 1
        path = request.url.removeprefix(ISSUER)
        answer = self.client.post(path, data=dict(request.form), headers=dict(request.headers))
        headers = {name.lower(): value for name, value in answer.headers}
        return ProtocolResponse(answer.status_code, headers, answer.data)

    def close(self):
        pass


def test_our_own_verifier_remembers_what_our_own_endpoint_says(service):
    """A good token and a bad one are asked about once each, and the good one outlives an outage."""
    transport = InProcess(service)
    client = IntrospectionClient(
        f"{ISSUER}/introspect",
        client_auth=ClientSecretBasic("orders", SECRET),
        transport=transport,
    )
    verifier = IntrospectionVerifier(client, audience="orders")
    credentials = LoginRequest(username="alice", password=PASSWORD)
    token = service.login_user(credentials).access_token
    for _ in range(5):
        assert verifier.verify(token).username == "alice"
        with pytest.raises(InvalidToken):
            verifier.verify("no-token-of-ours")
    assert transport.asked == 2
    transport.down = True
    assert verifier.verify(token).username == "alice"
