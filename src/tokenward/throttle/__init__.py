"""How many login attempts are looked at (RULES 40).

=============  =======================================================
`login`        `LoginThrottle`, and what becomes of an `Attempt`
`rates`        so many in so long, as it is written
`networks`     addresses, and whom to believe about them
`keys`         under which key a name or an address is counted
`delays`       those that are held back for a moment
`counting`     the fixed windows of limits, over a store of ours
`on_redis`     the same over a Redis
`outage`       counters elsewhere, as long as they answer
=============  =======================================================
"""

from tokenward.throttle.login import Action, Attempt, LoginThrottle

__all__ = ["Action", "Attempt", "LoginThrottle"]
