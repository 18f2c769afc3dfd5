"""The shared cache and the revocation bus on Redis; needs the extra ``tokenward[redis]``.

Nothing is connected before it is used, and a Redis that is down, slow, full or read-only costs no
more than ``timeout`` seconds a call: the error is `AuthServiceUnavailable`, which whoever uses a
`SharedCache` or a `RevocationBus` counts, and then does without for a while.

What the user in the URL must be allowed: ``GETRANGE``, ``SET`` and ``DEL`` on keys that begin with
the prefix, ``PUBLISH``, ``SUBSCRIBE`` and ``PING`` on the channel. A Redis that evicts keys should
do so with the policy ``volatile-ttl``: a tombstone lasts longer than the answers it stands for.
"""

from tokenward.redis_cache.answers import RedisSharedCache
from tokenward.redis_cache.bus import RedisRevocationBus

__all__ = ["RedisRevocationBus", "RedisSharedCache"]
