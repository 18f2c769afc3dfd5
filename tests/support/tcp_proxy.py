"""A proxy that knows MongoDB's messages and does to them what a bad network or server would."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

import bson

_HEADER = struct.Struct("<iiii")
_OP_MSG = 2013
_MORE_TO_COME = 2
_BODY = 20  # header and flags, before the first section


class TCPProxy:
    """Hands on what comes in, on a loopback port of its own; a context manager.

    A fault is a name, or a document to answer with in the server's place:

    ===============  =================================================================
    ``before``       the connection ends before the request is handed on
    ``after``        it ends when the server has answered, and nobody sees the answer
    ``half``         it ends in the middle of the answer
    ``slow``         the answer comes after `delay` seconds
    ===============  =================================================================

    MongoDB knows a repeated write by its number. SecantusDB compares what else it says too, and
    pymongo says how much time is left; so that is left out of a write on its way.

    Args:
        port: Where the server listens.

    Attributes:
        seen: The names of all commands that came in.
        forgetful: Whether the number of a retryable write is left out, so that the server does
            not know a repeated one again, as one that does not keep account of them.
        delay: Seconds.
    """

    def __init__(self, port):
        self.target = port
        self.seen = []
        self.forgetful = False
        self.delay = 0.0
        self._faults = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._open = set()
        self._threads = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    def __enter__(self):
        self._run(self._accept)
        return self

    def __exit__(self, *_):
        self._over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for sock in self._open:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def fail(self, command, fault, *, times=1):
        """Do ``fault`` to the next ``times`` requests with this command."""
        with self._lock:
            self._faults = [[command, fault, times]]

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._run(self._serve, client)

    def _run(self, function, *arguments):
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _serve(self, client):
        with contextlib.suppress(OSError), client, self._kept(client):
            server = socket.create_connection(("127.0.0.1", self.target), timeout=10)
            server.settimeout(None)
            with server, self._kept(server):
                while request := _message(client):
                    self._pass_on(client, server, request)

    @contextlib.contextmanager
    def _kept(self, sock):
        with self._lock:
            self._open.add(sock)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(sock)

    def _pass_on(self, client, server, request):
        body = _body(request)
        fault = self._fault(next(iter(body), ""))
        if fault == "before":
            raise OSError
        if isinstance(fault, dict):
            client.sendall(_answer(request, fault))
            return
        if "txnNumber" in body:
            request = _without(request, "maxTimeMS", *(["txnNumber"] if self.forgetful else []))
        server.sendall(request)
        more = True
        while more:
            answer = _message(server)
            if not answer or fault == "after":
                raise OSError
            if fault == "slow":
                self._over.wait(self.delay)
            if fault == "half":
                client.sendall(answer[: len(answer) // 2])
                raise OSError
            client.sendall(answer)
            more = _flags(answer) & _MORE_TO_COME

    def _fault(self, command):
        with self._lock:
            self.seen.append(command)
            for fault in self._faults:
                if fault[0] == command and fault[2] > 0:
                    fault[2] -= 1
                    return fault[1]
        return None


def _message(sock):
    head = _exactly(sock, _HEADER.size)
    if not head:
        return b""
    return head + _exactly(sock, _HEADER.unpack(head)[0] - _HEADER.size)


def _exactly(sock, count):
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            return b""
        data += more
    return data


def _flags(message):
    return struct.unpack_from("<I", message, _HEADER.size)[0] if _code(message) == _OP_MSG else 0


def _code(message):
    return _HEADER.unpack_from(message)[3]


def _body(message):
    # The first message of a connection may be of another kind: a handshake.
    if _code(message) != _OP_MSG:
        return {}
    (size,) = struct.unpack_from("<i", message, _BODY + 1)
    return bson.decode(message[_BODY + 1 : _BODY + 1 + size], bson.CodecOptions(bson.son.SON))


def _without(message, *members):
    body = _body(message)
    (size,) = struct.unpack_from("<i", message, _BODY + 1)
    for member in members:
        body.pop(member, None)
    rest = message[_HEADER.size : _BODY + 1] + bson.encode(body) + message[_BODY + 1 + size :]
    _, number, to, code = _HEADER.unpack_from(message)
    return _HEADER.pack(_HEADER.size + len(rest), number, to, code) + rest


def _answer(request, document):
    rest = struct.pack("<IB", 0, 0) + bson.encode(document)
    number = _HEADER.unpack_from(request)[1]
    return _HEADER.pack(_HEADER.size + len(rest), 0, number, _OP_MSG) + rest
