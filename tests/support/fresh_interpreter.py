"""What an interpreter has loaded that did nothing before."""

import json
import subprocess
import sys

from unmeasured import unmeasured


def loaded_by(script):
    """Return which modules an interpreter of its own has loaded after a script."""
    show = "import sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{script}\n{show}"],
        capture_output=True,
        text=True,
        check=False,
        env=unmeasured(),
    )
    assert (0, "") == (done.returncode, done.stderr), done.stderr
    return set(json.loads(done.stdout))
