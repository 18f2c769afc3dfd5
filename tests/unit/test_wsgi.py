"""wsgi.AuthMiddleware and require: environment, deny, bodies, late errors (RULES 27 to 30)."""

import gc
import io
import sys
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

import pytest

from tokenward.authenticator import Authenticator, Credential, authorization, cookie
from tokenward.errors import AuthServiceUnavailable, ConfigurationError, Forbidden, TokenExpired
from tokenward.principal import ANONYMOUS, Principal
from tokenward.testing import StubVerifier, override_authenticator
from tokenward.wsgi import AuthMiddleware, require

ALICE = Principal("alice", scopes={"read"}, roles={"clerk"})
OUTCOMES = {"alice": ALICE, "old": TokenExpired(), "down": AuthServiceUnavailable()}


def make(app, **options):
    verifier = StubVerifier(OUTCOMES)
    places = (Credential(authorization(), verifier), Credential(cookie("session"), verifier))
    return AuthMiddleware(app, Authenticator(*places, **options))


def environ(token=None, *, method="GET", path="/", query="", **more):
    made = {"REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": path}
    made["QUERY_STRING"] = query
    if token is not None:
        made["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    made.update(more)
    setup_testing_defaults(made)
    return made


class Answer:
    """What a server gets from an application, checked against PEP 3333 on the way."""

    def __init__(self, app, request):
        self.begun = []
        body = app(request, self._start)
        try:
            self.body = b"".join(body)
        finally:
            close = getattr(body, "close", None)
            if close is not None:
                close()

    def _start(self, status, headers, exc_info=None):
        if exc_info is not None and self.begun:
            raise exc_info[1]
        self.begun.append((status, headers))
        return lambda _data: None

    @property
    def status(self):
        return int(self.begun[-1][0].split()[0])

    @property
    def headers(self):
        return dict(self.begun[-1][1])


def who(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["tokenward.principal"].subject.encode() or b"nobody"]


def ask(app, *args, **options):
    return Answer(validator(app), environ(*args, **options))


@pytest.mark.parametrize(
    ("token", "status", "body"),
    [(None, 200, b"nobody"), ("alice", 200, b"alice"), ("old", 401, None), ("down", 503, None)],
)
def test_allow_lets_nobody_through_and_refuses_what_is_refused(token, status, body):
    """A bad token is refused everywhere, not taken for none."""
    answer = ask(make(who), token)
    assert answer.status == status
    assert body is None or answer.body == body


@pytest.mark.parametrize(
    ("token", "path", "status", "body"),
    [
        (None, "/", 401, None),
        (None, "/nothing/there", 401, None),
        ("alice", "/", 200, b"alice"),
        ("old", "/", 401, None),
        (None, "/health", 200, b"nobody"),
        ("alice", "/health", 200, b"nobody"),
        ("old", "/health", 200, b"nobody"),
        ("down", "/health", 200, b"nobody"),
        (None, "/health/", 401, None),
        (None, "/docs/../admin", 401, None),
    ],
)
def test_deny_denies_what_is_not_public(token, path, status, body):
    """Whether or not there is anything; on a public path credentials are not looked at."""
    app = make(who, default_access="deny", public=["/health", "/docs/*"])
    answer = ask(app, token, path=path)
    assert answer.status == status
    assert body is None or answer.body == body


def test_public_paths_are_compared_decoded():
    """Servers hand the path over as Latin-1."""
    app = make(who, default_access="deny", public=["/caf\u00e9"])
    path = "/caf\u00e9".encode().decode("latin-1")
    assert ask(app, path=path).status == 200
    assert ask(app, path="/caf\u00e9").status == 401


def test_a_principal_from_outside_is_overwritten():
    """Whatever stood in the environment before."""
    request = environ()
    request["tokenward.principal"] = ALICE
    assert Answer(make(who), request).body == b"nobody"
    assert request["tokenward.principal"] is ANONYMOUS


def test_a_preflight_passes_and_no_other_options():
    """By nobody, also where everything is denied; what it is answered with has no body."""
    app = make(who, default_access="deny")
    preflight = {"HTTP_ORIGIN": "https://a.example", "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "PUT"}
    answer = ask(app, "old", method="OPTIONS", **preflight)
    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, b"", "0")
    assert ask(app, method="OPTIONS").status == 401


def overriding(app):
    """Let a header stand for the method, as a pattern in Flask's documentation does."""

    def overridden(environ, start_response):
        method = environ.get("HTTP_X_HTTP_METHOD_OVERRIDE", environ["REQUEST_METHOD"])
        return app(environ | {"REQUEST_METHOD": method}, start_response)

    return overridden


def test_a_preflight_runs_nothing_under_another_method():
    """The application gets the preflight of a browser, and no DELETE in the guise of one."""
    ran = []

    def noting(environ, start_response):
        ran.append(environ["REQUEST_METHOD"])
        return who(environ, start_response)

    app = make(overriding(noting), default_access="deny")
    preflight = {"HTTP_ORIGIN": "https://a.example", "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "PUT"}
    assert ask(app, method="OPTIONS", **preflight).status == 200
    preflight["HTTP_X_HTTP_METHOD_OVERRIDE"] = "DELETE"
    assert ask(app, method="OPTIONS", **preflight).status == 401
    assert ["OPTIONS"] == ran


def test_a_refusal_names_the_realm_and_its_length():
    """A whole response, with what it depends on."""
    answer = ask(make(who, realm="shop", default_access="deny"))
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="shop"'
    assert answer.headers["Content-Length"] == str(len(answer.body))
    assert answer.headers["Vary"] == "Authorization, Cookie"
    assert answer.begun[0][0] == "401 Unauthorized"


def test_a_refusal_of_head_has_no_body():
    """But the headers that GET would have."""
    app = make(who, default_access="deny")
    head, get = ask(app, method="HEAD"), ask(app)
    assert head.body == b""
    assert head.headers == get.headers


def raising(error, *, when):
    """Return an application that raises before, with or after the start of its response."""

    def early(_environ, _start_response):
        raise error

    def generator(_environ, _start_response):
        raise error
        yield b""

    def started(_environ, start_response):
        start_response("200 OK", [("Content-Length", "3")])
        raise error

    def started_generator(_environ, start_response):
        start_response("200 OK", [("Content-Length", "3")])
        raise error
        yield b""

    def written(_environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])(b"one")
        raise error

    def streaming(_environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"one"
        raise error

    def written_generator(environ, start_response):
        yield written(environ, start_response)

    return locals()[when]


@pytest.mark.parametrize("when", ["early", "generator", "started", "started_generator"])
def test_an_error_before_the_response_began_is_answered(when):
    """In one response: what the application had started is nowhere in it."""
    answer = Answer(make(raising(Forbidden("hint"), when=when)), environ("alice"))
    body = b'{"error":"forbidden","error_description":"The request is not allowed."}'
    assert [status for status, _ in answer.begun] == ["403 Forbidden"]
    assert answer.body == body
    assert [v for k, v in answer.begun[0][1] if k == "Content-Length"] == [str(len(body))]


@pytest.mark.parametrize("when", ["written", "streaming", "written_generator"])
def test_an_error_after_the_response_began_is_the_servers(when):
    """Two responses to one request would be worse than a broken one."""
    with pytest.raises(Forbidden):
        Answer(make(raising(Forbidden(), when=when)), environ("alice"))


@pytest.mark.parametrize("when", ["early", "generator"])
def test_other_exceptions_pass(when):
    """They are not ours to hide from a debugger or a server's log."""
    with pytest.raises(ZeroDivisionError):
        Answer(make(raising(ZeroDivisionError(), when=when)), environ("alice"))


def test_an_error_from_a_body_that_cannot_even_begin_is_answered():
    """A class-based application raises where others yield."""

    class Application:
        def __init__(self, _environ, _start_response):
            pass

        def __iter__(self):
            raise Forbidden

    assert Answer(make(Application), environ("alice")).status == 403


def test_a_check_inside_the_application_is_answered():
    """As a view of a framework would have it."""

    def app(environ, start_response):
        environ["tokenward.principal"].require_scopes("admin")
        return who(environ, start_response)

    assert ask(make(app), "alice").status == 403
    assert ask(make(app)).status == 401


class Body:
    """A body that remembers what was done with it."""

    def __init__(self, chunks=(b"one", b"two")):
        self.chunks = iter(chunks)
        self.closed = 0

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.chunks)

    def close(self):
        self.closed += 1


class Sized(Body):
    """A body whose length a server takes for the length of the content."""

    def __len__(self):
        return 1


def serving(body, status="200 OK", headers=()):
    """Return an application that answers with this very body."""

    def app(_environ, start_response):
        start_response(status, list(headers))
        return body

    return app


@pytest.mark.parametrize(
    "body", [Body(), Sized(), [b"one"], (b"one",), FileWrapper(io.BytesIO(b"one"))], ids=type
)
def test_a_body_passes_untouched(body):
    """The very object, so that a server can send a file by itself, or see the length of a list."""
    assert make(serving(body))(environ("alice"), lambda *_args: None) is body
    assert getattr(body, "closed", 0) == 0


class Late:
    """An application that starts the response when it is asked for its body, and its body."""

    def __init__(self, environ, start_response):
        self.start_response = start_response
        self.body = environ["body"]

    def __iter__(self):
        self.start_response("200 OK", [])
        return iter(self.body)

    def close(self):
        self.body.close()


def test_a_late_body_is_streamed_and_closed_once():
    """Chunk by chunk, although it starts the response only while it is read."""
    body = Body((b"one", b"two", b"three", b"four"))
    answer = make(Late)(environ("alice", body=body), lambda *_args: None)
    chunks = iter(answer)
    assert next(chunks) == b"one"
    assert next(body.chunks) == b"two"
    assert next(chunks) == b"three"
    answer.close()
    del answer, chunks
    gc.collect()
    assert body.closed == 1


def test_a_late_body_that_is_refused_is_closed_once():
    """Its first chunk is never made, and the server closes what it got."""
    body = Body(chunks=raising(Forbidden(), when="generator")(None, None))
    assert Answer(make(Late), environ("alice", body=body)).status == 403
    assert body.closed == 1


def test_a_late_body_without_close_or_content_is_no_matter():
    """Both are optional."""

    class Empty:
        def __iter__(self):
            return iter(())

    answer = make(lambda _environ, _start: Empty())(environ("alice"), lambda *_args: None)
    assert list(answer) == []
    assert answer.close() is None


def test_a_generator_without_a_chunk_starts_its_response():
    """An empty answer is one."""

    def app(_environ, start_response):
        start_response("204 No Content", [])
        yield from ()

    answer = ask(make(app), "alice")
    assert (answer.status, answer.body) == (204, b"")


def test_a_start_after_the_first_chunk_is_between_application_and_server():
    """PEP 3333 forbids it; nothing of it is held back."""
    begun = []

    def app(_environ, start_response):
        yield b""
        start_response("200 OK", [])
        yield b"one" if begun else b"held back"

    answer = make(app)(environ("alice"), lambda *started: begun.append(started))
    assert b"".join(answer) == b"one"


def test_a_refusal_of_head_in_a_generator_has_no_body():
    """But the length that GET would have."""
    app = make(raising(Forbidden(), when="generator"))
    answer = Answer(app, environ("alice", method="HEAD"))
    assert (answer.status, answer.body) == (403, b"")
    assert int(answer.headers["Content-Length"]) > 0


def test_a_response_that_the_server_refuses_leaves_no_body_open():
    """The application cannot know: it has returned."""
    body = Body()

    def start_response(_status, _headers):
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - the server's own
        make(serving(body))(environ("alice"), start_response)
    assert body.closed == 1


def test_exc_info_and_write_pass_through():
    """An application may change its mind, and may use the old way to send."""
    begun, sent = [], []

    def start_response(status, headers, exc_info=None):
        begun.append((status, exc_info))
        return sent.append

    def app(_environ, start):
        write = start("200 OK", [])
        write(b"x")
        try:
            {}.pop("nothing")
        except KeyError:
            start("500 Oops", [], sys.exc_info())(b"y")
        return []

    list(make(app)(environ("alice"), start_response))
    assert [status for status, _ in begun] == ["200 OK", "500 Oops"]
    assert begun[1][1][0] is KeyError
    assert sent == [b"x", b"y"]


def test_a_response_that_is_replaced_in_time_is_never_begun():
    """The server hears of the second alone, and why."""

    def app(_environ, start):
        start("200 OK", [("Content-Length", "3")])
        try:
            {}.pop("nothing")
        except KeyError:
            start("500 Oops", [], sys.exc_info())
        return [b"oops"]

    begun = []
    assert make(app)(environ("alice"), lambda *started: begun.append(started)) == [b"oops"]
    assert [status for status, *_ in begun] == ["500 Oops"]
    assert begun[0][2][0] is KeyError


@pytest.mark.parametrize("written", [b"", b"x"])
def test_a_second_start_without_exc_info_is_an_error(written):
    """PEP 3333 calls it fatal, whoever notices."""

    def app(_environ, start):
        write = start("200 OK", [])
        if written:
            write(written)
        start("200 OK", [])
        return []

    def start_response(_status, _headers):
        assert not begun
        begun.append(True)
        return lambda _data: None

    begun = []
    with pytest.raises(AssertionError):
        make(app)(environ("alice"), start_response)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([], [("Vary", "Authorization, Cookie")]),
        ([("Vary", "Accept")], [("Vary", "Accept, Authorization, Cookie")]),
        ([("vary", "A"), ("VARY", "cookie")], [("Vary", "A, cookie, Authorization")]),
        ([("Vary", "authorization, Cookie")], [("Vary", "authorization, Cookie")]),
        ([("Vary", "*")], [("Vary", "*")]),
    ],
)
def test_vary_joins_what_the_application_says(said, expected):
    """Each name once; the application's own list is left as it was."""
    own = [("X-Own", "1"), *said]
    kept = list(own)

    def app(_environ, start_response):
        start_response("200 OK", own)
        return []

    begun = []
    make(app)(environ("alice"), lambda status, headers: begun.append(headers))
    assert begun == [[("X-Own", "1"), *expected]]
    assert own == kept


