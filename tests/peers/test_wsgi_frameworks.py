"""Bottle, Falcon, Pyramid and bare WSGI behind `AuthMiddleware` and real servers, beside Flask."""

import contextlib
import hashlib
import http.client
import io
import json
import re
import socket
import struct
import subprocess
import sys
import threading
import tomllib
import warnings
from dataclasses import dataclass
from pathlib import Path
from socketserver import ThreadingMixIn
from types import ModuleType
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from flask import Flask
from waitress.server import create_server

from tokenward.authenticator import Authenticator, Credential, authorization, cookie
from tokenward.config import Settings
from tokenward.errors import AuthError, AuthServiceUnavailable, TokenExpired
from tokenward.flask import Tokenward, login_required, scopes_required
from tokenward.principal import Principal
from tokenward.testing import StubVerifier, login_as
from tokenward.wsgi import (
    AuthMiddleware,
    BottlePlugin,
    falcon_error_handler,
    pyramid_error_view,
    require,
)

with warnings.catch_warnings():
    # WebOb, below Pyramid, and older versions of the others import the standard library's cgi.
    warnings.simplefilter("ignore", DeprecationWarning)
    import bottle

    # Bottle 0.12 leaves an import hook behind that Python 3.11 complains of at every other import.
    sys.meta_path[:] = [finder for finder in sys.meta_path if hasattr(finder, "find_spec")]
    import falcon
    from pyramid.config import Configurator
    from pyramid.response import Response

METHODS = ["GET", "HEAD", "POST"]
TEXT = "text/plain; charset=utf-8"
TIMEOUT = 90


def make_authenticator(**options):
    outcomes = {
        "alice": Principal("alice", scopes={"orders:read"}),
        "old": TokenExpired("a hint"),
        "down": AuthServiceUnavailable("a hint", retry_after=20),
    }
    verifier = StubVerifier(outcomes)
    places = (Credential(authorization(), verifier), Credential(cookie("session"), verifier))
    return Authenticator(*places, realm='the "shop"', **options)


# --- the same views in each framework -------------------------------------------------------------
# A view takes the environment; it returns bytes, or a body to be streamed.


def bare(views):
    def app(environ, start_response):
        body = views[environ["PATH_INFO"]](environ)
        start_response("200 OK", [("Content-Type", TEXT)])
        if environ["REQUEST_METHOD"] == "HEAD":
            return []
        return [body] if isinstance(body, bytes) else body

    return app


def streamed(body):
    """Yield a view's body, and close it as a careful generator does."""
    if isinstance(body, bytes):
        yield body
        return
    with contextlib.closing(body):
        for chunk in body:  # noqa: UP028 - closing this generator would close the body twice
            yield chunk


def bare_generator(views):
    def app(environ, start_response):
        # First, as many do who do not expect to change their minds.
        start_response("200 OK", [("Content-Type", TEXT)])
        body = views[environ["PATH_INFO"]](environ)
        if environ["REQUEST_METHOD"] != "HEAD":
            yield from streamed(body)

    return app


def bottle_app(views):
    app = bottle.Bottle()

    def route(view):
        def callback():
            bottle.response.content_type = TEXT
            return view(bottle.request.environ)

        return callback

    for path, view in views.items():
        app.route(path, method=METHODS, callback=route(view))
    return app


def with_bottle(views):
    app = bottle_app(views)
    app.install(BottlePlugin(bottle))
    return app


def with_bottle_generator(views):
    def generator(view):
        def chunks(environ):
            yield from streamed(view(environ))

        return chunks

    return with_bottle({path: generator(view) for path, view in views.items()})


def bottle_that_catches_nothing(views):
    app = bottle_app(views)
    app.catchall = False
    return app


def with_falcon(views, **options):
    class Resource:
        def __init__(self, view):
            self.view = view

        def on_get(self, req, resp):
            body = self.view(req.env)
            resp.content_type = TEXT
            if isinstance(body, bytes):
                resp.data = body
            else:
                resp.stream = body

        on_head = on_post = on_get

    app = falcon.App(**options)
    app.add_error_handler(AuthError, falcon_error_handler)
    for path, view in views.items():
        app.add_route(path, Resource(view))
    return app


