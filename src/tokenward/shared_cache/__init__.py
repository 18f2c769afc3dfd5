"""What processes share about tokens: answers in a second cache level, and who is revoked.

`SharedAnswers` keeps what the authorization server said, never what anybody made of it: each reader
applies its own policy. `Revocations` takes answers away, everywhere. Both see nothing but the
SHA-256 digest of a token, and seal whatever leaves the process: whoever can read the store learns
nothing. Whoever can write to it can make everybody ask again, and can undo a revocation there until
the end of the answer that stood there before.

A token has one place for answers, for each endpoint and client, and one for a tombstone, which says
that no answer may be used. The tombstone has a place of its own because a look-up that began before
the revocation may still write its answer after it.

To change the secrets, put the new one first, and take the old one out when every process has both.
In the meantime nobody misses a revocation: tombstones and messages are written under each secret
of the writer, and tombstones are looked for under each secret of the reader.
"""

from tokenward.shared_cache.answers import SharedAnswer, SharedAnswers
from tokenward.shared_cache.listening import Listening
from tokenward.shared_cache.places import LONGEST_TTL, MAX_VALUE_BYTES, TOMBSTONE_SECONDS
from tokenward.shared_cache.revocations import MESSAGE_SECONDS, Revocations

__all__ = [
    "LONGEST_TTL",
    "MAX_VALUE_BYTES",
    "MESSAGE_SECONDS",
    "TOMBSTONE_SECONDS",
    "Listening",
    "Revocations",
    "SharedAnswer",
    "SharedAnswers",
]