def test_vary_is_absent_where_nothing_was_looked_at():
    """A public path answers everybody alike."""
    answer = ask(make(who, public=["/"]), "alice")
    assert "Vary" not in answer.headers


BY_COOKIE = {"HTTP_COOKIE": "session=alice"}
BY_BOTH = {"HTTP_AUTHORIZATION": "Bearer alice", **BY_COOKIE}
BY_HEADER = {"HTTP_AUTHORIZATION": "Bearer alice"}


@pytest.mark.parametrize(
    ("request_", "said", "expected"),
    [
        (BY_COOKIE, [], ["no-store"]),
        (BY_COOKIE, [("cache-control", "private, max-age=60")], ["private, max-age=60"]),
        (BY_COOKIE, [("CACHE-CONTROL", "")], [""]),
        (BY_BOTH, [], []),
        (BY_HEADER, [], []),
        ({}, [], []),
        ({"HTTP_COOKIE": "other=alice"}, [], []),
    ],
)
@pytest.mark.parametrize("status", ["200 OK", "304 Not Modified", "404 Not Found"])
def test_what_a_cookie_let_in_is_not_stored(request_, said, expected, status):
    """A browser must not show the page after its person signed out; unless the page says so."""
    kept = list(said)
    begun = []
    app = make(serving([], status, said))
    app(environ(**request_), lambda *started: begun.append(started))
    caching = [value for name, value in begun[0][1] if name.lower() == "cache-control"]
    assert (begun[0][0], caching) == (status, expected)
    assert said == kept


