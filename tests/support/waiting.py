"""Waiting for what another thread or process does, however slow the machine is."""

import threading
import time

PATIENCE = 120


def until(condition):
    """Wait until a condition holds."""
    pause, end = threading.Event(), time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        pause.wait(0.001)


def go_on(server):
    """Cut every delay of a `FakeAuthorizationServer` short."""
    server._script.stopping.set()
