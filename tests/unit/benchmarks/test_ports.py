"""Ports for servers that must keep theirs: nobody else gets one, here or in another process."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ASK = "from benchmarks import ports; ports._PORTS = range({}, {}); print(ports.free_port())"


@pytest.fixture
def first():
    """The first of some ports that nobody else asks for: neither the system nor other tests."""
    return 32_000 + os.getpid() % 700


@pytest.fixture
def ports(benchmarks, monkeypatch, first):
    """The module, with three ports to give."""
    module = benchmarks("ports")
    monkeypatch.setattr(module, "_CLAIMS", [])
    monkeypatch.setattr(module, "_PORTS", range(first, first + 3))
    yield module
    for claim in module._CLAIMS:
        claim.close()


def test_a_port_is_given_once(ports, first):
    """Until none is left, which is told."""
    assert {first, first + 1, first + 2} == {ports.free_port() for _ in range(3)}
    with pytest.raises(ports.NoPort, match=f"{first} to {first + 2}"):
        ports.free_port()


def test_a_port_that_somebody_listens_on_is_left_alone(ports, first):
    """Whoever it is; what is given can be listened on."""
    with socket.create_server((ports.HOST, first)):
        given = {ports.free_port(), ports.free_port()}
    assert {first + 1, first + 2} == given
    for port in given:
        socket.create_server((ports.HOST, port)).close()


def test_another_process_is_not_given_it(ports, first):
    """Though no server listens on it at the moment."""
    given = {ports.free_port(), ports.free_port()}
    command = [sys.executable, "-c", ASK.format(first, first + 3)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert {first, first + 1, first + 2} == {*given, int(done.stdout)}


def test_the_system_gives_them_to_nobody(benchmarks):
    """Not to those who ask for port 0, of whom clients are some."""
    module = benchmarks("ports")
    with socket.create_server((module.HOST, 0)) as server:
        assert server.getsockname()[1] > module._PORTS[-1]
