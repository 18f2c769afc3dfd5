"""`LoginThrottle`: how many login attempts are looked at."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Literal

from tokenward._log import shown
from tokenward.errors import ConfigurationError, TooManyAttempts
from tokenward.throttle.delays import Delays, delay_for, sleep
from tokenward.throttle.keys import address_key, digest, name_key
from tokenward.throttle.networks import read_address
from tokenward.throttle.rates import Rate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tokenward.protocols import Clock
    from tokenward.repositories import CounterRepository
    from tokenward.throttle.counting import Counted, FixedWindows, Window
    from tokenward.throttle.outage import Elsewhere

Action = Literal["login", "password", "one_time", "forgot", "message", "register"]
"""``password`` is the current one, asked for before it is changed; ``one_time`` a token from a
message; ``forgot`` asks for such a message, and ``message`` is one that is about to be sent."""

MESSAGES_PER_MAILBOX: Final = Rate(5, 3_600)
"""So many messages that anybody may ask for are sent to one e-mail address in so long."""

# A success there costs something, a message or an account, so that it is counted like a failure.
_COSTLY = frozenset({"forgot", "message", "register"})


class LoginThrottle:
    """Counts login attempts, by name and address, before anything is looked up.

    Three limits, each of a fixed window that begins with the first attempt:

    - of one name from one address; beyond it an attempt is refused;
    - from one address, with whatever names; beyond it an attempt is refused. IPv6 addresses are
      counted by /64, which is what one household has;
    - of one name from all addresses; beyond it an attempt is held back for up to two seconds and
      then looked at like any other: else who knows a name could lock its owner out.

    An attempt without an address has the last limit only, for the same reason. A ``message`` has
    none of them, but a bound by the mailbox it goes to, `MESSAGES_PER_MAILBOX`, beyond which it is
    refused: whoever wants to fill somebody's mailbox asks from many addresses. What is stored are
    digests. When the counters outside of this process do not answer, its own take over at once;
    they have counted all along.

    Made by `open`.
    """

    def __init__(
        self,
        own: FixedWindows,
        elsewhere: Elsewhere | None,
        *,
        rates: Mapping[str, Rate],
        delays: Delays,
    ) -> None:
        self._own = own
        self._elsewhere = elsewhere
        self._rates = {**rates, "per_mailbox": MESSAGES_PER_MAILBOX}
        self._delays = delays

    @classmethod
    def open(
        cls,
        storage: str,
        *,
        counters: CounterRepository | None,
        per_name_and_address: str = "10/5minutes",
        per_address: str = "100/5minutes",
        per_name: str = "50/5minutes",
        clock: Clock = time.time,
        sleep: Callable[[float], None] = sleep,
    ) -> LoginThrottle:
        """Return a throttle; what is outside of this process is connected to when it is used.

        Args:
            storage: ``"store"``: ``counters``; ``"memory"``: this process alone;
                ``redis://HOST:PORT/DB`` or ``rediss://…`` for TLS; ``mongodb://HOST/DATABASE`` or
                ``mongodb+srv://…``.
            counters: Those of the service's own store.
            per_name_and_address: A rate, ``COUNT/PERIOD``; see `Rate.parse`.
            per_address: Likewise.
            per_name: Likewise.
            clock: Returns epoch seconds.
            sleep: Sleeps for so many seconds.

        Raises:
            ConfigurationError: An argument cannot be what was meant, or a library is missing.
        """
        rates = {
            "per_name_and_address": _rate("per_name_and_address", per_name_and_address),
            "per_address": _rate("per_address", per_address),
            "per_name": _rate("per_name", per_name),
        }
        try:
            from tokenward.throttle.opening import open_counters  # noqa: PLC0415 - needs limits
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "limits":
                raise
        else:
            own, elsewhere = open_counters(storage, counters, clock=clock)
            return cls(own, elsewhere, rates=rates, delays=Delays(sleep=sleep))
        msg = (
            "Throttling logins needs limits: install tokenward[throttle], "
            "or turn it off with throttle = false."
        )
        raise ConfigurationError(msg)

    def attempt(
        self, action: Action, name: str | None, address: str | None, *, vouched: bool = False
    ) -> Attempt:
        """Count an attempt, before anything is looked up or hashed.

        Args:
            action: What is attempted; each is counted apart.
            name: The username or e-mail address, as it came; ``None``: there is none.
            address: The address it came from; ``None``, or what is no address: not known. A
                ``message`` is counted by its ``name`` alone, the e-mail address it goes to.
            vouched: A client that has authenticated passes it on, of its own people: the address
                is the client's, and as such has no limit.

        Raises:
            TooManyAttempts: It is not looked at; its ``retry_after`` says when one will be.
        """
        where = read_address(address)
        whence = None if where is None else address_key(where)
        who = None if name is None else name_key(name)
        if action == "message":
            by_address, by_both, by_name = [], self._limited("per_mailbox", action, who), []
        else:
            by_address = self._limited("per_address", action, None if vouched else whence)
            by_both = self._limited("per_name_and_address", action, who, whence)
            by_name = self._limited("per_name", action, who)
        refusing, limits = by_address + by_both, by_address + by_both + by_name

        # First this process's own: an address that is over its limit here leaves no names behind,
        # neither here nor anywhere else.
        windows = self._own.hit_all(by_address)
        _refuse_beyond(by_address, windows)
        windows += self._own.hit_all(by_both + by_name)
        elsewhere = self._elsewhere if limits else None
        found = None if elsewhere is None else elsewhere.hit_all(limits)
        counts = dict(zip(limits, windows if found is None else found, strict=True))
        _refuse_beyond(refusing, [counts[limit] for limit in refusing])
        for limit in by_name:
            excess = counts[limit].hits - limit.item.amount
            if excess > 0:
                self._delays.hold(delay_for(excess))
        return Attempt(
            self._own,
            None if found is None else elsewhere,
            given_back=() if action in _COSTLY else limits,
            forgiven=[limit for limit in by_both if counts[limit].hits > 1],
        )

    def close(self) -> None:
        """Close what is open; the next attempt opens it anew."""
        if self._elsewhere is not None:
            self._elsewhere.close()

    def _limited(self, limit: str, action: Action, *by: str | None) -> list[Counted]:
        from tokenward.throttle.counting import counted  # noqa: PLC0415 - needs limits

        known = [part for part in by if part is not None]
        if len(known) < len(by):
            return []
        return [counted(limit, self._rates[limit], action, digest(*known))]


class Attempt:
    """An attempt that is looked at."""

    def __init__(
        self,
        own: FixedWindows,
        elsewhere: Elsewhere | None,
        *,
        given_back: Sequence[Counted],
        forgiven: Sequence[Counted],
    ) -> None:
        self._counters = (own,) if elsewhere is None else (own, elsewhere)
        self._given_back = given_back
        self._forgiven = forgiven

    def succeeded(self) -> None:
        """Forgive what this name at this address has counted; never raises.

        The address and the name get back this attempt and no more: one's own success makes no
        room for guessing other people's passwords. Registering and asking for a message are not
        given back: what they bring about costs something.
        """
        given_back, self._given_back = self._given_back, ()
        if not given_back:
            return
        for counters in self._counters:
            counters.hit_all(given_back, cost=-1)
            if self._forgiven:
                counters.clear_all(self._forgiven)


def _refuse_beyond(limits: Sequence[Counted], windows: Sequence[Window]) -> None:
    for limit, window in zip(limits, windows, strict=True):
        item = limit.item
        if window.hits > item.amount:
            hint = f"{limit.limit}: more than {item.amount} in {item.get_expiry()} seconds"
            raise TooManyAttempts(window.left, hint)


def _rate(name: str, text: str) -> Rate:
    try:
        return Rate.parse(text)
    except (ValueError, TypeError):
        msg = f"{name} is {shown(text)}; write COUNT/PERIOD, such as 5/minute or 10/5minutes."
    raise ConfigurationError(msg)
