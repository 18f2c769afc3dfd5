"""_fork.py: what must not cross a fork is told so in the child, and only there (RULES 47)."""

import gc
import subprocess
import sys
import textwrap
import weakref

import pytest

from tokenward import _fork
from tokenward._log import OncePerMinute
from tokenward.cache import LookupCache


def run(script):
    """Run a script in an interpreter of its own, so that no test runner is forked."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert (0, "") == (done.returncode, done.stderr), done.stderr
    return done.stdout.split()


class _Thing:
    def __init__(self):
        self.told = 0

    def after_fork(self):
        self.told += 1


def test_only_the_child_is_told():
    """The parent goes on as before; the child starts anew before any other code."""
    script = """
        import os, sys
        from tokenward import _fork

        class Thing:
            told = 0
            def after_fork(self):
                self.told += 1

        thing = Thing()
        _fork.register(thing)
        if os.fork() == 0:
            print(thing.told, flush=True)
            os._exit(0)
        os.wait()
        print(thing.told)
    """

    assert ["1", "0"] == run(script)


def test_registration_keeps_nothing_alive():
    """A verifier that is thrown away is gone."""
    thing = _Thing()
    _fork.register(thing)
    gone = weakref.ref(thing)
    del thing
    gc.collect()

    assert gone() is None


@pytest.mark.parametrize(
    "make", [lambda: LookupCache(max_entries=1), lambda: OncePerMinute(None)], ids=["cache", "log"]
)
def test_a_held_lock_is_replaced(make):
    """A lock that another thread held at the fork is not waited for in the child."""
    thing = make()
    thing._lock.acquire()
    thing.after_fork()

    assert thing in _fork._registered
    assert thing._lock.acquire(blocking=False)


@pytest.mark.parametrize("module", ["tokenward._fork", "tokenward.cache", "tokenward._log"])
def test_importing_starts_no_thread(module):
    """No thread is there before somebody asks for something."""
    assert ["1"] == run(f"import threading, {module}; print(threading.active_count())")
