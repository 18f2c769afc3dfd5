"""The checks that each kind of verifier makes, in its order, with what there is to show.

===========  ==================================================================================
`step`       what a check is, and those of claims, which every kind makes
`asked`      of a verifier that asks an introspection endpoint
`own`        of the service's own tokens
`signed`     of a verifier that checks signatures: published keys, pinned ones, shared secrets
`demands`    what it demands, by its entry in the configuration
`other`      of a verifier that nobody here knows from inside
===========  ==================================================================================
"""

from __future__ import annotations

from tokenward.commands.steps.asked import of_introspection
from tokenward.commands.steps.demands import Demands
from tokenward.commands.steps.other import of_another
from tokenward.commands.steps.own import of_own_token
from tokenward.commands.steps.signed import of_signed
from tokenward.commands.steps.step import Step, claims_in, header_in

__all__ = [
    "Demands",
    "Step",
    "claims_in",
    "header_in",
    "of_another",
    "of_introspection",
    "of_own_token",
    "of_signed",
]
