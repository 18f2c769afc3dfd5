"""``python -m benchmarks.scaling --rate 2000 --tokens 50000 …``: what a fleet will ask and keep."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields

from benchmarks.scaling.fleet import Fleet
from benchmarks.scaling.model import Prediction, predict
from benchmarks.scaling.staleness import BROADCAST_SECONDS

_OPTIONS: dict[str, tuple[type, str]] = {
    "rate": (float, "requests a second with good tokens, of the whole fleet"),
    "tokens": (int, "distinct good tokens in use at a time"),
    "zipf": (float, "exponent of their popularity; 0: all are used alike"),
    "ttl": (float, "seconds, as of the verifier"),
    "processes": (int, "processes on a host"),
    "hosts": (int, "hosts"),
    "max_entries": (int, "bound of a process's cache"),
    "latency": (float, "seconds that the authorization server takes for an answer"),
    "refused_rate": (float, "requests a second with tokens that are refused"),
    "refused_tokens": (int, "distinct ones among them; 0: each is new"),
    "negative_ttl": (float, "seconds, as of the verifier"),
    "revocations": (float, "revocations a second, made through tokenward"),
}
_REQUIRED = ("rate", "tokens")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the prediction for a fleet, as a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    defaults = {field.name: field.default for field in fields(Fleet)}
    for name, (kind, what) in _OPTIONS.items():
        shown = "" if name in _REQUIRED else f" (default: {defaults[name]})"
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=kind,
            required=name in _REQUIRED,
            default=argparse.SUPPRESS,
            metavar="N",
            help=what + shown,
        )
    parser.add_argument("--shared", action="store_true", help="the processes have a shared cache")
    parser.add_argument("--broadcast", action="store_true", help="they have a revocation bus")
    try:
        fleet = Fleet(**vars(parser.parse_args(arguments)))
    except ValueError as error:
        parser.error(str(error))
    print(table(fleet, predict(fleet)))
    return 0


def table(fleet: Fleet, found: Prediction) -> str:
    """Return the prediction, to plan with."""
    rows = [
        ("questions to the authorization server", f"{_number(found.upstream)} /s"),
        ("  of which about refused tokens", f"{_number(found.refused_calls)} /s"),
        ("  before it at a time", _number(found.under_way)),
        ("hit ratio of a process's cache", f"{found.hit_ratio:.1%}"),
    ]
    if found.shared_hit_ratio is not None:
        rows += [
            ("hit ratio of the shared cache", f"{found.shared_hit_ratio:.1%}"),
            ("answers in Redis", _number(found.shared_answers)),
        ]
    if fleet.shared or fleet.broadcast:
        rows += [
            ("Redis: round trips", f"{_number(found.round_trips)} /s"),
            ("Redis: commands", f"{_number(found.commands)} /s"),
            ("  of the core that they run on", f"{found.redis_busy:.1%}"),
            ("revocations delivered to processes", f"{_number(found.messages)} /s"),
        ]
    late = found.staleness
    rows += [
        ("entries in a process", _number(found.entries)),
        ("memory for them, a process", f"{_number(found.memory / 1_048_576)} MiB"),
        ("a revoked token is accepted for: mean", f"{_number(late.mean)} s"),
        ("  99 of 100 tokens, no longer than", f"{_number(late.p99)} s"),
        ("  never longer than", f"{_number(late.worst)} s"),
    ]
    if fleet.broadcast:
        rows.append(
            ("  revoked through tokenward, no longer than", f"{_number(BROADCAST_SECONDS)} s")
        )
    left = max(len(name) for name, _ in rows)
    right = max(len(value) for _, value in rows)
    cached = "a shared cache" if fleet.shared else "no shared cache"
    title = (
        f"{_number(fleet.rate)} requests/s, {fleet.tokens:,} tokens, ttl {fleet.ttl:g} s, "
        f"{fleet.everywhere:,} processes on {fleet.hosts:,} hosts, {cached}"
    )
    return "\n".join([title, "", *(f"{name:<{left}}  {value:>{right}}" for name, value in rows)])


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


if __name__ == "__main__":
    sys.exit(main())
