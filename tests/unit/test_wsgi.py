"""wsgi.AuthMiddleware: environment, deny, bodies, late errors (RULES 28, 30; PEP 3333)."""

import sys
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from tokenward.authenticator import Authenticator, Credential, authorization, cookie
from tokenward.errors import AuthServiceUnavailable, Forbidden, TokenExpired
from tokenward.principal import ANONYMOUS, Principal
from tokenward.testing import StubVerifier
from tokenward.wsgi import AuthMiddleware

ALICE = Principal("alice", scopes={"read"})
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
    """By nobody, also where everything is denied."""
    app = make(who, default_access="deny")
    preflight = {"HTTP_ORIGIN": "https://a.example", "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "PUT"}
    assert ask(app, "old", method="OPTIONS", **preflight).body == b"nobody"
    assert ask(app, method="OPTIONS").status == 401


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

    def begun(_environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        raise error

    def streaming(_environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"one"
        raise error

    return {"early": early, "generator": generator, "begun": begun, "streaming": streaming}[when]


@pytest.mark.parametrize("when", ["early", "generator"])
def test_an_error_before_the_response_began_is_answered(when):
    """Also from a generator, which runs only when the server asks for its body."""
    answer = Answer(make(raising(Forbidden("hint"), when=when)), environ("alice"))
    assert answer.status == 403
    assert answer.body == b'{"error":"forbidden","error_description":"The request is not allowed."}'


@pytest.mark.parametrize("when", ["begun", "streaming"])
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


def test_a_body_passes_untouched():
    """The very object, so that a server can send a file by itself."""
    body = Body()

    def app(_environ, start_response):
        start_response("200 OK", [])
        return body

    assert make(app)(environ("alice"), lambda *_args: None) is body


def test_a_late_body_is_streamed_and_closed():
    """Chunk by chunk, also when it begins the response only while it is read."""
    body = Body()

    def app(_environ, start_response):
        def chunks():
            start_response("200 OK", [])
            yield from body

        made = Body(chunks())
        body.close = made.close
        app.made = made
        return made

    answer = make(app)(environ("alice"), lambda *_args: None)
    chunks = iter(answer)
    assert next(chunks) == b"one"
    assert next(body.chunks) == b"two"
    answer.close()
    assert app.made.closed == 1


def test_a_late_body_without_close_or_content_is_no_matter():
    """Both are optional."""

    class Empty:
        def __iter__(self):
            return iter(())

    answer = make(lambda _environ, _start: Empty())(environ("alice"), lambda *_args: None)
    assert list(answer) == []
    assert answer.close() is None


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
            start("500 Oops", [], sys.exc_info())
        return []

    list(make(app)(environ("alice"), start_response))
    assert [status for status, _ in begun] == ["200 OK", "500 Oops"]
    assert begun[1][1][0] is KeyError
    assert sent == [b"x"]


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
