"""What a server can do wrong in the middle of a call, and how the call then ends (RULES 22)."""

import gzip
import socket
import time
import tracemalloc
import zlib
from urllib.parse import urlsplit

import pytest

from tokenward._http.connect import connect
from tokenward._http.sockets import BoundSocket, Exchange
from tokenward.errors import AuthServiceUnavailable
from tokenward.protocols import Request

BODY = b'{"active": true}'
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
GZIP_BOMB = gzip.compress(b" " * 20_000_000)
DEFLATE_BOMB = zlib.compress(b" " * 20_000_000)
SLACK = 55.0  # seconds for which a machine may stand still
PATIENCE = 120  # seconds for what is answered at once, on a machine that may stand still


def reset_before_the_answer(peer):
    peer.read()
    peer.reset()


def close_before_the_answer(peer):
    peer.read()


def drip_the_status_line(peer):
    peer.read()
    peer.drip(peer.answer())


def drip_the_headers(peer):
    peer.read()
    peer.send(b"HTTP/1.1 200 OK\r\n")
    peer.drip(b"X-Padding: 1\r\n" * 1_000)


def drip_the_body(peer):
    peer.read()
    peer.send(peer.answer(b"", length=1_000))
    peer.drip(b" " * 1_000)


def drip_the_chunks(peer):
    peer.read()
    peer.send(CHUNKED)
    peer.drip(b"1\r\n \r\n" * 1_000)


def never_answer(peer):
    peer.read()
    peer.hold()


def continue_without_end(peer):
    peer.read()
    peer.flood(b"HTTP/1.1 100 Continue\r\n\r\n")


def one_endless_header(peer):
    peer.read()
    peer.send(b"HTTP/1.1 200 OK\r\nX-Endless: ")
    peer.flood(b"x" * 65_536)


def headers_without_end(peer):
    peer.read()
    peer.send(b"HTTP/1.1 200 OK\r\n")
    peer.flood(b"X-Padding: " + b"x" * 8_000 + b"\r\n")


def trailers_without_end(peer):
    peer.read()
    peer.send(CHUNKED + b"0\r\n")
    peer.flood(b"X-Padding: " + b"x" * 8_000 + b"\r\n")


def a_body_without_end(peer):
    peer.read()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    peer.flood(b" " * 65_536)


def chunks_without_end(peer):
    peer.read()
    peer.send(CHUNKED)
    peer.flood(b"1000\r\n" + b" " * 4_096 + b"\r\n")


def a_length_beyond_the_cap(peer):
    peer.read()
    peer.send(peer.answer(b"", length=10**12))
    peer.flood(b" " * 65_536)


def a_gzip_bomb(peer):
    peer.read()
    peer.send(peer.answer(GZIP_BOMB, "Content-Encoding: gzip"))


def a_deflate_bomb(peer):
    peer.read()
    peer.send(peer.answer(DEFLATE_BOMB, "Content-Encoding: deflate"))


def a_body_shorter_than_its_length(peer):
    peer.read()
    peer.send(peer.answer(BODY, length=1_000))


def no_body_where_a_length_was_said(peer):
    peer.read()
    peer.send(peer.answer(b"", length=1_000))


def a_reset_in_the_body(peer):
    peer.read()
    peer.send(peer.answer(BODY, length=1_000))
    peer.drip(b"  ", every=0.05)
    peer.reset()


def a_chunk_cut_short(peer):
    peer.read()
    peer.send(CHUNKED + b"400\r\n" + BODY)


def no_last_chunk(peer):
    peer.read()
    peer.send(CHUNKED + b"10\r\n" + BODY + b"\r\n")


def an_unreadable_chunk_size(peer):
    peer.read()
    peer.send(CHUNKED + b"zz\r\n" + BODY)


def not_http(peer):
    peer.read()
    peer.send(b"SSH-2.0-OpenSSH_9.6\r\n")


def http_2_without_asking(peer):
    peer.read()
    peer.send(b"HTTP/2 200 OK\r\n\r\n")


def an_unreadable_status(peer):
    peer.read()
    peer.send(b"HTTP/1.1 two hundred\r\n\r\n")


def a_switch_of_protocols(peer):
    peer.read()
    peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n")
    peer.hold()


