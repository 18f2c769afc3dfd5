"""The example applications, running on this machine: an auth service and what it protects.

Everything the demo writes is in one folder, ``.demo`` in the clone, which can be removed at any
time between two runs.
"""

from __future__ import annotations

from tokenward.commands.demo.run import run

__all__ = ["run"]
