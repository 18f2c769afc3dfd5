"""From a request's headers to a verified principal.

A `Credential` joins a *source* (`authorization`, `header`, `cookie`) with the verifier of what is
presented there; an `Authenticator` holds them in order, with the rules around them.
"""

from __future__ import annotations

from tokenward.authenticator.core import Authenticator
from tokenward.authenticator.credential import Authentication, Credential
from tokenward.authenticator.overrides import in_force, overridden, put_in_force
from tokenward.authenticator.requirement import Requirement
from tokenward.authenticator.rules import is_preflight
from tokenward.authenticator.sources import (
    EnvironHeaders,
    Source,
    authorization,
    cookie,
    header,
)

__all__ = [
    "Authentication",
    "Authenticator",
    "Credential",
    "EnvironHeaders",
    "Requirement",
    "Source",
    "authorization",
    "cookie",
    "header",
    "in_force",
    "is_preflight",
    "overridden",
    "put_in_force",
]
