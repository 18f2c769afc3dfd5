"""A token source as the auth of a requests session, over real HTTP."""

import gzip
import io
import json
import traceback

import pytest
import requests
import responses

from tokenward.client_auth import ClientCredentials, ClientSecretBasic
from tokenward.client_auth.client_credentials import RENEW_AFTER
from tokenward.client_auth.resending import MAX_REFUSAL_BYTES
from tokenward.errors import AuthServiceUnavailable
from tokenward.testing import FakeAuthorizationServer, FakeClock
from tokenward.testing._loopback import Answer, LoopbackServer


class CountingServer(LoopbackServer):
    """It knows how many connections there were."""

    connections = 0

    def process_request(self, request, client_address):
        self.connections += 1
        super().process_request(request, client_address)


class Service:
    """Answers requests whose token it takes, and tells the others so."""

    def __init__(self):
        self.refused = set()
        self.refusal = b"no"
        self.refusal_headers = {}
        self.requests = []
        self.answers = {}
        self._server = CountingServer(self._answer)
        self._server.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def _answer(self, request):
        self.requests.append(request)
        if self.token_of(request) in self.refused:
            headers = {"WWW-Authenticate": 'Bearer error="invalid_token"', "Set-Cookie": "a=b"}
            return Answer(401, self.refusal, headers | self.refusal_headers)
        return self.answers.get(request.path, Answer(200, b"yes"))

    @staticmethod
    def token_of(request):
        return request.headers.get("authorization", "").removeprefix("Bearer ")

    @property
    def connections(self):
        return self._server.connections

    @property
    def tokens(self):
        return [self.token_of(request) for request in self.requests]

    def stop(self):
        self._server.stop()


class Everything:
    """Every token there is."""

    def __contains__(self, token):
        return True


@pytest.fixture
def service():
    """Run a service that takes every token until it is told otherwise."""
    running = Service()
    yield running
    running.stop()


@pytest.fixture
def clock():
    """A clock that stands until it is moved."""
    return FakeClock(1_700_000_000)


@pytest.fixture
def server(clock):
    """Run an authorization server."""
    with FakeAuthorizationServer(clock=clock) as fake:
        yield fake


@pytest.fixture
def source(server, clock):
    """Return a source of that server's tokens, the first of them old enough to be replaced."""
    auth = ClientSecretBasic(server.client_id, server.client_secret)
    source = ClientCredentials(server.token_endpoint, client_auth=auth, clock=clock)
    source()
    clock.advance(RENEW_AFTER)
    yield source
    source.close()


@pytest.fixture
def session(source):
    """Return a session that sends them."""
    with requests.Session() as session:
        session.trust_env = False
        session.auth = source
        yield session


def test_a_session_sends_the_token(service, server, session, source):
    """The same one with every request, until it is due."""
    answers = [session.get(service.url) for _ in range(3)]

    assert [200, 200, 200] == [answer.status_code for answer in answers]
    assert [source()] * 3 == service.tokens
    assert 1 == len(server.requests("/token"))


def test_a_refused_token_is_replaced_once(service, server, session, source):
    """The caller sees the second answer, and the first in its history."""
    first = source()
    service.refused.add(first)
    answer = session.get(service.url + "/orders")

    assert (200, b"yes") == (answer.status_code, answer.content)
    assert [first, source()] == service.tokens
    assert first != source()
    assert [401] == [earlier.status_code for earlier in answer.history]
    assert b"no" == answer.history[0].content
    assert f"Bearer {source()}" == answer.request.headers["Authorization"]
    assert 2 == len(server.requests("/token"))


def test_both_requests_use_one_connection(service, session, source):
    """The refusal is read to its end, so its connection is free for the second."""
    service.refused.add(source())
    session.get(service.url)

    assert (1, 2) == (service.connections, len(service.requests))


def test_the_cookies_of_the_refusal_are_kept(service, session, source):
    """As requests keeps those of any answer in a history."""
    service.refused.add(source())
    session.get(service.url)

    assert {"a": "b"} == session.cookies.get_dict()


