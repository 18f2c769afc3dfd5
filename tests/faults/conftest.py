"""A server that misbehaves as a test wants it to, and a certificate authority for an hour."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import select
import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass, field

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tokenward._http import RequestsTransport
from tokenward.protocols import Request

BODY = b'{"active": true}'


class Peer:
    """The server's end of one connection, with the ways to misuse it."""

    def __init__(self, server, sock, number):
        self.server = server
        self.sock = sock
        self.number = number

    @staticmethod
    def answer(body=BODY, *headers, status="200 OK", length=None):
        """Return a complete answer as bytes."""
        lines = [
            f"HTTP/1.1 {status}",
            "Content-Type: application/json",
            f"Content-Length: {len(body) if length is None else length}",
            *headers,
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def read(self):
        """Return the next request's head and body; None when the client has closed."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = self.sock.recv(65_536)
            if not more:
                return None
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        while len(body) < length:
            body += self.sock.recv(65_536)
        with self.server.lock:
            self.server.requests.append((head, body))
        return head, body

    def send(self, data):
        self.sock.sendall(data)
        with self.server.lock:
            self.server.sent += len(data)

    def serve(self, data=None):
        """Answer every request on this connection as a good server would."""
        while self.read():
            self.send(data or self.answer())

    def drip(self, data, every=0.02):
        """Send one byte at a time until the client has had enough."""
        for byte in data:
            self.send(bytes([byte]))
            if self.server.stopping.wait(every):
                return

    def flood(self, chunk):
        """Send the same again and again until the client has had enough."""
        while not self.server.stopping.is_set():
            self.send(chunk)

    def hold(self):
        """Say nothing until the client has closed or the test is over."""
        while not self.server.stopping.is_set():
            if select.select([self.sock], [], [], 0.02)[0] and not self.sock.recv(65_536):
                return

    def reset(self):
        """Close with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class FaultServer:
    """Runs ``script(peer)`` on a thread for every connection that comes in."""

    def __init__(self, script, *, context=None):
        self.script = script
        self.context = context
        self.requests = []
        self.connections = 0
        self.sent = 0
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self._open = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.port}/introspect"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self):
        while not self.stopping.is_set():
            if not select.select([self._listener], [], [], 0.02)[0]:
                continue
            sock, _ = self._listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.connections += 1
                number = self.connections
            thread = threading.Thread(target=self._run, args=(sock, number), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _run(self, sock, number):
        sock.settimeout(10)
        # Whatever the client does to the connection is its business, and the test's.
        with contextlib.suppress(OSError, ValueError), contextlib.closing(sock):
            if self.context is not None:
                sock = self.context.wrap_socket(sock, server_side=True)
            self._open.append(sock)
            with contextlib.closing(sock):
                self.script(Peer(self, sock, number))

    def drain(self):
        """Wait until every connection has ended."""
        for thread in self._threads[1:]:
            thread.join(5)

    def close(self):
        self.stopping.set()
        self._threads[0].join(5)
        self._listener.close()
        for sock in self._open:
            with contextlib.suppress(OSError, ValueError):
                sock.shutdown(socket.SHUT_RDWR)
        self.drain()


@pytest.fixture
def serve():
    """Start a `FaultServer` with a script; it stops with the test."""
    servers = []

    def start(script, *, context=None):
        servers.append(FaultServer(script, context=context))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def make_transport():
    """Make a transport whose idle connections are closed with the test."""
    transports = []

    def make(**options):
        transports.append(RequestsTransport(**options))
        return transports[-1]

    yield make
    for transport in transports:
        transport.close()


@dataclass
class Outcome:
    """How a call ended and how many seconds it took."""

    seconds: float
    response: object = None
    error: BaseException | None = None

    @property
    def reason(self):
        return getattr(self.error, "reason", None)


@pytest.fixture
def ask():
    """Post a token to ``url`` and tell how that ended."""

    def post(transport, url, *, seconds=0.4, cert=None):
        request = Request("POST", url, form={"token": "a-token"}, cert=cert)
        begin = time.monotonic()
        try:
            response = transport.send(request, deadline=begin + seconds)
        except Exception as error:  # noqa: BLE001 - the tests say which one it must be
            return Outcome(time.monotonic() - begin, error=error)
        return Outcome(time.monotonic() - begin, response=response)

    return post


@dataclass
class Authority:
    """A certificate authority that lives as long as the test run."""

    folder: object
    key: object = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    serial: int = 0

    def __post_init__(self):
        self.path = str(self.folder / "ca.pem")
        certificate = self._sign("Test authority", self.key, [], ca=True)
        (self.folder / "ca.pem").write_bytes(certificate)

    def issue(self, name, *, addresses=()):
        """Return the paths of a certificate for ``name`` and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName(name)]
        names += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        self.serial += 1
        cert_path = self.folder / f"{self.serial}.pem"
        key_path = self.folder / f"{self.serial}.key"
        cert_path.write_bytes(self._sign(name, key, names, ca=False))
        key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return str(cert_path), str(key_path)

    def _sign(self, name, key, names, *, ca):
        now = dt.datetime.now(dt.UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
        )
        if ca:
            usage = x509.KeyUsage(
                digital_signature=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=True,
                crl_sign=True,
                encipher_only=False,
                decipher_only=False,
            )
            builder = builder.add_extension(usage, critical=True)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """A certificate authority that only these tests trust."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def loopback_cert(authority):
    """A certificate and key for 127.0.0.1."""
    return authority.issue("localhost", addresses=["127.0.0.1"])


@pytest.fixture
def serve_tls(serve, authority, loopback_cert):
    """Start a `FaultServer` on TLS; ``mutual`` demands a certificate of the authority's."""

    def start(script, *, mutual=False):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*loopback_cert)
        if mutual:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(authority.path)
        return serve(script, context=context)

    return start