def test_a_cookie_on_a_public_path_changes_nothing():
    """Nobody looked at it."""
    answer = ask(make(who, public=["/"]), **BY_COOKIE)
    assert "Cache-Control" not in answer.headers


def requiring(**demands):
    """Return an application whose one view requires this."""

    def app(environ, start_response):
        principal = require(environ, **demands)
        assert principal is environ["tokenward.principal"]
        return who(environ, start_response)

    return app


@pytest.mark.parametrize(
    ("demands", "token", "expected"),
    [
        ({}, "alice", (200, b"alice")),
        ({}, None, (401, b"not_authenticated")),
        ({}, "old", (401, b"invalid_token")),
        ({}, "down", (503, b"temporarily_unavailable")),
        ({"scopes": ["read"]}, "alice", (200, b"alice")),
        ({"scopes": ["read", "write"]}, "alice", (403, b"insufficient_scope")),
        ({"scopes": ["read"]}, None, (401, b"not_authenticated")),
        ({"roles": {"clerk"}}, "alice", (200, b"alice")),
        ({"roles": ["owner"]}, "alice", (403, b"insufficient_scope")),
        ({"optional": True}, None, (200, b"nobody")),
        ({"optional": True}, "alice", (200, b"alice")),
        ({"optional": True, "scopes": ["write"]}, None, (200, b"nobody")),
        ({"optional": True, "scopes": ["write"]}, "alice", (403, b"insufficient_scope")),
        ({"optional": True}, "old", (401, b"invalid_token")),
    ],
)
def test_require_is_what_a_view_demands(demands, token, expected):
    """The principal, or an error that becomes the response."""
    answer = ask(make(requiring(**demands)), token)
    status, body = expected
    assert answer.status == status
    assert body in answer.body