def test_a_token_that_was_just_replaced_is_not_replaced_again(
    service, server, session, source, clock
):
    """The refusal is the caller's, and nothing is asked."""
    source.invalidate(source())
    service.refused.add(source())
    clock.advance(RENEW_AFTER - 0.1)
    answer = session.get(service.url)

    assert (401, b"no", []) == (answer.status_code, answer.content, answer.history)
    assert 1 == len(service.requests)
    assert 2 == len(server.requests("/token"))


def test_a_service_that_refuses_every_token(service, server, session):
    """It takes the token of nobody else, and has one more asked for, not one with each request."""
    service.refused = Everything()
    answers = [session.get(service.url) for _ in range(50)]

    assert {401} == {answer.status_code for answer in answers}
    assert 51 == len(service.requests)
    assert 2 == len(server.requests("/token"))


def test_a_refusal_while_no_other_token_can_be_had(service, server, session, source, clock):
    """It is the caller's; the token goes on to other services, until it ends."""
    other = Service()
    first = source()
    service.refused.add(first)
    server.fail("/token", status=429, times=10)
    refused = [session.get(service.url) for _ in range(5)]
    accepted = session.get(other.url)
    other.stop()

    assert [(401, b"no")] * 5 == [(answer.status_code, answer.content) for answer in refused]
    assert 200 == accepted.status_code
    assert [first] == other.tokens
    assert [first] * 5 == service.tokens
    assert 2 == len(server.requests("/token"))


@pytest.mark.parametrize("length", [0, MAX_REFUSAL_BYTES])
def test_the_connection_of_a_short_refusal_is_used_again(service, session, source, length):
    """Also where the caller reads the answer as a stream; the history holds all of it."""
    service.refused.add(source())
    service.refusal = b"x" * length
    with session.get(service.url, stream=True) as answer:
        assert b"yes" == answer.raw.read()

    assert service.refusal == answer.history[0].content
    assert (1, 2) == (service.connections, len(service.requests))


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("length", [MAX_REFUSAL_BYTES + 2_048, 3_000_000])
def test_a_long_refusal_is_cut_off(service, session, source, length, stream):
    """Its connection is closed, and of its body 64 KiB are held."""
    service.refused.add(source())
    service.refusal = b"x" * length
    with session.get(service.url, stream=stream) as answer:
        assert b"yes" == answer.content

    assert b"x" * 65_536 == answer.history[0].content
    assert answer.history[0].raw.closed
    assert (2, 2) == (service.connections, len(service.requests))


def test_a_compressed_refusal_is_cut_off_where_it_has_grown(service, session, source):
    """What counts is what has to be held."""
    service.refused.add(source())
    service.refusal = gzip.compress(b"x" * 3_000_000)
    service.refusal_headers = {"Content-Encoding": "gzip"}
    answer = session.get(service.url)

    assert len(service.refusal) < MAX_REFUSAL_BYTES
    assert 200 == answer.status_code
    assert b"x" * MAX_REFUSAL_BYTES == answer.history[0].content


def test_a_refusal_that_cannot_be_read_is_put_aside(service, session, source):
    """It is not the answer that the caller waits for."""
    service.refused.add(source())
    service.refusal_headers = {"Content-Encoding": "gzip"}
    answer = session.get(service.url)

    assert (200, b"yes") == (answer.status_code, answer.content)
    assert b"" == answer.history[0].content
    assert answer.history[0].raw.closed


def test_a_refusal_that_has_been_read_is_left_as_it_is(service, session, source):
    """By a hook that came first, say; then all of it has been held anyway."""
    service.refused.add(source())
    service.refusal = b"x" * 100_000
    prepared = session.prepare_request(requests.Request("GET", service.url))
    prepared.hooks["response"].insert(0, lambda answer, **_: answer.content and None)
    answer = session.send(prepared)

    assert 200 == answer.status_code
    assert service.refusal == answer.history[0].content


def test_a_refusal_that_is_the_callers_is_not_read(service, session, source):
    """A stream is the caller's to read, however long."""
    service.refused.add(source())
    service.refusal = b"x" * 100_000
    with session.post(service.url, data=Once(b"item=7"), stream=True) as answer:
        assert 100_000 == len(answer.raw.read())
    source.invalidate()
    service.refused = Everything()
    with session.get(service.url, stream=True) as answer:
        assert 100_000 == len(answer.raw.read())