def two_lengths(peer):
    peer.read()
    peer.send(peer.answer(BODY, "Content-Length: 3"))


def an_unknown_encoding(peer):
    peer.read()
    peer.send(peer.answer(BODY, "Content-Encoding: br"))


def two_encodings(peer):
    peer.read()
    peer.send(peer.answer(gzip.compress(gzip.compress(BODY)), "Content-Encoding: gzip, gzip"))


def an_encoding_that_is_not_there(peer):
    peer.read()
    peer.send(peer.answer(BODY, "Content-Encoding: gzip"))


def a_gzip_stream_cut_short(peer):
    peer.read()
    peer.send(peer.answer(gzip.compress(BODY)[:-6], "Content-Encoding: gzip"))


def bytes_behind_the_gzip_stream(peer):
    peer.read()
    peer.send(peer.answer(gzip.compress(BODY) + b"surplus", "Content-Encoding: gzip"))


FAULTS = [
    (reset_before_the_answer, "connect_failed"),
    (close_before_the_answer, "connect_failed"),
    (drip_the_status_line, "deadline"),
    (drip_the_headers, "deadline"),
    (drip_the_body, "deadline"),
    (drip_the_chunks, "deadline"),
    (never_answer, "deadline"),
    (continue_without_end, "too_large"),
    (one_endless_header, "bad_response"),
    (headers_without_end, "too_large"),
    (trailers_without_end, "too_large"),
    (a_body_without_end, "too_large"),
    (chunks_without_end, "too_large"),
    (a_length_beyond_the_cap, "too_large"),
    (a_gzip_bomb, "too_large"),
    (a_deflate_bomb, "too_large"),
    (a_body_shorter_than_its_length, "truncated"),
    (no_body_where_a_length_was_said, "truncated"),
    (a_reset_in_the_body, "truncated"),
    (a_chunk_cut_short, "truncated"),
    (no_last_chunk, "truncated"),
    (an_unreadable_chunk_size, "truncated"),
    (not_http, "bad_response"),
    (http_2_without_asking, "bad_response"),
    (an_unreadable_status, "bad_response"),
    (a_switch_of_protocols, "bad_response"),
    (two_lengths, "bad_response"),
    (an_unknown_encoding, "bad_encoding"),
    (two_encodings, "bad_encoding"),
    (an_encoding_that_is_not_there, "bad_encoding"),
    (a_gzip_stream_cut_short, "bad_encoding"),
    (bytes_behind_the_gzip_stream, "bad_encoding"),
]


@pytest.mark.parametrize(
    ("script", "reason"), FAULTS, ids=[script.__name__ for script, _ in FAULTS]
)
def test_a_fault_is_an_outage_within_the_deadline(
    *, script, reason, serve, make_transport, ask, connections
):
    """Every fault is AuthServiceUnavailable with its reason, at the deadline at the latest."""
    server = serve(script)
    seconds = 0.4 if reason == "deadline" else PATIENCE
    outcome = ask(make_transport(retries=0), server.url, seconds=seconds)
    assert type(outcome.error) is AuthServiceUnavailable
    assert outcome.reason == reason
    assert outcome.seconds < 0.4 + SLACK
    assert connections(server, 1) == 1


@pytest.mark.parametrize(
    "script",
    [drip_the_status_line, drip_the_headers, drip_the_body, drip_the_chunks, never_answer],
)
def test_a_slow_server_has_until_the_deadline(script, serve, make_transport, ask, connections):
    """A drip is not cut off before the deadline, and no retry follows it."""
    server = serve(script)
    outcome = ask(make_transport(retries=3), server.url, seconds=0.3)
    assert 0.3 <= outcome.seconds < 0.3 + SLACK
    assert outcome.reason == "deadline"
    assert connections(server, 1) == 1


@pytest.mark.parametrize(
    "script",
    [
        continue_without_end,
        one_endless_header,
        headers_without_end,
        trailers_without_end,
        a_body_without_end,
        chunks_without_end,
        a_length_beyond_the_cap,
    ],
)
def test_what_is_read_is_bounded(script, serve, make_transport, ask):
    """A flood ends at the cap; what the server could send beyond it sat in the system's buffers."""
    server = serve(script)
    outcome = ask(make_transport(retries=0, max_response_bytes=1_000), server.url)
    assert outcome.reason in {"too_large", "bad_response"}
    assert outcome.seconds < SLACK
    assert server.sent < 1_500_000


