"""What an import costs, over importing what it cannot do without."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.environment import interpreter, measured
from benchmarks.findings import Result
from benchmarks.harness import Effort, Taken, interleaved

TOPIC = "import-time"
BESIDE = "beside the peers"

IN_DJANGO = (
    "from django.conf import settings; settings.configure(SECRET_KEY='x' * 50, INSTALLED_APPS=["
    "'django.contrib.auth', 'django.contrib.contenttypes'{apps}]{more}); "
    "import django; django.setup(); {statement}"
)
"""An import in a project of Django's, which has to be set up for it."""

_NAMES = ("IntrospectionVerifier", "JWKSVerifier")
_OWN_APP = ", 'tokenward.django'"
_OWN_SETTING = ", TOKENWARD={'credentials': []}"
_DRF = ", 'rest_framework'"
_BARE = {
    "Flask": "import flask",
    "Django": IN_DJANGO.format(apps="", more="", statement="import django.contrib.auth.backends"),
    "DRF": IN_DJANGO.format(apps=_DRF, more="", statement="import rest_framework.permissions"),
}
ADAPTERS = {
    "Flask": "import tokenward.flask",
    "Django": IN_DJANGO.format(
        apps=_OWN_APP,
        more=_OWN_SETTING,
        statement="import tokenward.django.middleware, tokenward.django.decorators",
    ),
    "DRF": IN_DJANGO.format(
        apps=_DRF + _OWN_APP, more=_OWN_SETTING, statement="import tokenward.django.drf"
    ),
}
"""Our adapter of each framework, as an application has it that only verifies tokens."""


def measure(effort: Effort, *, made: Callable[[], Path] = interpreter) -> list[Result]:
    """Start interpreters in turn; the start of a bare one is taken off each."""
    net = imported(
        {
            "requests": "import requests",
            "requests, PyJWT and cryptography": "import requests, jwt, cryptography",
            "tokenward": "import tokenward",
        }
        | {name: f"from tokenward import {name}" for name in _NAMES}
        | _BARE
        | {f"its {name} adapter": statement for name, statement in ADAPTERS.items()},
        rounds=effort.rounds(15),
    )

    def over(name: str, needed: str, bar: float) -> Result:
        what = f"{'from tokenward ' if name in _NAMES else ''}import {name}"
        took = f"{net[name] * 1e3:.1f} ms over {net[needed] * 1e3:.0f} ms"
        return Result(
            what,
            net.over(name, needed),
            f"x import {needed}",
            bar,
            detail=took,
            topic=TOPIC,
            spread=net.spread(name, needed),
            case=what,
        )

    return [
        over("IntrospectionVerifier", "requests", 1.3),
        over("JWKSVerifier", "requests, PyJWT and cryptography", 1.3),
        over("tokenward", "requests", 0.1),
        *(over(f"its {name} adapter", name, 3) for name in ADAPTERS),
        *measured("import: peers", "import_peers", f"--rounds={effort.rounds(7)}", made=made),
    ]


def imported(statements: Mapping[str, str], *, rounds: int) -> Taken:
    """Return what each statement takes in an interpreter of its own, less a bare one's start."""
    with tempfile.TemporaryDirectory() as compiled:
        calls = {name: _importing(compiled, what) for name, what in statements.items()}
        bare = _importing(compiled, "pass")
        taken = interleaved(calls | {"bare": bare}, number=1, rounds=rounds, clock=_children)
    started = taken.rounds["bare"]
    return Taken(
        {
            name: [one - none for one, none in zip(taken.rounds[name], started, strict=True)]
            for name in statements
        }
    )


def _children() -> float:
    # The time that the interpreters themselves were at work, whatever the machine does besides.
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def _importing(compiled: str, statement: str) -> Callable[[], object]:
    command = [sys.executable, "-c", statement]
    # The first of them compiles, as an installation does; wherever this one may not.
    environment = {
        name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
    } | {"PYTHONPYCACHEPREFIX": compiled}

    def run() -> object:
        return subprocess.run(command, check=True, env=environment)  # noqa: S603 - our own

    return run
