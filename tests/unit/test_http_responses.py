"""The `responses` library mocks the transport as it mocks every use of requests."""

import gzip
import time

import pytest
import responses
from responses import matchers

from tokenward._http import RequestsTransport
from tokenward.errors import AuthServiceUnavailable
from tokenward.protocols import Request

URL = "https://auth.example.com/introspect"


@pytest.fixture
def send():
    """Post a token with a transport of the test's own."""
    transport = RequestsTransport(retries=0, max_response_bytes=1_000)

    def post(**headers):
        request = Request("POST", URL, headers=headers, form={"token": "a b"})
        return transport.send(request, deadline=time.monotonic() + 90)

    return post


@responses.activate
def test_a_mocked_answer_is_returned(send):
    """Status, headers and body are those of the mock."""
    responses.add(responses.POST, URL, json={"active": True}, headers={"Cache-Control": "no-store"})
    answer = send()
    assert answer.status == 200
    assert answer.body == b'{"active": true}'
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"


@responses.activate
def test_a_mock_remembers_a_whole_answer(send):
    """A test may look at what was answered as it does with any use of requests."""
    responses.add(responses.POST, URL, json={"active": True}, headers={"Set-Cookie": "a=b"})
    send()
    answer = responses.calls[0].response

    assert (200, "OK", URL) == (answer.status_code, answer.reason, answer.url)
    assert "a=b" == answer.headers["set-cookie"]
    assert responses.calls[0].request is answer.request


@responses.activate
def test_matchers_see_the_form_and_the_headers(send):
    """The mock's matchers work on what would be sent."""
    responses.add(
        responses.POST,
        URL,
        json={"active": True},
        match=[
            matchers.urlencoded_params_matcher({"token": "a b"}),
            matchers.header_matcher({"Authorization": "Basic abc"}),
        ],
    )
    assert send(Authorization="Basic abc").status == 200
    sent = responses.calls[0].request
    assert sent.body == "token=a+b"
    assert sent.headers["authorization"] == "Basic abc"


@responses.activate
@pytest.mark.parametrize("status", [302, 400, 401, 404, 500, 503])
def test_a_mocked_status_is_an_answer(status, send):
    """Statuses are returned, none followed or retried."""
    responses.add(responses.POST, URL, status=status, headers={"Location": "https://evil.example"})
    assert send().status == status
    assert len(responses.calls) == 1


@responses.activate
def test_a_mocked_answer_is_capped_and_decoded(send):
    """The bounds hold for a mock as for a server."""
    packed = {"Content-Encoding": "gzip"}
    responses.add(responses.POST, URL, body=b"x" * 1_001)
    responses.add(responses.POST, URL, body=gzip.compress(b"y" * 1_000), headers=packed)
    responses.add(responses.POST, URL, body=gzip.compress(b"z" * 1_001), headers=packed)
    with pytest.raises(AuthServiceUnavailable) as caught:
        send()
    assert caught.value.reason == "too_large"
    assert send().body == b"y" * 1_000
    with pytest.raises(AuthServiceUnavailable) as caught:
        send()
    assert caught.value.reason == "too_large"


@responses.activate
def test_an_unexpected_call_is_an_outage(send):
    """A URL that is not mocked fails as a refused connection does."""
    with pytest.raises(AuthServiceUnavailable) as caught:
        send()
    assert caught.value.reason == "connect_failed"
