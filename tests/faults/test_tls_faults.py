"""TLS: verified, 1.2 or newer, bounded by the same deadline (RULES 22)."""

import io
import os
import select
import shutil
import socket
import ssl
import subprocess
import warnings
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from tokenward._http.tls import TLSContexts
from tokenward.errors import AuthServiceUnavailable, ConfigurationError

BODY = b'{"active": true}'
SLACK = 55.0  # seconds for which a machine may stand still


def test_a_trusted_server_is_asked(serve_tls, make_transport, ask, authority):
    """With the authority's certificate as verify_tls the call succeeds, over one connection."""
    server = serve_tls(lambda peer: peer.serve())
    transport = make_transport(verify_tls=authority.path)
    for _ in range(3):
        assert ask(transport, server.url).response.body == BODY
    assert server.connections == 1


def test_a_scheme_in_capitals_is_the_same_scheme(serve_tls, make_transport, ask, authority):
    """``HTTPS:`` is verified as ``https:`` is (RFC 3986, section 3.1)."""
    server = serve_tls(lambda peer: peer.serve())
    url = server.url.replace("https:", "HTTPS:")
    assert ask(make_transport(verify_tls=authority.path), url).response.body == BODY
    assert ask(make_transport(), url).reason == "tls"


def test_an_authority_may_be_in_a_directory(serve_tls, make_transport, ask, authority, tmp_path):
    """verify_tls takes a directory as `openssl rehash` makes it."""
    shutil.copy(authority.path, tmp_path / "ca.pem")
    subprocess.run(["openssl", "rehash", str(tmp_path)], check=True, capture_output=True)
    server = serve_tls(lambda peer: peer.serve())
    transport = make_transport(verify_tls=str(tmp_path))
    assert ask(transport, server.url).response.body == BODY


def test_an_unknown_authority_is_refused(serve_tls, make_transport, ask):
    """By default certifi's authorities are trusted, and a private one is not; nothing is sent."""
    server = serve_tls(lambda peer: peer.serve())
    outcome = ask(make_transport(retries=3), server.url)
    assert outcome.reason == "tls"
    assert "verify_tls" in outcome.error.hint
    assert server.connections == 1
    assert server.requests == []


def test_the_environment_names_no_authority(serve_tls, make_transport, ask, authority, monkeypatch):
    """REQUESTS_CA_BUNDLE and its kin are not read."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, authority.path)
    server = serve_tls(lambda peer: peer.serve())
    assert ask(make_transport(), server.url).reason == "tls"


def test_a_certificate_for_another_name_is_refused(serve, make_transport, ask, authority):
    """A certificate of the right authority for the wrong host is not enough."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("auth.example"))
    server = serve(lambda peer: peer.serve(), context=context)
    outcome = ask(make_transport(verify_tls=authority.path), server.url)
    assert outcome.reason == "tls"
    assert server.requests == []


def test_verification_off_serves_loopback(serve_tls, make_transport, ask):
    """verify_tls=False talks to this machine, without a warning that could become an error."""
    server = serve_tls(lambda peer: peer.serve())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outcome = ask(make_transport(verify_tls=False), server.url)
    assert outcome.response.body == BODY


def test_verification_off_serves_nobody_else(make_transport, ask):
    """verify_tls=False with a server elsewhere is refused before any I/O."""
    outcome = ask(make_transport(verify_tls=False), "https://auth.example.com/introspect")
    assert outcome.reason == "bad_url"
    assert "verify_tls" in outcome.error.hint


@pytest.mark.parametrize("verify", [None, 0, 1, Path("/ca.pem"), "\x00", "\ud800"])
def test_verification_is_never_off_by_omission(verify, make_transport):
    """Only True, False and what can be a path are values of verify_tls."""
    with pytest.raises(ConfigurationError, match="verify_tls"):
        make_transport(verify_tls=verify)


def test_a_directory_without_authorities_stops_start_up(make_transport, tmp_path):
    """A directory that `openssl rehash` has not seen would make every call fail."""
    (tmp_path / "ca.pem").write_text("")
    with pytest.raises(ConfigurationError, match="rehash"):
        make_transport(verify_tls=str(tmp_path))


@pytest.mark.parametrize("content", [None, "", "not a certificate"])
def test_a_bundle_without_authorities_stops_start_up(content, make_transport, tmp_path):
    """A path that is missing or holds no certificate is a ConfigurationError at once."""
    path = tmp_path / "bundle.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match="verify_tls"):
        make_transport(verify_tls=str(path))