def test_a_second_refusal_is_the_callers(service, server, session):
    """One request is sent twice at most."""
    service.refused = Everything()
    answer = session.get(service.url)

    assert 401 == answer.status_code
    assert 1 == len(answer.history)
    assert 2 == len(service.requests) == len(set(service.tokens))
    assert 2 == len(server.requests("/token"))


def test_adding_the_token_twice_retries_once(service, session, source):
    """An answer that another try has led to is not tried again."""
    prepared = session.prepare_request(requests.Request("GET", service.url))
    source(prepared)
    service.refused = Everything()
    answer = session.send(prepared)

    assert 401 == answer.status_code
    assert 2 == len(service.requests)


@pytest.mark.parametrize("status", [200, 400, 403, 404, 500, 503])
def test_only_a_401_is_about_the_token(service, server, session, status):
    """Any other answer is the caller's as it is."""
    service.answers["/"] = Answer(status, b"")
    answer = session.get(service.url + "/")

    assert (status, []) == (answer.status_code, answer.history)
    assert 1 == len(service.requests)


def test_a_server_that_gives_the_same_token_again(service, server, session, source, clock):
    """Sending it once more would end the same way: the refusal is the caller's."""
    body = {"access_token": "always-this", "token_type": "Bearer", "expires_in": 300}
    server.fail(
        "/token",
        status=200,
        times=10,
        headers={"Content-Type": "application/json"},
        body=json.dumps(body).encode(),
    )
    service.refused.add("always-this")
    source.invalidate()
    source()
    clock.advance(RENEW_AFTER)
    answer = session.get(service.url)

    assert (401, b"no", []) == (answer.status_code, answer.content, answer.history)
    assert ["always-this"] == service.tokens
    assert 3 == len(server.requests("/token"))


@pytest.mark.parametrize(
    "body",
    [
        {"data": {"item": "7"}},
        {"data": "item=7"},
        {"data": b"item=7"},
        {"data": io.BytesIO(b"item=7")},
    ],
    ids=["form", "text", "bytes", "file"],
)
def test_the_body_is_sent_again(service, session, source, body):
    """Both requests are the same, their tokens apart."""
    service.refused.add(source())
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = session.post(service.url, headers=headers, **body)

    assert 200 == answer.status_code
    assert [{"item": "7"}] * 2 == [request.form for request in service.requests]
    assert ["POST", "POST"] == [request.method for request in service.requests]


def test_a_file_is_sent_again_from_where_it_was(service, session, source):
    """What its owner had read before is not sent."""
    service.refused.add(source())
    file = io.BytesIO(b"secret=1&item=7")
    file.seek(9)
    session.post(service.url, data=file)

    assert [{"item": "7"}] * 2 == [request.form for request in service.requests]


class Once:
    """A body that can be read once, and knows its length."""

    def __init__(self, text):
        self._parts = iter([text])
        self._length = len(text)

    def __len__(self):
        return self._length

    def __iter__(self):
        return self._parts


class Pipe(Once):
    """It has a position in name only."""

    def tell(self):
        raise OSError("not seekable")


@pytest.mark.parametrize("kind", [Once, Pipe])
def test_what_can_be_sent_once_is_sent_once(service, server, session, source, kind):
    """The refusal is the caller's, and the next request has another token."""
    first = source()
    service.refused.add(first)
    refused = session.post(service.url, data=kind(b"item=7"))
    accepted = session.post(service.url, data=kind(b"item=7"))

    assert (401, []) == (refused.status_code, refused.history)
    assert 200 == accepted.status_code
    assert [first, source()] == service.tokens
    assert 2 == len(server.requests("/token"))


def test_a_redirect_to_another_server_takes_no_token_along(service, server, session, source):
    """There the token is not sent, and a 401 there asks for none."""
    other = Service()
    other.refused.add("")
    service.answers["/"] = Answer(302, b"", {"Location": other.url + "/"})
    answer = session.get(service.url + "/")
    other.stop()

    assert 401 == answer.status_code
    assert [""] == other.tokens
    assert 1 == len(server.requests("/token"))


