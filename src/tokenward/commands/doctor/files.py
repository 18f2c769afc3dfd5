"""Files that the configuration names: secrets, keys, certificates."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tokenward._jose.certificates import expires_at
from tokenward.commands.doctor.finding import Finding
from tokenward.errors import ConfigurationError

if TYPE_CHECKING:
    from tokenward.config.settings import MutualTLSSection

SOON = 30 * 86_400.0
"""Seconds before its end from which on a certificate is worth a word."""

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def open_to_others(path: str) -> bool:
    """Tell whether anybody but its owner can do something with a file."""
    with contextlib.suppress(OSError):
        return bool(os.stat(path).st_mode & _OTHERS)  # noqa: PTH116 - a mode, of what a path names
    return False


def of_certificate(section: MutualTLSSection, path: str) -> Iterator[Finding]:
    """Look at the certificate of a client; its key was looked at when the settings were read."""
    setting = f"{path}.cert"
    try:
        ends = expires_at(Path(section.cert).read_bytes())
    except (OSError, ConfigurationError) as error:
        yield Finding("FAIL", setting, str(error))
        return
    left = ends - time.time()
    day = time.strftime("%Y-%m-%d", time.gmtime(ends))
    advice = "; have it renewed, and put the new one at this path: it is read again by itself"
    if left <= 0:
        yield Finding("FAIL", setting, f"ended on {day}{advice}")
    elif left < SOON:
        yield Finding("warn", setting, f"ends on {day}, in {left / 86_400:.0f} days{advice}")
    else:
        yield Finding("ok", setting, f"is good until {day}")
