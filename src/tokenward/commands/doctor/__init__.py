"""Whether everything that the configuration names is there and works.

Each finding is about one setting, by its dotted path, and one that is not good says what to write.

===============  ================================================================================
`whole`          a configuration, part by part
`introspection`  the authorization server of an ``introspection`` entry of ``credentials``
`signed`         the keys of the entries whose tokens are checked here
`cloudflare`     the keys of a Cloudflare team, and who stands in for people in development
`issuer`         an authorization server that is not configured yet
`server`         what both ask: its metadata, its keys, its clock
`shared_cache`   the Redis that processes share answers and revocations by
`service`        the auth service in this process, and the one that logins are checked at
`files`          secrets, keys and certificates
===============  ================================================================================
"""

from __future__ import annotations

from tokenward.commands.doctor.finding import Finding
from tokenward.commands.doctor.issuer import examine_issuer
from tokenward.commands.doctor.server import is_lasting, of_clock
from tokenward.commands.doctor.whole import HOW_TO_BEGIN, examine

__all__ = ["HOW_TO_BEGIN", "Finding", "examine", "examine_issuer", "is_lasting", "of_clock"]
