"""Loopback ports for servers that know theirs before they start and keep it when they restart."""

from __future__ import annotations

import atexit
import contextlib
import random
import socket
import subprocess
import time

HOST = "127.0.0.1"

# Below what Linux (32768 to 60999) and others (49152 and up, RFC 6335 section 6) hand to clients
# and to those who ask for port 0: nobody gets one of these by chance while its server is down.
_PORTS = range(20_000, 32_000)
_PATIENCE = 30.0
_CLAIMS: list[socket.socket] = []


class NoPort(Exception):
    """Every port is taken."""


def free_port() -> int:
    """Return a loopback port that nobody listens on, and nobody else is given while this runs.

    A UDP socket on the same number is held until the process ends: servers of TCP do not notice,
    and another process that asks here as well sees that the number is taken.

    Raises:
        NoPort: All are taken.
    """
    for port in random.SystemRandom().sample(_PORTS, len(_PORTS)):
        claim = socket.socket(type=socket.SOCK_DGRAM)
        with contextlib.suppress(OSError):
            claim.bind((HOST, port))
            socket.create_server((HOST, port)).close()
            atexit.register(claim.close)
            _CLAIMS.append(claim)
            return port
        claim.close()
    raise NoPort(f"all of {HOST}'s ports {_PORTS[0]} to {_PORTS[-1]} are taken")


def listens(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until somebody listens on a port; tell whether that was before the process gave up."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1):
            return True
        time.sleep(0.05)
    return False
