"""What each gunicorn of the machine is told: to be slow for as long as a file says so."""

from __future__ import annotations

import os
import time
from pathlib import Path

DELAY = "MACHINE_DELAY"
"""Names the file; it holds seconds, and is there only while the server is to be slow."""


def pre_request(_worker: object, _request: object) -> None:
    """Wait before the application hears of a request, as one on a busy machine would."""
    try:
        said = Path(os.environ[DELAY]).read_text("ascii")
    except FileNotFoundError:
        return
    time.sleep(float(said))
