"""Anything done in any order: what is served was said, in time, and everything is counted.

RULES 23, 45, 46. Two verifiers stand for two processes of one fleet.
"""

import dataclasses
from collections import Counter

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tokenward.errors import AuthServiceUnavailable, InvalidToken

TTL, NEGATIVE_TTL, STALE = 60, 15, 100

TOKENS = st.sampled_from(["a", "b", "c"])
PROCESSES = st.sampled_from([0, 1])


class Fleet(RuleBasedStateMachine):
    """Two verifiers, a server that changes its mind, and a clock that jumps."""

    sharing = False

    def __init__(self, parts):
        super().__init__()
        self.upstream, self.clock = parts.upstream, parts.clock
        options = {"ttl": TTL, "negative_ttl": NEGATIVE_TTL, "stale_if_error": STALE}
        if self.sharing:
            options |= {"shared_cache": parts.shared, "revocation_bus": parts.bus}
        self.bus = parts.bus
        self.observers = [parts.observer(), parts.observer()]
        self.verifiers = [
            parts.make(on_event=observer, max_entries=2, **options) for observer in self.observers
        ]
        self.decided = [Counter(), Counter()]
        # When the server last said yes to whom, and since when a token may not be served at all.
        self.said_yes = {}
        self.revoked = set()

    # --- the world

    @rule(seconds=st.sampled_from([0, 1, 5, 14, 16, 54, 60, 101, -1, -200]))
    def time_passes(self, seconds):
        self.clock.advance(seconds)

    @rule(token=TOKENS, life=st.sampled_from([None, 10, 70]))
    def server_accepts(self, token, life):
        exp = {} if life is None else {"exp": int(self.clock()) + life}
        self.upstream.accept(token, **exp)
        self.revoked.discard(token)

    @rule()
    def server_goes_down(self):
        self.upstream.go_down()

    @rule()
    def server_comes_back(self):
        self.upstream.come_back()

    @rule(token=TOKENS, process=PROCESSES)
    def somebody_revokes(self, token, process):
        self.upstream.good.pop(token, None)
        self.verifiers[process].invalidate(token)
        if not self.sharing:
            self.verifiers[1 - process].invalidate(token)
        self.revoked.add(token)

    @rule(process=PROCESSES)
    def forgets(self, process):
        self.verifiers[process].clear()

    @rule()
    def subscription_is_lost(self):
        self.bus.lose()

    # --- requests

    @rule(token=TOKENS, process=PROCESSES, live=st.booleans())
    def verifies(self, token, process, *, live):
        asked = len(self.upstream.asked)
        try:
            who = self.verifiers[process].verify(token, live=live)
        except InvalidToken:
            self.decided[process]["no"] += 1
        except AuthServiceUnavailable:
            self.decided[process]["unavailable"] += 1
            assert self.upstream.failure is not None
        else:
            self.decided[process]["ok"] += 1
            self._was_said(token, who, live=live)
        if live:
            assert len(self.upstream.asked) == asked + 1
        assert len(self.upstream.asked) <= asked + 1

    @rule(token=TOKENS, process=PROCESSES)
    def looks(self, token, process):
        asked = len(self.upstream.asked)
        try:
            who = self.verifiers[process].cached(token)
        except InvalidToken:
            self.decided[process]["no"] += 1
        else:
            if who is not None:
                self.decided[process]["ok"] += 1
                self._was_said(token, who, live=False, within=TTL)
        assert asked == len(self.upstream.asked)

    def _was_said(self, token, who, *, live, within=TTL + STALE):
        assert token not in self.revoked
        assert f"user of {token}" == who.subject
        if live:
            assert self.upstream.failure is None
        if who.expires_at is not None:
            # The leeway answers the one who asks; what is kept ends with the token.
            assert self.clock() < who.expires_at + 30

    # --- always

    @invariant()
    def everything_is_counted(self):
        for verifier, observer, decided in zip(
            self.verifiers, self.observers, self.decided, strict=True
        ):
            stats = verifier.stats()
            told = Counter(f"{event.kind} {event.outcome}" for event in observer.events)
            assert decided.total() == stats.hits + stats.negative_hits + stats.misses
            assert stats.stale_served <= stats.misses
            assert stats.upstream_errors <= stats.upstream_calls <= stats.misses
            assert dataclasses.asdict(stats) == {
                "hits": told["cache process.hit"],
                "negative_hits": told["cache process.negative_hit"],
                "misses": told["cache process.miss"],
                "upstream_calls": told["upstream ok"] + told["upstream connect_failed"],
                "upstream_errors": told["upstream connect_failed"],
                "stale_served": told["cache process.stale"],
                "shared_hits": told["cache shared.hit"],
                "shared_errors": told["cache shared.error"],
                "evictions": told["cache process.evicted"],
                "entries": stats.entries,
            }
            assert decided["ok"] == told["verify ok"]
            assert decided["unavailable"] == told["verify unavailable"]
            assert decided["no"] == told["verify inactive"] + told["verify expired"]

    @invariant()
    def nothing_is_left_over(self):
        for verifier in self.verifiers:
            assert {} == verifier._cache._flights
            assert len(verifier._cache.entries) <= 2
            assert len(verifier._cache.refusals) <= 2


class SharingFleet(Fleet):
    """The same with a shared cache and a bus."""

    sharing = True


@pytest.mark.parametrize("fleet", [Fleet, SharingFleet])
def test_any_order(fleet, world):
    """Whatever happens in whatever order, no answer is wrong and no count is off."""
    run_state_machine_as_test(lambda: fleet(world()))
