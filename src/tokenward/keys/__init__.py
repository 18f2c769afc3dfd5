"""`KeyRing`: the keys an issuer signs with, published before their first use and after their last.

A key is ``next``, then ``current``, then ``retired``: resource servers see it before the first
token bears it, and until the last token that bears it has expired.
"""

from tokenward.keys.ring import KeyRing
from tokenward.keys.rotation import REREAD_SECONDS, SET_MAX_AGE

__all__ = ["REREAD_SECONDS", "SET_MAX_AGE", "KeyRing"]
