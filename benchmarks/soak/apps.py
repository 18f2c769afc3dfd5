"""The example applications as the soak runs them: counted, observed, and by both kinds of verifier.

gunicorn calls `flask` or `django` in the folder of the example. Nothing of the examples is changed
but their configuration, in memory.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from benchmarks.soak.observer import SIGNED_HEADER, Counted

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

TARGETS = {"flask": "benchmarks.soak.apps:flask()", "django": "benchmarks.soak.apps:django()"}
"""What gunicorn runs, by the name of the application."""


def soaked(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration that also takes signed tokens, and tells what happens.

    Signed tokens come in a header of their own, so that each verifier's share is known.

    Args:
        configuration: The example's.
    """
    (asked,) = configuration["credentials"]
    # Two verifiers, one issuer: each says whose tokens it takes.
    asked = asked | {"issuer": os.environ["AUTH_URL"], "negative_ttl": asked["ttl"]}
    signed = {
        "type": "jwks",
        "issuer": asked["issuer"],
        "audience": asked["audience"],
        "source": f"header:{SIGNED_HEADER}",
        "cache_entries": asked["max_entries"],
    }
    return {
        **configuration,
        "credentials": [asked, signed],
        "on_event": "benchmarks.soak.metrics:metrics",
    }


def flask() -> WSGIApplication:
    """Return the Flask example."""
    from tokenward.flask import Tokenward  # noqa: PLC0415 - the other one has no Flask

    application = importlib.import_module("app").app
    application.config["TOKENWARD"] = soaked(application.config["TOKENWARD"])
    Tokenward(application)
    return _counted(application)


def django() -> WSGIApplication:
    """Return the Django example."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.soak.django_settings"
    return _counted(importlib.import_module("project.wsgi").application)


def _counted(application: WSGIApplication) -> WSGIApplication:
    # Whoever only wants the names above shall not have the metrics registered.
    from benchmarks.soak.metrics import metrics  # noqa: PLC0415

    return Counted(application, metrics.figures)