def test_tls_is_1_2_or_newer(authority):
    """The contexts accept nothing older than TLS 1.2."""
    for verify in (True, False, authority.path):
        assert TLSContexts(verify).get(None).minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_stalled_handshake_ends_at_the_deadline(serve, make_transport, ask, connections):
    """A server that accepts and says nothing holds a TLS call until the deadline only."""
    server = serve(lambda peer: peer.hold())
    outcome = ask(make_transport(), server.url.replace("http:", "https:"), seconds=0.3)
    assert outcome.reason == "deadline"
    assert 0.3 <= outcome.seconds < 0.3 + SLACK
    assert connections(server, 1) == 1


def test_a_dripping_handshake_ends_at_the_deadline(serve, make_transport, ask):
    """A handshake message that comes byte by byte ends at the deadline."""
    server = serve(lambda peer: peer.drip(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc" + b"\0" * 1_000))
    outcome = ask(make_transport(), server.url.replace("http:", "https:"), seconds=0.3)
    assert outcome.reason == "deadline"
    assert 0.3 <= outcome.seconds < 0.3 + SLACK


@pytest.mark.parametrize("where", ["headers", "body"])
def test_a_drip_within_tls_ends_at_the_deadline(serve_tls, where, make_transport, ask, authority):
    """One byte in one record at a time is a drip as well."""

    def script(peer):
        peer.read()
        if where == "body":
            peer.send(peer.answer(b"", length=1_000))
        peer.drip(b"HTTP/1.1 200 OK\r\n" + b"X-Padding: 1\r\n" * 1_000)

    server = serve_tls(script)
    outcome = ask(make_transport(verify_tls=authority.path), server.url, seconds=0.4)
    assert outcome.reason == "deadline"
    assert outcome.seconds < 0.4 + SLACK


def test_a_server_without_tls_is_refused(serve, make_transport, ask):
    """An https URL of a plain HTTP server is a failure with a reason, not a hang."""
    server = serve(
        lambda peer: (peer.sock.recv(100), peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    )
    outcome = ask(make_transport(), server.url.replace("http:", "https:"))
    assert outcome.reason == "tls"
    assert outcome.seconds < SLACK


def test_a_close_in_the_handshake_is_a_failed_connection(serve, make_transport, ask):
    """A server that closes during the handshake is retried like any failed connection."""
    server = serve(lambda peer: peer.sock.recv(1))
    outcome = ask(make_transport(retries=1), server.url.replace("http:", "https:"))
    assert outcome.reason == "connect_failed"
    assert server.connections == 2


def test_surplus_within_a_record_never_becomes_the_next_answer(
    serve_tls, make_transport, ask, authority
):
    """Bytes that TLS has decrypted but nobody has read cost the connection too."""
    surplus = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"

    def script(peer):
        peer.read()
        # The answer fills the reader's buffer to the last byte; the rest of its record stays
        # within TLS.
        head = len(peer.answer(b"", length=io.DEFAULT_BUFFER_SIZE - 100))
        body = b"x" * (io.DEFAULT_BUFFER_SIZE - head)
        peer.send(peer.answer(body) + surplus)
        peer.serve(peer.answer(b"evil"))

    server = serve_tls(script)
    transport = make_transport(verify_tls=authority.path)
    for number in range(2):
        assert ask(transport, server.url).response.body.strip(b"x") == b""
        assert server.connections == number + 1


def test_a_client_certificate_is_shown(serve_tls, make_transport, ask, authority):
    """Request.cert authenticates us to a server that asks for it (RFC 8705, section 2)."""
    names = []

    def script(peer):
        names.append(dict(field[0] for field in peer.sock.getpeercert()["subject"])["commonName"])
        peer.serve()

    server = serve_tls(script, mutual=True)
    transport = make_transport(verify_tls=authority.path)
    first = authority.issue("client-one")
    second = authority.issue("client-two")
    for cert in (first, first, second, first):
        assert ask(transport, server.url, cert=cert).response.body == BODY
    assert names == ["client-one", "client-two"]


def test_a_call_without_the_certificate_does_not_use_its_connection(
    serve_tls, make_transport, ask, authority
):
    """A connection that proved a client belongs to that client's calls alone."""
    server = serve_tls(lambda peer: peer.serve(), mutual=True)
    transport = make_transport(verify_tls=authority.path, retries=0)
    assert ask(transport, server.url, cert=authority.issue("c")).response.body == BODY
    assert ask(transport, server.url).error is not None
    assert len(server.requests) == 1


def test_a_renewed_client_certificate_is_read_again(
    serve_tls, make_transport, ask, authority, tmp_path
):
    """A certificate replaced on disk is used from the next call on."""
    names = []

    def script(peer):
        names.append(dict(field[0] for field in peer.sock.getpeercert()["subject"])["commonName"])
        peer.serve()

    server = serve_tls(script, mutual=True)
    transport = make_transport(verify_tls=authority.path)
    paths = (str(tmp_path / "client.pem"), str(tmp_path / "client.key"))
    for number, name in enumerate(("old", "new")):
        for source, target in zip(authority.issue(name), paths, strict=True):
            shutil.copy(source, target)
            os.utime(target, (1_700_000_000 + number, 1_700_000_000 + number))
        assert ask(transport, server.url, cert=paths).response.body == BODY
    assert names == ["old", "new"]


def test_an_unusable_client_certificate_is_an_outage(make_transport, ask, authority, tmp_path):
    """Missing, malformed or locked by a passphrase: it is named, and nothing is sent."""
    broken = tmp_path / "broken.pem"
    broken.write_text("not a certificate")
    cert, key = authority.issue("client")
    locked = tmp_path / "locked.key"
    private = serialization.load_pem_private_key(Path(key).read_bytes(), None)
    locked.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"passphrase"),
        )
    )
    transport = make_transport(retries=0)
    for paths in ((tmp_path / "missing.pem", key), (broken, key), (cert, broken), (cert, locked)):
        outcome = ask(transport, "https://127.0.0.1:1/", cert=tuple(map(str, paths)))
        assert type(outcome.error) is AuthServiceUnavailable
        assert outcome.reason == "tls"
        assert "client certificate" in outcome.error.hint