@pytest.mark.parametrize("script", [a_gzip_bomb, a_deflate_bomb])
def test_a_bomb_is_not_unpacked(script, serve, make_transport, ask):
    """Decoding stops at the cap: memory follows the cap, not the bomb."""
    server = serve(script)
    transport = make_transport(retries=0)
    tracemalloc.start()
    try:
        assert ask(transport, server.url).reason == "too_large"
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_a_refused_connection_is_an_outage(make_transport, ask, nowhere):
    """Nobody listens: connect_failed at once, with a hint that names the URL."""
    outcome = ask(make_transport(retries=0), nowhere)
    assert outcome.reason == "connect_failed"
    assert nowhere in outcome.error.hint


@pytest.mark.parametrize(
    ("connect_timeout", "seconds", "reason"),
    [(0.2, PATIENCE, "connect_failed"), (PATIENCE, 0.2, "deadline")],
)
def test_connecting_has_the_shorter_of_its_timeout_and_the_deadline(
    connect_timeout, seconds, reason, make_transport, ask
):
    """A listener with a full backlog swallows packets: connecting ends all the same."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = []
        try:
            for _ in range(8):
                filler = socket.socket()
                filler.settimeout(0)
                filler.connect_ex(("127.0.0.1", port))
                fillers.append(filler)
            outcome = ask(
                make_transport(retries=0, connect_timeout=connect_timeout),
                f"http://127.0.0.1:{port}/",
                seconds=seconds,
            )
        finally:
            for filler in fillers:
                filler.close()
    assert outcome.reason == reason
    assert 0.2 <= outcome.seconds < 0.2 + SLACK


def test_a_deadline_in_the_past_sends_nothing(serve, make_transport, ask):
    """No connection is made when there is no time left, and the server is not to blame."""
    server = serve(lambda peer: peer.serve())
    transport = make_transport(breaker_failures=1)
    outcome = ask(transport, server.url, seconds=-1)
    assert outcome.reason == "deadline"
    assert server.connections == 0
    assert ask(transport, server.url).response.body == BODY


def test_a_redirect_is_returned_and_not_followed(serve, make_transport, ask):
    """A 302 comes back as it is; its target hears nothing."""
    target = serve(lambda peer: peer.serve())

    def redirect(peer):
        peer.read()
        peer.send(peer.answer(b"", f"Location: {target.url}", status="302 Found"))

    outcome = ask(make_transport(), serve(redirect).url)
    assert outcome.response.status == 302
    assert outcome.response.headers["location"] == target.url
    assert target.connections == 0


def test_cookies_are_not_kept(serve, make_transport, ask):
    """What a server sets as a cookie is not sent back."""

    def set_cookie(peer):
        while peer.read():
            peer.send(peer.answer(BODY, "Set-Cookie: session=1; Path=/"))

    server = serve(set_cookie)
    transport = make_transport()
    ask(transport, server.url)
    ask(transport, server.url)
    assert len(server.requests) == 2
    assert b"cookie" not in server.requests[1][0].lower()


def test_the_environment_has_no_say(serve, make_transport, ask, monkeypatch, tmp_path):
    """Neither proxies nor netrc credentials from the environment are used."""
    server = serve(lambda peer: peer.serve())
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    outcome = ask(make_transport(), server.url)
    assert outcome.response.body == BODY
    assert b"authorization" not in server.requests[0][0].lower()


def test_the_form_travels_in_the_body(serve, make_transport):
    """The token is in the form-urlencoded body and nowhere in the request's head."""
    server = serve(lambda peer: peer.serve())
    request = Request(
        "POST", server.url, headers={"Accept": "application/json"}, form={"token": "a b&c=é"}
    )
    make_transport().send(request, deadline=time.monotonic() + PATIENCE)
    head, body = server.requests[0]
    assert body == b"token=a+b%26c%3D%C3%A9"
    assert head.startswith(b"POST /introspect HTTP/1.1\r\n")
    assert b"Content-Type: application/x-www-form-urlencoded\r\n" in head
    assert b"Accept: application/json" in head
    assert b"Accept-Encoding: identity\r\n" in head
    assert b"a+b" not in head


