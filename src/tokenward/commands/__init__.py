"""What the command line does, without a command line.

`tokenward …` calls these functions, and so do `flask tokenward …` and `manage.py tokenward_…`. Each
takes parsed `Settings`, returns data or raises one of our errors, and prints nothing; where there
is something to say along the way it goes to an `Output`.

===========  ==================================================================================
`setup`      finding and checking the configuration
`homes`      where it is written: a file, or a setting of a framework
`store`      making the store, backing it up, cleaning it up, the service on it
`copying`    a whole store carried into another
`users`      the people in it
`keys`       the signing keys in it: listed, rotated, pruned
`tokens`     issuing a token, asking about one
`explain`    why a token is accepted or refused, check by check; the checks are in `steps`, whose
             they are in `routing`, what to do about a refusal in `advice`
`published`  the keys that an issuer publishes; what was told along the way is in a `witness`
`doctor`     whether everything that the configuration names is there and works
`demo`       the example applications, running on this machine, each held by a `tether`
`line`       what a person types, in each of the programs that call these functions
===========  ==================================================================================
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["Output"]


class Output(Protocol):
    """Where a command says something."""

    def say(self, text: str, /) -> None:
        """Say a line of the result."""
        ...

    def note(self, text: str, /) -> None:
        """Say a line beside the result: a warning, or what is going on."""
        ...
