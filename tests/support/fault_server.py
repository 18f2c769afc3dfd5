"""A server that misbehaves as a test wants it to, on a loopback port of its own."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import threading

BODY = b'{"active": true}'
SEND_BUFFER = 65_536


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

    def is_asked(self):
        """Wait for a request; False when the client has closed instead."""
        while not self.server.stopping.is_set():
            if select.select([self.sock], [], [], 0.02)[0]:
                return isinstance(self.sock, ssl.SSLSocket) or self.sock.recv(1, socket.MSG_PEEK)
        return False

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
    """Runs ``script(peer)`` on a thread for every connection that comes in.

    Args:
        script: Plays the server's part.
        context: Of TLS; ``None``: none.

    Attributes:
        stalls: Whether new connections wait for the TLS handshake in vain.
        requests: (head, body) of each request that was read.
        connections: How many came in.
        sent: How many bytes could be sent.
    """

    def __init__(self, script, *, context=None):
        self.script = script
        self.context = context
        self.stalls = False
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
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return  # close() has shut it down
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # Small, so that what was sent is nearly what the client took.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            with self.lock:
                self.connections += 1
                number = self.connections
            thread = threading.Thread(target=self._run, args=(sock, number), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _run(self, sock, number):
        sock.settimeout(60)
        # Whatever the client does to the connection is its business, and the test's.
        with contextlib.suppress(OSError, ValueError), contextlib.closing(sock):
            if self.stalls:
                self._open.append(sock)
                Peer(self, sock, number).hold()
                return
            if self.context is not None:
                sock = self.context.wrap_socket(sock, server_side=True)
            self._open.append(sock)
            with contextlib.closing(sock):
                self.script(Peer(self, sock, number))

    def drain(self):
        """Wait until every connection has ended."""
        for thread in self._threads[1:]:
            thread.join(5)

    def hang_up(self):
        """End every connection, in the middle of whatever it is doing."""
        for sock in self._open:
            with contextlib.suppress(OSError, ValueError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self):
        """Stop listening, and end every connection."""
        self.stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(5)
        self._listener.close()
        self.hang_up()
        self.drain()