@pytest.mark.parametrize(
    ("encoding", "encoded"),
    [
        ("gzip", gzip.compress(BODY)),
        ("x-gzip", gzip.compress(BODY)),
        ("deflate", zlib.compress(BODY)),
        ("deflate", zlib.compress(BODY, wbits=-15)),
        ("identity", BODY),
    ],
    ids=["gzip", "x-gzip", "deflate", "bare deflate", "identity"],
)
def test_known_encodings_are_decoded(encoding, encoded, serve, make_transport, ask):
    """A server that compresses unasked is understood (RFC 9110, section 8.4.1)."""
    server = serve(lambda peer: peer.serve(peer.answer(encoded, f"Content-Encoding: {encoding}")))
    assert ask(make_transport(), server.url).response.body == BODY


def test_nothing_is_nothing_in_every_encoding(serve, make_transport, ask):
    """Proxies label an empty 401 as gzip; it is about our credentials all the same."""
    server = serve(lambda peer: peer.serve(peer.answer(b"", "Content-Encoding: gzip")))
    assert ask(make_transport(), server.url).response.body == b""


def test_a_body_of_exactly_the_cap_is_read(serve, make_transport, ask):
    """The cap is the largest body that is read, plain and decoded alike."""
    plain = serve(lambda peer: peer.serve(peer.answer(b"x" * 1_000)))
    packed = serve(
        lambda peer: peer.serve(peer.answer(gzip.compress(b"x" * 1_000), "Content-Encoding: gzip"))
    )
    transport = make_transport(max_response_bytes=1_000)
    assert ask(transport, plain.url).response.body == b"x" * 1_000
    assert ask(transport, packed.url).response.body == b"x" * 1_000
    smaller = make_transport(max_response_bytes=999)
    assert ask(smaller, plain.url).reason == "too_large"
    assert ask(smaller, packed.url).reason == "too_large"


def test_chunks_and_interim_answers_are_read(serve, make_transport, ask):
    """A 100 Continue before, chunks with extensions in, trailers behind the answer are fine."""

    def script(peer):
        while peer.read():
            peer.send(
                b"HTTP/1.1 100 Continue\r\n\r\n"
                + CHUNKED
                + b"8;x=1\r\n"
                + BODY[:8]
                + b"\r\n8\r\n"
                + BODY[8:]
                + b"\r\n0\r\nX-Trailer: 1\r\n\r\n"
            )

    server = serve(script)
    transport = make_transport()
    assert ask(transport, server.url).response.body == BODY
    assert ask(transport, server.url).response.body == BODY
    assert server.connections == 1


def test_a_body_that_ends_with_the_connection_is_read(serve, make_transport, ask):
    """Without a length the end of the connection is the end of the body (RFC 9112, 6.3)."""

    def script(peer):
        peer.read()
        peer.send(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + BODY)

    assert ask(make_transport(), serve(script).url).response.body == BODY


def test_an_empty_answer_is_an_answer(serve, make_transport, ask):
    """204 without a body keeps its connection."""
    server = serve(lambda peer: peer.serve(b"HTTP/1.1 204 No Content\r\n\r\n"))
    transport = make_transport()
    for _ in range(2):
        outcome = ask(transport, server.url)
        assert (outcome.response.status, outcome.response.body) == (204, b"")
    assert server.connections == 1


@pytest.mark.parametrize("status", ["400 Bad Request", "401 Unauthorized", "500 Oops", "503 Busy"])
def test_a_status_is_never_retried(status, serve, make_transport, ask):
    """Whatever the status, the answer is returned after one request."""
    server = serve(lambda peer: peer.serve(peer.answer(b"", status=status)))
    outcome = ask(make_transport(retries=3), server.url)
    assert outcome.response.status == int(status[:3])
    assert len(server.requests) == 1


@pytest.mark.parametrize("fault", [reset_before_the_answer, a_body_shorter_than_its_length])
def test_a_failed_connection_is_retried(fault, serve, make_transport, ask):
    """With one retry, the second connection's answer is the answer."""

    def script(peer):
        if peer.number == 1:
            fault(peer)
        else:
            peer.serve()

    server = serve(script)
    assert ask(make_transport(retries=1), server.url).response.body == BODY
    assert server.connections == 2