def pyramid_app(views, prepare=lambda config: None):
    def view_of(view):
        def answer(request):
            body = view(request.environ)
            app_iter = [body] if isinstance(body, bytes) else body
            return Response(app_iter=app_iter, content_type="text/plain")

        return answer

    with Configurator() as config:
        prepare(config)
        for path, view in views.items():
            config.add_route(path, path)
            config.add_view(view_of(view), route_name=path)
        return config.make_wsgi_app()


def with_pyramid(views):
    def prepare(config):
        config.add_exception_view(pyramid_error_view, context=AuthError)
        # As a shop has it that shows a page of its own.
        config.add_exception_view(lambda _error, _request: Response(status=500), context=Exception)

    return pyramid_app(views, prepare)


DOORS = {
    "bare": bare,
    "bare generator": bare_generator,
    "bottle": with_bottle,
    "bottle generator": with_bottle_generator,
    "bottle that catches nothing": bottle_that_catches_nothing,
    "falcon": with_falcon,
    "pyramid": with_pyramid,
    "pyramid without a view for errors": pyramid_app,
}


# --- real servers ---------------------------------------------------------------------------------


class ThreadingServer(ThreadingMixIn, WSGIServer):
    """The standard library's, with a thread for each connection."""


class Handler(WSGIRequestHandler):
    def log_message(self, *_args):
        """Say nothing: what is asked for is no news."""


@contextlib.contextmanager
def by_wsgiref(app):
    server = ThreadingServer(("127.0.0.1", 0), Handler)
    server.set_app(app)
    thread = threading.Thread(target=server.serve_forever, args=[0.02])
    thread.start()
    try:
        yield server.server_address
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def by_waitress(app):
    sockets = {}
    listener = socket.create_server(("127.0.0.1", 0))
    server = create_server(app, map=sockets, sockets=[listener], asyncore_loop_timeout=0.1)
    stopping = threading.Event()

    def run():
        while not stopping.is_set():
            server.asyncore.loop(timeout=0.1, map=sockets, count=1)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield listener.getsockname()
    finally:
        stopping.set()
        server.pull_trigger()
        thread.join()
        server.task_dispatcher.shutdown()
        for each in list(sockets.values()):
            each.close()


SERVERS = {"wsgiref": by_wsgiref, "waitress": by_waitress}


@contextlib.contextmanager
def request(address, target, lines=()):
    """Send one request, byte by byte as written here; repeated headers stay two lines."""
    method, _, path = target.rpartition(" ")
    head = [f"{method or 'GET'} {path} HTTP/1.1", "Host: localhost", "Connection: close"]
    head += [f"{name}: {value}" for name, value in lines]
    with socket.create_connection(address, timeout=TIMEOUT) as connection:
        connection.sendall("\r\n".join([*head, "", ""]).encode("latin-1"))
        response = http.client.HTTPResponse(connection, method=method or "GET")
        try:
            response.begin()
            yield response
        finally:
            response.close()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list
    body: bytes

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name]


def ask(address, target, *lines):
    with request(address, target, lines) as response:
        return Answer(response.status, response.getheaders(), response.read())


def call(app, target, *lines):
    """Ask without a server; return the answer, and what was logged."""
    method, _, path = target.rpartition(" ")
    environ = {"REQUEST_METHOD": method or "GET", "SCRIPT_NAME": "", "PATH_INFO": path}
    environ |= {"HTTP_" + name.upper(): value for name, value in lines}
    setup_testing_defaults(environ)
    environ["wsgi.errors"] = log = io.StringIO()
    begun = []
    body = app(environ, lambda *started: begun.append(started))
    try:
        content = b"".join(body)
    finally:
        if hasattr(body, "close"):
            body.close()
    ((status, headers, *_),) = begun
    return Answer(int(status[:3]), headers, content), log.getvalue()


# --- refusals -------------------------------------------------------------------------------------


def who(environ):
    return environ["tokenward.principal"].subject.encode()


def write(environ):
    environ["tokenward.principal"].require_scopes("orders:write")
    return who(environ)


def outage(_environ):
    raise AuthServiceUnavailable("a hint", retry_after=20)


def crash(_environ):
    raise ZeroDivisionError


VIEWS = {"/": who, "/write": write, "/outage": outage, "/crash": crash}


