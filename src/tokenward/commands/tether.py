"""Runs a program that ends when the one that started it does, however that one ended.

``python -m tokenward.commands.tether TARGET …`` runs a module, or a file that ends in ``.py``, as
if it had been started by itself. Its standard input is a pipe of which the parent holds the other
end: when that closes, because the parent said so, crashed or was killed, the program gets SIGTERM.
That works wherever there are pipes; asking the kernel for a signal works on Linux only.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading

PATIENCE = 15.0
"""Seconds that the program has to end by itself."""


def main(argv: list[str]) -> None:
    """Run what ``argv`` names, with the rest of it as its arguments."""
    threading.Thread(target=_watch, name="tether", daemon=True).start()
    target, *_ = sys.argv = argv
    if target.endswith(".py"):
        # Where Python itself looks first when it is given a file.
        sys.path.insert(0, os.path.dirname(target))  # noqa: PTH120 - as Python writes it
        runpy.run_path(target, run_name="__main__")
    else:
        runpy.run_module(target, run_name="__main__", alter_sys=True)


def _watch() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(PATIENCE)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
