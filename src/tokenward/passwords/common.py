"""The most common passwords: what those who guess try first (NIST SP 800-63B-4, section 3.1.1.2).

Where the list comes from stands in ``NOTICE.txt`` beside it.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

_LIST = "common-passwords.txt"


def is_common(password: str) -> bool:
    """Tell whether a password is one of the 10,000 most common of six characters or more.

    Upper and lower case are the same here. For a new password: one that is in use may be anything.
    """
    key = password.casefold()
    # Two lines of the list are no password.
    return "\n" not in key and f"\n{key}\n" in _listed()


@cache
def _listed() -> str:
    # One string and no set: a tenth of the memory, and a look-up is still nothing beside a hash.
    return "\n" + files("tokenward.passwords").joinpath(_LIST).read_text("ascii")