def reference():
    app = Flask("shop")
    Tokenward(app, make_authenticator())
    answers = {
        "/": login_required(lambda: "alice"),
        "/write": scopes_required("orders:write")(lambda: "alice"),
        "/outage": login_required(lambda: outage(None)),
    }
    for path, view in answers.items():
        app.add_url_rule(path, path, view, methods=METHODS)
    return app


def bearer(token):
    return ("Authorization", f"Bearer {token}")


ALICE = bearer("alice")
BY_COOKIE = ("Cookie", "session=alice")

REFUSED = {
    "nothing": (("/",), 401, "not_authenticated"),
    "nothing, at a view that demands more": (("/write",), 401, "not_authenticated"),
    "malformed": (("/", bearer("a b")), 400, "invalid_request"),
    "the scheme alone": (("/", ("Authorization", "Bearer")), 400, "invalid_request"),
    "a doubled header": (("/", ALICE, ALICE), 400, "invalid_request"),
    "in the query too": (("/?access_token=alice", ALICE), 400, "invalid_request"),
    "an unknown token": (("/", bearer("nonsense")), 401, "invalid_token"),
    "an expired token": (("/", bearer("old")), 401, "invalid_token"),
    "too little scope, said by the view": (("/write", ALICE), 403, "insufficient_scope"),
    "the same with a cookie": (("/write", BY_COOKIE), 403, "insufficient_scope"),
    "a cookie and an unsafe method": (("POST /", BY_COOKIE), 403, "cross_site_request"),
    "an outage": (("/", bearer("down")), 503, "temporarily_unavailable"),
    "an outage, said by the view": (("/outage", ALICE), 503, "temporarily_unavailable"),
    "HEAD of nothing": (("HEAD /",), 401, None),
    "HEAD with too little scope": (("HEAD /write", ALICE), 403, None),
    "HEAD in an outage, said by the view": (("HEAD /outage", ALICE), 503, None),
}


@pytest.fixture(scope="module")
def flask_address():
    with by_wsgiref(reference()) as address:
        yield address


@pytest.fixture(scope="module", params=SERVERS)
def serve(request):
    return SERVERS[request.param]


@pytest.fixture(scope="module", params=DOORS)
def door(request):
    return DOORS[request.param]


@pytest.fixture(scope="module")
def address(serve, door):
    """The middleware in front of a framework, both held to PEP 3333, behind a real server."""
    app = AuthMiddleware(validator(door(VIEWS)), make_authenticator(default_access="deny"))
    with serve(validator(app)) as address:
        yield address


def seen(answer):
    """Return what a client is told."""
    names = ("www-authenticate", "content-type", "content-length", "cache-control", "vary")
    return answer.status, {name: answer.all(name) for name in names}, answer.body