def test_a_redirect_within_the_server_takes_the_token_along(service, session, source):
    """And there, too, it is replaced when it is refused."""
    first = source()
    service.answers["/"] = Answer(307, b"", {"Location": "/there"})
    session.hooks["response"].append(
        lambda answer, **_: service.refused.add(first) if answer.is_redirect else None
    )
    answer = session.post(service.url + "/", data={"item": "7"})

    assert 200 == answer.status_code
    assert [("/", first), ("/there", first), ("/there", source())] == [
        (request.path, service.token_of(request)) for request in service.requests
    ]
    assert [{"item": "7"}] * 3 == [request.form for request in service.requests]


def test_a_redirect_that_drops_the_body(service, session, source):
    """What was a POST of a file is a GET by then, and is sent again as one."""
    first = source()
    service.answers["/"] = Answer(302, b"", {"Location": "/there"})
    session.hooks["response"].append(
        lambda answer, **_: service.refused.add(first) if answer.is_redirect else None
    )
    answer = session.post(service.url + "/", data=io.BytesIO(b"item=7"))

    assert 200 == answer.status_code
    assert ["POST", "GET", "GET"] == [request.method for request in service.requests]


def test_hooks_see_the_second_answer(service, session, source):
    """A session that raises for every 4xx raises for none that has been mended."""
    service.refused.add(source())
    session.hooks["response"].append(lambda answer, **_: answer.raise_for_status())

    assert 200 == session.get(service.url).status_code


def test_a_prepared_request_may_be_sent_again(service, server, session, source):
    """What it was prepared with is old by then, and is replaced each time."""
    prepared = session.prepare_request(requests.Request("GET", service.url))
    service.refused.add(source())

    assert [200, 200] == [session.send(prepared).status_code for _ in range(2)]
    assert 2 == len(server.requests("/token"))


def test_a_streamed_answer(service, session, source):
    """The second answer is left for the caller to read."""
    service.refused.add(source())
    with session.get(service.url, stream=True) as answer:
        assert b"yes" == answer.raw.read()


def test_without_a_token_nothing_is_sent(service, server, session, source):
    """An outage of the authorization server is told as such."""
    source.invalidate()
    server.fail("/token", status=503)
    with pytest.raises(AuthServiceUnavailable):
        session.get(service.url)

    assert [] == service.requests


def test_an_outage_while_a_token_that_ended_is_replaced(service, server, session, source, clock):
    """It is told as such too: nobody knows whether a new token would do; none is shown."""
    first = source()
    answers = []

    class Late:
        def __contains__(self, token):
            clock.advance(3_600)
            return token == first

    service.refused = Late()
    adapter = session.get_adapter(service.url)
    send = adapter.send
    adapter.send = lambda request, **options: answers.append(send(request, **options)) or answers[0]
    server.fail("/token", status=503)
    with pytest.raises(AuthServiceUnavailable) as caught:
        session.get(service.url, stream=True)

    assert 1 == len(service.requests)
    assert answers.pop().raw.closed
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = [frame for frame in shown.stack if "test_resending" not in frame.filename]
    assert not [frame for frame in ours if first in str(frame.locals)]
    assert 200 == session.get(service.url).status_code


def test_a_connection_that_breaks_the_second_time(service, session, source):
    """The caller sees the exception of requests, and no frame shows a token."""
    first = source()
    service.refused.add(first)
    adapter = session.get_adapter(service.url)
    send = adapter.send

    def broken(request, **options):
        if service.requests:
            raise requests.ConnectionError("reset")
        return send(request, **options)

    adapter.send = broken
    with pytest.raises(requests.ConnectionError) as caught:
        session.get(service.url)

    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    tokens = (first, source())
    ours = [frame for frame in shown.stack if "test_resending" not in frame.filename]
    assert 2 == len(set(tokens))
    assert not [frame for frame in ours if any(token in str(frame.locals) for token in tokens)]


def test_it_works_where_requests_is_replaced(source):
    """With `responses`, which replaces what sends."""
    with responses.RequestsMock() as mocked:
        mocked.add_passthru("http://127.0.0.1")
        mocked.get("https://api.example/orders", status=401)
        mocked.get("https://api.example/orders", json={"ok": True})
        answer = requests.get("https://api.example/orders", auth=source, timeout=90)
        sent = {call.request.headers["Authorization"] for call in mocked.calls}

    assert {"ok": True} == answer.json()
    assert 2 == len(sent)