def _tunnel(peer, *, refuse=False):
    """Serve as a CONNECT proxy."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += peer.sock.recv(65_536)
    peer.server.requests.append((data, b""))
    if refuse:
        peer.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        return
    target = data.split()[1].decode()
    with socket.create_connection(target.rsplit(":", 1)) as onward:
        peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        pair = {peer.sock: onward, onward: peer.sock}
        while not peer.server.stopping.is_set():
            for sock in select.select(list(pair), [], [], 0.02)[0]:
                more = sock.recv(65_536)
                if not more:
                    return
                pair[sock].sendall(more)


def test_a_proxy_tunnels_https(serve_tls, serve, make_transport, ask, authority):
    """An https call goes through the configured proxy, with its credentials, end to end in TLS."""
    server = serve_tls(lambda peer: peer.serve())
    proxy = serve(_tunnel)
    transport = make_transport(
        verify_tls=authority.path, proxies={"https": f"http://user:pass@127.0.0.1:{proxy.port}"}
    )
    for _ in range(2):
        assert ask(transport, server.url).response.body == BODY
    assert proxy.connections == 1
    assert proxy.requests[0][0].startswith(f"CONNECT 127.0.0.1:{server.port} HTTP/1.".encode())
    assert b"Proxy-Authorization: Basic dXNlcjpwYXNz" in proxy.requests[0][0]
    assert b"authorization" not in server.requests[0][0].lower()


def test_a_proxy_never_sees_an_http_call(serve, make_transport, ask):
    """An http call is for loopback: it goes there directly, whatever the proxies say."""
    server = serve(lambda peer: peer.serve())
    proxy = serve(_tunnel)
    transport = make_transport(
        proxies={"http": f"http://127.0.0.1:{proxy.port}", "all": "http://x"}
    )
    assert ask(transport, server.url).response.body == BODY
    assert proxy.connections == 0


def test_a_proxy_that_refuses_is_an_outage(serve, make_transport, ask):
    """A refused CONNECT is a failed connection."""
    proxy = serve(lambda peer: _tunnel(peer, refuse=True))
    transport = make_transport(retries=0, proxies={"https": f"http://127.0.0.1:{proxy.port}"})
    assert ask(transport, "https://auth.example.com/").reason == "connect_failed"


def test_a_proxy_that_drips_ends_at_the_deadline(serve, make_transport, ask):
    """The tunnel's answer counts against the same deadline."""

    def script(peer):
        peer.sock.recv(65_536)
        peer.drip(b"HTTP/1.1 200 Connection established\r\n" + b"X: 1\r\n" * 1_000)

    proxy = serve(script)
    transport = make_transport(retries=0, proxies={"https": f"http://127.0.0.1:{proxy.port}"})
    outcome = ask(transport, "https://auth.example.com/", seconds=0.3)
    assert outcome.reason == "deadline"
    assert outcome.seconds < 0.3 + SLACK


@pytest.mark.parametrize(
    "proxy",
    [
        *("https://proxy", "socks5://proxy", "proxy:3128", "http://", 5),
        *("http://[", "http://proxy:x", "http://proxy:99999", "http://proxy:0"),
    ],
)
def test_an_unusable_proxy_stops_start_up(proxy, make_transport):
    """Only http:// proxies with a host are taken."""
    with pytest.raises(ConfigurationError, match="proxy"):
        make_transport(proxies={"https": proxy})