@pytest.mark.parametrize(("asked", "status", "error"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_is_the_same_as_in_flask(address, flask_address, asked, status, error):
    """Whoever refuses, the middleware or a view; each header once."""
    here, there = ask(address, *asked), ask(flask_address, *asked)
    assert seen(there) == seen(here)
    assert (status, error) == (here.status, json.loads(here.body)["error"] if here.body else None)
    assert ["no-store"] == here.all("cache-control")
    assert (status == 503) is (len(here.all("retry-after")) == 1) is bool(there.all("retry-after"))
    assert all(20 <= int(seconds) <= 30 for seconds in here.all("retry-after"))


@pytest.mark.parametrize("target", ["/", "HEAD /"])
@pytest.mark.parametrize(
    ("line", "caching"), [(ALICE, []), (BY_COOKIE, ["no-store"])], ids=["token", "cookie"]
)
def test_who_is_let_in_is_answered_by_the_view(address, target, line, caching):
    """With what its answer depends on; what a cookie let in is not stored."""
    answer = ask(address, target, line)
    assert (200, b"" if "HEAD" in target else b"alice") == (answer.status, answer.body)
    assert ["Authorization, Cookie"] == answer.all("vary")
    assert caching == answer.all("cache-control")


@pytest.mark.parametrize("asked", [("/write", ALICE), ("/outage", ALICE), ("/", bearer("old"))])
def test_a_refusal_is_no_crash_in_the_log(door, asked):
    """Nobody fills the log with tracebacks by asking for what is not theirs."""
    app = AuthMiddleware(door(VIEWS), make_authenticator())
    answer, log = call(app, *asked)
    assert (True, "") == (answer.status in {401, 403, 503}, log)


def test_a_crash_stays_the_frameworks(door):
    """It is answered, logged or passed on as without tokenward."""

    def outcome(app):
        try:
            answer, log = call(app, "/crash", ALICE)
        except ZeroDivisionError:
            return "raised"
        assert answer.status == 500
        return answer.body, bool(log)

    assert outcome(door(VIEWS)) == outcome(AuthMiddleware(door(VIEWS), make_authenticator()))


# --- what is natural in each framework ------------------------------------------------------------


def test_bottles_hooks_see_the_refusal():
    """Which is a response like others: CORS headers, request ids and counters reach it."""
    app = with_bottle(VIEWS)

    @app.hook("after_request")
    def count():
        bottle.response.set_header("X-Seen", str(bottle.response.status_code))

    answer, _ = call(AuthMiddleware(app, make_authenticator()), "/write", ALICE)
    # Before 0.13 hooks never saw a response that was raised.
    seen = [] if bottle.__version__.startswith("0.12.") else ["403"]
    assert (403, seen) == (answer.status, answer.all("x-seen"))


def test_falcons_middleware_sees_the_refusal():
    """As with Bottle."""

    class Counter:
        def process_response(self, req, resp, resource, req_succeeded):
            resp.set_header("X-Seen", str(falcon.http_status_to_code(resp.status)))

    app = AuthMiddleware(with_falcon(VIEWS, middleware=[Counter()]), make_authenticator())
    answer, _ = call(app, "/write", ALICE)
    assert (403, ["403"]) == (answer.status, answer.all("x-seen"))


def counting_tween(handler, _registry):
    def tween(request):
        response = handler(request)
        response.headers["X-Seen"] = str(response.status_code)
        return response

    return tween


def test_pyramids_tweens_see_the_refusal():
    """As with Bottle."""

    def prepare(config):
        config.add_exception_view(pyramid_error_view, context=AuthError)
        config.add_tween(f"{__name__}.counting_tween")

    app = AuthMiddleware(pyramid_app(VIEWS, prepare), make_authenticator())
    answer, _ = call(app, "/write", ALICE)
    assert (403, ["403"]) == (answer.status, answer.all("x-seen"))


def half_done_bottle():
    app = bottle.Bottle()
    app.install(BottlePlugin(bottle))

    @app.get("/")
    def view():
        bottle.response.set_header("Cache-Control", "public")
        bottle.response.set_header("Content-Length", "3")
        bottle.response.content_type = "text/html"
        require(bottle.request.environ, scopes=["orders:write"])

    return app


def half_done_falcon():
    class Resource:
        def on_get(self, req, resp):
            resp.set_header("Cache-Control", "public")
            resp.set_header("Content-Length", "3")
            resp.content_type = "text/html"
            resp.text = "the secret"
            resp.media = {"the": "secret"}
            require(req.env, scopes=["orders:write"])

    app = falcon.App()
    app.add_error_handler(AuthError, falcon_error_handler)
    app.add_route("/", Resource())
    return app


def half_done_pyramid():
    def view(request):
        request.response.headers.update({"Cache-Control": "public", "ETag": '"x"'})
        request.response.text = "the secret"
        require(request.environ, scopes=["orders:write"])

    with Configurator() as config:
        config.add_exception_view(pyramid_error_view, context=AuthError)
        config.add_route("home", "/")
        config.add_view(view, route_name="home")
        return config.make_wsgi_app()


@pytest.mark.parametrize("make", [half_done_bottle, half_done_falcon, half_done_pyramid])
def test_what_a_view_had_prepared_is_not_in_the_refusal(make):
    """Neither its body, nor its type, its length or its leave to be stored."""
    answer, _ = call(AuthMiddleware(make(), make_authenticator()), "/", ALICE)
    assert (403, "insufficient_scope") == (answer.status, json.loads(answer.body)["error"])
    assert ["no-store"] == answer.all("cache-control")
    assert ["application/json"] == answer.all("content-type")
    assert [str(len(answer.body))] == answer.all("content-length")
    assert b"secret" not in answer.body


@pytest.mark.parametrize("make", [with_bottle, with_falcon, with_pyramid])
def test_an_error_is_answered_without_the_middleware_too(make):
    """A login view may raise `InvalidCredentials` where nothing else is protected."""
    answer, _ = call(make({"/": outage}), "/")
    assert (503, ["no-store"]) == (answer.status, answer.all("cache-control"))


@pytest.mark.parametrize(
    ("first", "expected"), [("ours", "InsufficientScope"), ("theirs", "HTTPResponse")]
)
def test_other_bottle_plugins_see_that_the_route_failed(first, expected):
    """So that they roll back what it has begun; those installed later see the error itself."""
    seen = []

    def transaction(callback):
        def wrapper(*args, **kwargs):
            try:
                result = callback(*args, **kwargs)
            except Exception as error:
                seen.append(type(error).__name__)
                raise
            seen.append("committed")
            return result

        return wrapper

    app = bottle_app(VIEWS)
    ours = BottlePlugin(bottle)
    for plugin in (ours, transaction) if first == "ours" else (transaction, ours):
        app.install(plugin)
    answer, _ = call(AuthMiddleware(app, make_authenticator()), "/write", ALICE)
    assert (403, [expected]) == (answer.status, seen)


def test_bottle_hands_a_routes_arguments_and_result_over():
    """The plugin is in the way of nothing."""
    app = bottle.Bottle()
    app.install(BottlePlugin(bottle))

    @app.get("/orders/<number:int>")
    def order(number):
        return {"number": number}

    answer, _ = call(AuthMiddleware(app, make_authenticator()), "/orders/7", ALICE)
    assert (200, {"number": 7}) == (answer.status, json.loads(answer.body))


# --- bodies ---------------------------------------------------------------------------------------


class Chunks:
    """A body that counts how often it is closed."""

    def __init__(self, chunks):
        self._chunks = chunks
        self.closings = 0
        self.closed = threading.Event()

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._chunks)

    def close(self):
        self.closings += 1
        self.closed.set()


def test_a_body_arrives_chunk_by_chunk_and_is_closed_once(serve, door):
    """The second chunk is made only when the first one was received."""
    received, made = threading.Event(), []

    def chunks():
        made.append("one")
        yield b"one"
        assert received.wait(TIMEOUT)
        made.append("two")
        yield b"two"

    body = Chunks(chunks())
    app = AuthMiddleware(door({"/": lambda _environ: body}), make_authenticator())
    with serve(app) as address, request(address, "/", [ALICE]) as response:
        assert (b"one", ["one"]) == (response.read(3), made)
        received.set()
        assert b"two" == response.read()
        assert body.closed.wait(TIMEOUT)
    assert 1 == body.closings


def test_a_body_is_closed_once_when_the_client_goes_away(serve, door):
    """Nobody reads it any more, and what it holds is given back."""

    def chunks():
        while True:
            yield b"x" * 65_536

    body = Chunks(chunks())
    app = AuthMiddleware(door({"/": lambda _environ: body}), make_authenticator())
    with serve(app) as address:
        with socket.create_connection(address, timeout=TIMEOUT) as connection:
            # Closing resets the connection.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(b"GET / HTTP/1.0\r\nAuthorization: Bearer alice\r\n\r\n")
            assert connection.recv(1000)
        assert body.closed.wait(TIMEOUT)
    assert 1 == body.closings


FILES = {
    "bare": lambda file: lambda environ: environ["wsgi.file_wrapper"](file),
    "bottle": lambda file: lambda _environ: file,
    "falcon": lambda file: lambda _environ: file,
    "pyramid": lambda file: lambda environ: environ["wsgi.file_wrapper"](file),
}


@pytest.mark.parametrize("name", FILES)
def test_a_big_file_goes_out_by_the_servers_own_means(serve, name, tmp_path):
    """The server gets back its own wrapper, and may send the file as it knows best."""
    path = tmp_path / "big"
    content = hashlib.shake_256(b"big").digest(5_000_000)
    path.write_bytes(content)
    bodies = []

    def between(app):
        def record(environ, start_response):
            body = app(environ, start_response)
            bodies.append(isinstance(body, environ["wsgi.file_wrapper"]))
            return body

        return record

    with path.open("rb") as file:
        framework = DOORS[name]({"/": FILES[name](file)})
        with serve(between(AuthMiddleware(framework, make_authenticator()))) as address:
            answer = ask(address, "/", ALICE)
        assert file.closed
    assert (200, [True]) == (answer.status, bodies)
    assert content == answer.body


BEHIND_GUNICORN = """
from tokenward.authenticator import Authenticator, Credential, authorization
from tokenward.principal import Principal
from tokenward.testing import StubVerifier
from tokenward.wsgi import AuthMiddleware, require

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "1000000")])
    require(environ, scopes=[environ["PATH_INFO"].strip("/")])
    return environ["wsgi.file_wrapper"](open("big", "rb"))

verifier = StubVerifier({"alice": Principal("alice", scopes={"read"})})
application = AuthMiddleware(app, Authenticator(Credential(authorization(), verifier)))
"""


def test_gunicorn_sends_one_response_and_the_file(tmp_path):
    """Given two starts it would send the headers of both: two lengths, and only one is true."""
    (tmp_path / "protected.py").write_text(BEHIND_GUNICORN)
    (tmp_path / "big").write_bytes(b"x" * 1_000_000)
    listener = socket.create_server(("127.0.0.1", 0))
    fd = listener.fileno()
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", f"--bind=fd://{fd}", "--log-level=warning"),
            *("--timeout=600", "--worker-tmp-dir", str(tmp_path), "protected:application"),
        ],
        cwd=tmp_path,
        pass_fds=[fd],
        stderr=subprocess.PIPE,
    )
    with listener:
        file = ask(listener.getsockname(), "/read", ALICE)
        little = ask(listener.getsockname(), "/write", ALICE)
    server.terminate()
    _, complaints = server.communicate(timeout=TIMEOUT)
    assert (200, b"x" * 1_000_000) == (file.status, file.body)
    assert (403, [str(len(little.body))]) == (little.status, little.all("content-length"))
    assert b"" == complaints


