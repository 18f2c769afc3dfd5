"""Bounded caches with lock-free reads, one state machine and single flight.

What a remote source said is, in this order:

.. code-block:: text

    stored        fresh_until       ends            stale_until
      │── fresh ──────│───── due ─────│───── stale ─────│── gone ──▶
      served           if in use,      served only while
                       one request     the source fails
                       asks again and
                       the others are
                       served

Before ``stored`` (a clock that jumped back) an entry is gone too. Reading takes no lock: looking
up a key in a dictionary is atomic, and recency is approximate. Writing takes one, and never while
something is asked, called back or logged.
"""

from tokenward.cache.document import Fetched, Kept, KeptDocument, NotTried
from tokenward.cache.entry import CacheStats, Entry, State
from tokenward.cache.lookup import LookupCache

__all__ = [
    "CacheStats",
    "Entry",
    "Fetched",
    "Kept",
    "KeptDocument",
    "LookupCache",
    "NotTried",
    "State",
]