def test_require_lets_a_preflight_through():
    """It has no credentials, and is not refused; nor does it get what the view would say."""
    preflight = {"HTTP_ORIGIN": "https://a.example", "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "PUT"}
    app = make(requiring(scopes=["write"]), default_access="deny")
    answer = ask(app, method="OPTIONS", **preflight)
    assert (answer.status, answer.body) == (200, b"")
    assert ask(app, "alice", method="OPTIONS").status == 403
    preflight["HTTP_X_HTTP_METHOD_OVERRIDE"] = "DELETE"
    assert ask(make(requiring()), method="OPTIONS", **preflight).status == 401


def test_require_finds_nobody_on_a_public_path():
    """Credentials are not looked at there, so nobody can be let in by them."""
    assert ask(make(requiring(), public=["/"]), "alice").status == 401


def test_require_live_asks_the_issuer():
    """What was decided from a cache counts no more, whichever way the answer goes."""

    class Verifier:
        now = ALICE

        def verify(self, token, /, *, live=False):
            if not live:
                return ALICE
            if isinstance(self.now, Exception):
                raise self.now
            return self.now

    verifier = Verifier()
    app = AuthMiddleware(
        requiring(scopes=["read"], live=True), Authenticator(Credential(authorization(), verifier))
    )
    assert ask(app, "t").body == b"alice"
    verifier.now = Principal("alice", scopes=())
    assert ask(app, "t").status == 403
    verifier.now = TokenExpired()
    request = environ("t")
    assert Answer(app, request).status == 401
    assert request["tokenward.principal"] is ANONYMOUS


def test_require_without_the_middleware_says_what_is_missing():
    """A program that forgot it lets nobody in, also where it sets the principal itself."""
    with pytest.raises(ConfigurationError, match=r"put tokenward\.wsgi\.AuthMiddleware around"):
        require(environ("alice", **{"tokenward.principal": ALICE}))


def test_require_asks_whoever_decided():
    """Also where a test has put another authenticator in force."""
    other = Authenticator(Credential(authorization(), StubVerifier({"t": Principal("bob")})))
    with override_authenticator(other):
        assert ask(make(requiring(live=True)), "t").body == b"bob"


def test_an_own_error_with_an_unknown_status_is_answered():
    """Programs may subclass."""

    class Odd(Forbidden):
        status_code = 499

    answer = Answer(make(raising(Odd(), when="early")), environ("alice"))
    assert answer.begun[0][0] == "499 Refused"


def test_the_query_and_the_method_take_part():
    """A token in the query too is refused; a cookie needs proof of its site."""
    assert ask(make(who), "alice", query="access_token=x").status == 400
    assert ask(make(who), HTTP_COOKIE="session=alice").body == b"alice"
    post = {"method": "POST", "HTTP_COOKIE": "session=alice", "CONTENT_LENGTH": "0"}
    assert ask(make(who), **post).status == 403
    assert ask(make(who), HTTP_SEC_FETCH_SITE="same-origin", **post).body == b"alice"