# --- the page -------------------------------------------------------------------------------------

PAGE = (Path(__file__).parents[2] / "docs" / "adapters" / "wsgi.md").read_text("utf-8")
PROGRAMS = dict(re.findall(r"^## ([^\n]+)\n\n```python\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE))


@pytest.fixture(params=PROGRAMS)
def application(request, monkeypatch, tmp_path):
    """The application of one of the page's programs, with the page's configuration."""
    (config,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "tokenward.toml").write_text(config, "utf-8")
    monkeypatch.setenv("TOKENWARD_CONFIG", str(tmp_path / "tokenward.toml"))
    monkeypatch.setenv("AS_SECRET", "f3a9c1e07b5d4826-of-a-test")
    program = ModuleType("program_of_the_page")
    # Pyramid looks the module up that makes a Configurator.
    monkeypatch.setitem(sys.modules, program.__name__, program)
    exec(compile(PROGRAMS[request.param], "docs/adapters/wsgi.md", "exec"), vars(program))  # noqa: S102
    return program.application


def test_the_page_has_a_program_for_each():
    """None is lost by a change of its heading."""
    assert ["Bare WSGI", "Bottle", "Falcon", "Pyramid"] == list(PROGRAMS)


def test_the_pages_programs_do_what_the_page_says(application):
    """Public, refused, too little, enough."""
    with by_wsgiref(application) as address:
        public, nobody = ask(address, "/health"), ask(address, "/orders")
        with login_as(application, "alice"):
            little = ask(address, "/orders")
        with login_as(application, "alice", scopes=["orders:read"]):
            enough = ask(address, "/orders")
    assert (200, b"for anybody") == (public.status, public.body)
    assert (401, ['Bearer realm="orders"']) == (nobody.status, nobody.all("www-authenticate"))
    assert (403, "insufficient_scope") == (little.status, json.loads(little.body)["error"])
    assert (200, b"for alice") == (enough.status, enough.body)


def test_the_pages_configuration_is_one(monkeypatch):
    """And denies what it does not know, as the page's steps say."""
    monkeypatch.setenv("AS_SECRET", "f3a9c1e07b5d4826-of-a-test")
    (config,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert "deny" == Settings.model_validate(tomllib.loads(config)).default_access
