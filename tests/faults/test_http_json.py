"""A request with a JSON body: what travels, and that a call is else what it was (RULES 22)."""

import json
import time
from types import MappingProxyType

import pytest

from tokenward import _json
from tokenward._http.sockets import BoundSocket
from tokenward.errors import AuthServiceUnavailable
from tokenward.protocols import Request

PATIENCE = 120  # seconds
BODY = b'{"active": true}'
ODD = {"username": "Ünï ☃ 𝄞", "password": '"\\/\n\x00\x7f', "nested": {"a": [1, True, None, 0.5]}}


def post(transport, url, members, *, seconds=PATIENCE, **options):
    """Send `members` and return the answer."""
    request = Request("POST", url, json=members, **options)
    return transport.send(request, deadline=time.monotonic() + seconds)


def test_json_travels_in_the_body(serve, make_transport):
    """Compact JSON in UTF-8, named so, with its length, and nothing of it in the head."""
    server = serve(lambda peer: peer.serve())
    post(make_transport(), server.url, {"username": "zoë", "password": "s e"})
    head, body = server.requests[0]

    assert '{"username":"zoë","password":"s e"}'.encode() == body
    assert head.startswith(b"POST /introspect HTTP/1.1\r\n")
    assert b"Content-Type: application/json\r\n" in head
    assert f"Content-Length: {len(body)}".encode() in head
    assert b"s e" not in head


@pytest.mark.parametrize("members", [{}, ODD, MappingProxyType(ODD)], ids=["empty", "odd", "proxy"])
def test_the_strict_reader_reads_what_is_sent(serve, make_transport, members):
    """Member for member, control characters and characters beyond the basic plane included."""
    server = serve(lambda peer: peer.serve())
    post(make_transport(), server.url, members)

    assert dict(members) == _json.loads(server.requests[0][1])


def test_json_leaves_in_one_piece(serve, make_transport, monkeypatch):
    """Headers and body are one write, and so one packet and one TLS record."""
    written = []
    sendall = BoundSocket.sendall

    def counted(self, data, *flags):
        written.append(data)
        return sendall(self, data, *flags)

    monkeypatch.setattr(BoundSocket, "sendall", counted)
    server = serve(lambda peer: peer.serve())
    post(make_transport(), server.url, ODD)

    assert [b"\r\n\r\n".join(server.requests[0])] == written


def test_a_large_body_arrives_whole(serve, make_transport):
    """More than a socket takes at once is sent on until it is all there."""
    server = serve(lambda peer: peer.serve())
    members = {"text": "é" * 1_000_000}
    post(make_transport(), server.url, members)

    assert members == json.loads(server.requests[0][1])


def test_a_connection_is_used_again_after_json(serve, make_transport):
    """The lengths are right: the next request on the connection is read as one."""
    server = serve(lambda peer: peer.serve())
    transport = make_transport()
    for _ in range(3):
        assert BODY == post(transport, server.url, ODD).body

    assert 1 == server.connections


def test_a_peer_that_reads_nothing_ends_at_the_deadline(serve, make_transport):
    """Sending is bounded by the one deadline as well."""
    server = serve(lambda peer: peer.server.stopping.wait())
    began = time.monotonic()
    with pytest.raises(AuthServiceUnavailable) as caught:
        post(make_transport(retries=0), server.url, {"text": "x" * 20_000_000}, seconds=0.3)

    assert "deadline" == caught.value.reason
    assert 0.3 <= time.monotonic() - began < 55


def test_no_redirect_carries_a_body_on(serve, make_transport):
    """A 307 would have a password sent to a place that nobody configured."""
    target = serve(lambda peer: peer.serve())

    def redirect(peer):
        peer.read()
        peer.send(peer.answer(b"", f"Location: {target.url}", status="307 Temporary Redirect"))

    server = serve(redirect)

    assert 307 == post(make_transport(), server.url, ODD).status
    assert 0 == target.connections


@pytest.mark.parametrize(
    "value",
    ["\ud800 LEAK", b"LEAK", {"LEAK"}, float("nan"), float("inf"), object()],
    ids=["surrogate", "bytes", "set", "nan", "infinity", "object"],
)
def test_what_is_no_json_is_sent_to_nobody(serve, make_transport, value):
    """It is our mistake, quoted nowhere, and not counted against the server."""
    server = serve(lambda peer: peer.serve())
    transport = make_transport(breaker_failures=1)
    with pytest.raises(AuthServiceUnavailable) as caught:
        post(transport, server.url, {"password": value})

    error = caught.value
    assert ("bad_request", None) == (error.reason, error.__context__)
    assert "LEAK" not in error.hint
    assert BODY == post(transport, server.url, {}).body
    assert 1 == len(server.requests)


def test_no_member_is_within_reach_of_a_failure(serve, make_transport):
    """Neither the error, what it was raised from, nor its frames hold the password."""
    server = serve(lambda peer: peer.read())
    with pytest.raises(AuthServiceUnavailable) as caught:
        post(make_transport(retries=0), server.url, {"password": "p-secret"})
    error = caught.value
    seen = [error.hint, str(error), repr(error.args), repr(error.__cause__ or error.__context__)]
    frame = error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename != __file__:
            seen += [repr(value) for value in frame.tb_frame.f_locals.values()]
        frame = frame.tb_next

    assert not [text for text in seen if "p-secret" in text]


@pytest.mark.parametrize(("counts", "calls"), [(True, 2), (False, 4)])
def test_whether_throttling_counts_as_a_failure(pauses, serve, make_transport, counts, calls):
    """Where a server throttles by what people send, one of them must not shut the others out."""
    server = serve(lambda peer: peer.serve(peer.answer(b"", status="429 Too Many Requests")))
    transport = make_transport(breaker_failures=2, breaks_on_429=counts)
    for _ in range(2):
        assert 429 == post(transport, server.url, {}).status
    for _ in range(2):
        if counts:
            with pytest.raises(AuthServiceUnavailable) as caught:
                post(transport, server.url, {})
            assert "circuit_open" == caught.value.reason
        else:
            assert 429 == post(transport, server.url, {}).status

    assert calls == len(server.requests)
