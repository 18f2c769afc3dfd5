"""What everybody counted, and the equations between it: each holds exactly, or something is wrong.

The load counts what it sent and what was answered. A WSGI wrapper around each application counts
requests, by answer and by the tokens that they bear. tokenward's verifiers count what became of
tokens (`CacheStats`), and its metrics count the same events. gunicorn, in front of the auth
service, counts the calls that arrive there.

For each application, its workers taken together:

* requests answered with a status, as the load counts = as the wrapper counts
* requests that bear a token = hits + negative hits + misses + refusals unread (the header is none:
  400, before any cache), once for each kind of verifier
* misses = shared hits + shared misses (what the shared cache was asked for)
* upstream calls = shared misses + shared hits that were about to end and were asked about anew
* verdicts, as the metrics count = requests that bear a token - refusals unread
* hits, negative hits, misses and upstream calls, as the metrics count = as the verifiers count

And for the auth service:

* calls of each path, as gunicorn counts = as the load sent them
* calls of the introspection endpoint = upstream calls of all introspection verifiers
* calls of the keys' document = upstream calls of all verifiers of signed tokens

No two requests with one token are under way at a time: nobody waits for another's answer, which
would be a miss without a call.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

KINDS = ("introspection", "jwks")
INTROSPECT = "/introspect"
KEYS = "/.well-known/jwks.json"

_CACHE = "tokenward_cache_total"


@dataclass(frozen=True, slots=True)
class Counts:
    """Everything that was counted.

    Attributes:
        answered: By the load: answers of each application, by status.
        sent: By the load: requests to the auth service, by path.
        figures: By the workers: of each application, its workers' figures added up.
        called: By gunicorn: requests to the auth service, by path.
    """

    answered: Mapping[str, Counter[str]] = field(default_factory=dict)
    sent: Counter[str] = field(default_factory=Counter)
    figures: Mapping[str, Counter[str]] = field(default_factory=dict)
    called: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Equation:
    """Two counts of the same.

    Attributes:
        name: What is counted.
        text: The equation in words.
        left: What its left side came to.
        right: What its right side came to.
    """

    name: str
    text: str
    left: int
    right: int

    @property
    def holds(self) -> bool:
        """Whether both sides are the same."""
        return self.left == self.right

    def sentence(self) -> str:
        """Return it with its numbers, to read."""
        sign = "=" if self.holds else "is NOT"
        return f"{self.name}: {self.text}: {self.left:,} {sign} {self.right:,}"


def equations(counts: Counts) -> list[Equation]:
    """Return every equation of the module's description, with its numbers."""
    found = [*_of_auth(counts)]
    for name, figures in sorted(counts.figures.items()):
        found += _of_answers(name, counts.answered.get(name, Counter()), figures)
        found += _of_caches(name, figures)
        found += _of_metrics(name, figures)
    return found


def _of_answers(name: str, answered: Counter[str], figures: Counter[str]) -> Iterator[Equation]:
    prefix = "status."
    counted = {key.removeprefix(prefix) for key in figures if key.startswith(prefix)}
    for status in sorted(counted | answered.keys()):
        yield Equation(
            f"{name}, {status}",
            "answers that the load got = requests that the workers counted",
            answered[status],
            figures[prefix + status],
        )


def _of_caches(name: str, figures: Counter[str]) -> Iterator[Equation]:
    for kind in KINDS:
        yield Equation(
            f"{name}, {kind}",
            "requests that bear a token = hits + negative hits + misses + refusals unread",
            figures[f"{kind}.borne"],
            sum(
                figures[f"{kind}.{part}"] for part in ("hits", "negative_hits", "misses", "unread")
            ),
        )
    shared, missed = figures["introspection.shared_hits"], figures[f"{_CACHE}.shared.miss"]
    yield Equation(
        f"{name}, shared cache",
        "misses = shared hits + shared misses",
        figures["introspection.misses"],
        shared + missed,
    )
    yield Equation(
        f"{name}, questions",
        "upstream calls = shared misses + shared hits asked about anew",
        figures["introspection.upstream_calls"],
        missed + figures["introspection.ahead"],
    )


def _of_metrics(name: str, figures: Counter[str]) -> Iterator[Equation]:
    def both(what: str) -> int:
        return sum(figures[f"{kind}.{what}"] for kind in KINDS)

    yield Equation(
        f"{name}, metrics, verdicts",
        "verdicts = requests that bear a token - refusals unread",
        figures["tokenward_verify_total"],
        both("borne") - both("unread"),
    )
    yield Equation(
        f"{name}, metrics, questions",
        "questions timed = upstream calls",
        figures["tokenward_upstream_seconds_count"],
        both("upstream_calls"),
    )
    for event, what in (("hit", "hits"), ("negative_hit", "negative_hits"), ("miss", "misses")):
        words = what.replace("_", " ")
        counted = figures[f"{_CACHE}.process.{event}"]
        yield Equation(
            f"{name}, metrics, {words}", f"events = {words} of all caches", counted, both(what)
        )


def _of_auth(counts: Counts) -> Iterator[Equation]:
    for path in sorted(counts.sent):
        yield Equation(
            f"auth service, {path}",
            "calls that arrived = calls that the load made",
            counts.called[path],
            counts.sent[path],
        )
    asked = sum(figures["introspection.upstream_calls"] for figures in counts.figures.values())
    yield Equation(
        f"auth service, {INTROSPECT}",
        "calls that arrived = upstream calls of all introspection verifiers",
        counts.called[INTROSPECT],
        asked,
    )
    fetched = sum(figures["jwks.upstream_calls"] for figures in counts.figures.values())
    yield Equation(
        f"auth service, {KEYS}",
        "calls that arrived = upstream calls of all verifiers of signed tokens",
        counts.called[KEYS],
        fetched,
    )
