"""`KeyRing`: the keys an issuer signs with, published before their first use and after their last.

A key is ``next``, then ``current``, then ``retired``: resource servers see it before the first
token bears it, and until the last token that bears it has expired.
"""

from tokenward.keys.ring import REREAD_SECONDS, KeyRing

__all__ = ["REREAD_SECONDS", "KeyRing"]