def test_retries_end(serve, make_transport, ask):
    """As many attempts as retries and one are made, no more."""
    server = serve(reset_before_the_answer)
    assert ask(make_transport(retries=2), server.url).reason == "connect_failed"
    assert server.connections == 3


def test_retries_end_at_the_deadline(serve, make_transport, ask):
    """However many retries are allowed, the deadline ends them."""
    server = serve(reset_before_the_answer)
    outcome = ask(make_transport(retries=10_000), server.url, seconds=0.5)
    assert outcome.reason in {"connect_failed", "deadline"}
    assert outcome.seconds < 0.5 + SLACK


def test_a_place_is_given_back_after_every_failure(serve, make_transport, ask):
    """More failures than places leave all places free."""
    server = serve(close_before_the_answer)
    transport = make_transport(pool_size=1, retries=0, breaker_failures=1_000)
    reasons = {ask(transport, server.url).reason for _ in range(5)}
    assert reasons == {"connect_failed"}


@pytest.mark.parametrize(
    "script", [not_http, never_answer, a_body_without_end, reset_before_the_answer]
)
def test_no_secret_is_within_reach_of_a_failure(script, serve, make_transport):
    """Neither the error, what it was raised from, nor its frames hold the token or our secret."""
    server = serve(script)
    transport = make_transport(retries=0)
    request = Request(
        "POST",
        server.url + "?key=q-secret",
        headers={"Authorization": "Basic h-secret"},
        form={"token": "t-secret"},
    )
    with pytest.raises(AuthServiceUnavailable) as caught:
        transport.send(request, deadline=time.monotonic() + 0.2)
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None
    seen = [error.hint, str(error), repr(error.args)]
    frame = error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename != __file__:
            seen += [repr(value) for value in frame.tb_frame.f_locals.values()]
        frame = frame.tb_next
    for secret in ("q-secret", "h-secret", "t-secret"):
        assert not [text for text in seen if secret in text and "Request(" not in text]


def test_a_header_that_cannot_be_sent_is_not_quoted(make_transport, serve):
    """http.client quotes an illegal header in its error; ours does not."""
    server = serve(lambda peer: peer.serve())
    request = Request("POST", server.url, headers={"Authorization": "Basic h-secret\r\nX: 1"})
    with pytest.raises(AuthServiceUnavailable) as caught:
        make_transport(retries=0).send(request, deadline=time.monotonic() + PATIENCE)
    assert "h-secret" not in caught.value.hint
    assert server.requests == []


def test_the_next_address_is_tried(serve, nowhere):
    """A name with several addresses is reached at the first that accepts."""
    server = serve(never_answer)
    exchange = Exchange(
        deadline=time.monotonic() + PATIENCE, connect_timeout=PATIENCE, max_bytes=1_000
    )
    ports = (urlsplit(nowhere).port, server.port)
    addresses = [(socket.AF_INET, ("127.0.0.1", port)) for port in ports]
    with connect([(-1, ("127.0.0.1", 1)), *addresses], exchange) as sock:
        assert sock.getpeername() == ("127.0.0.1", server.port)


def test_a_name_without_addresses_is_a_failed_connection():
    """Nothing to connect to is connect_failed, not a crash."""
    exchange = Exchange(
        deadline=time.monotonic() + PATIENCE, connect_timeout=PATIENCE, max_bytes=1_000
    )
    with pytest.raises(AuthServiceUnavailable) as caught:
        connect([], exchange)
    assert caught.value.reason == "connect_failed"


def test_a_request_leaves_in_one_piece(serve, make_transport, ask, monkeypatch):
    """Headers and body are one write, and so one packet and one TLS record."""
    written = []
    sendall = BoundSocket.sendall

    def counted(self, data, *flags):
        written.append(data)
        return sendall(self, data, *flags)

    monkeypatch.setattr(BoundSocket, "sendall", counted)
    server = serve(lambda peer: peer.serve(peer.answer(b"ok")))
    assert ask(make_transport(), server.url).response.body == b"ok"
    assert 1 == len(written)
    head, _, body = written[0].partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert body
