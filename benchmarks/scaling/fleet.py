"""What is planned: a fleet of processes, its requests, and how it is configured."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from tokenward.introspection._verdicts import REFRESH_AHEAD


@dataclass(frozen=True, slots=True)
class Fleet:
    """Processes that verify tokens by introspection, behind a balancer that knows no affinity.

    Attributes:
        rate: Requests a second with good tokens, of the whole fleet.
        tokens: Distinct good tokens in use at a time.
        zipf: The exponent of their popularity by Zipf's law; 0: all are used alike.
        ttl: Seconds, as of the verifier.
        processes: Processes on a host.
        hosts: Hosts.
        max_entries: As of the verifier.
        shared: Whether the processes have a shared cache.
        latency: Seconds that the authorization server takes for an answer.
        refused_rate: Requests a second with tokens that are refused.
        refused_tokens: Distinct ones among them; 0: each is new.
        negative_ttl: Seconds, as of the verifier.
        revocations: Revocations a second that are made through tokenward.
        broadcast: Whether the processes have a revocation bus.

    Raises:
        ValueError: A figure that no fleet has; the message says which and what it may be.
    """

    rate: float
    tokens: int
    zipf: float = 0.0
    ttl: float = 60.0
    processes: int = 1
    hosts: int = 1
    max_entries: int = 10_000
    shared: bool = False
    latency: float = 0.02
    refused_rate: float = 0.0
    refused_tokens: int = 0
    negative_ttl: float = 15.0
    revocations: float = 0.0
    broadcast: bool = False

    def __post_init__(self) -> None:
        for name, least in _AT_LEAST.items():
            value = getattr(self, name)
            if not (least <= value < math.inf):
                raise ValueError(f"{name} is a finite number, {least} or more; got {value:g}")
        for name in ("rate", "ttl"):
            if getattr(self, name) == 0:
                why = "; with ttl 0 every request asks, and nothing is kept" * (name == "ttl")
                raise ValueError(f"{name} is more than 0{why}")
        if self.tokens > _MOST_TOKENS:
            raise ValueError(f"tokens is {_MOST_TOKENS:,} at most; got {self.tokens:,}")
        if self.zipf > _STEEPEST:
            raise ValueError(f"zipf is {_STEEPEST:g} at most; got {self.zipf:g}")
        if self.latency >= self.due:
            raise ValueError(
                f"latency is less than {self.due:g} s, from when on a token is asked about again"
            )
        if self.refused_tokens and not self.refused_rate:
            raise ValueError("refused_tokens needs a refused_rate: how often they are presented")

    @property
    def everywhere(self) -> int:
        """The processes of all hosts."""
        return self.processes * self.hosts

    @property
    def due(self) -> float:
        """Seconds after which a token in use is asked about again."""
        return self.ttl * (1 - REFRESH_AHEAD)


_STEEPEST = 4.0
_MOST_TOKENS = 10**9
_AT_LEAST: dict[str, int] = {
    field.name: 1 if field.name in ("tokens", "processes", "hosts", "max_entries") else 0
    for field in fields(Fleet)
    if field.name not in ("shared", "broadcast")
}
