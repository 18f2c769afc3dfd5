"""The copy itself.

Keys go last: a store without signing keys is one that no service starts on, and so what is half
copied is never taken for a store. Nothing says how far an interrupted copy came but the target
itself: what is there already is compared, and the rest is added.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from tokenward.commands.copying.places import Place, is_same, place, url_of
from tokenward.commands.copying.sums import BATCH, Sum, batches, digest_of, goes_on
from tokenward.errors import ConfigurationError, InvalidRequest, UserAlreadyExists
from tokenward.repositories.base import KINDS

if TYPE_CHECKING:
    from tokenward.protocols import Clock
    from tokenward.repositories import StoredKey
    from tokenward.repositories.base import Kind

FROM, TO = "FROM", "TO"

Progress = Callable[[str, int, int], None]
"""Is told what is done, how much of it, and how much there is to do."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What there is of a kind on both sides, in the end.

    Attributes:
        kind: Of what.
        copied: How many were not there yet.
        source: How many there are at the source.
        target: How many there are at the target.
        equal: Whether they are the same, each of them.
        digest: Of those at the source, in hexadecimal.
    """

    kind: str
    copied: int
    source: int
    target: int
    equal: bool
    digest: str


def copy(
    source: str,
    target: str,
    *,
    on_progress: Progress = lambda _what, _done, _total: None,
    batch: int = BATCH,
    clock: Clock = time.time,
) -> list[Compared]:
    """Copy users, sessions, revocations, one-time tokens and signing keys into an empty store.

    What has expired stays behind. The source is only read. Interrupted at any moment, the same
    call goes on where it was; until it returns with everything equal the target has no signing
    keys, and no service starts on it.

    Args:
        source: The URL of a store, or ``env:NAME`` of a variable that holds it.
        target: The same, of a store that holds nothing else; made where there is none.
        on_progress: Is told how it goes.
        batch: Records that are read and written in one step.
        clock: Returns epoch seconds.

    Returns:
        Each kind with its count and digest. Where one is not equal somebody wrote to one of the
        stores meanwhile, and the keys were not copied.

    Raises:
        ConfigurationError: A URL is none; there is no source; the target holds something else.
        AuthServiceUnavailable: A store is busy or down.
    """
    source_url, target_url = url_of(source, FROM), url_of(target, TO)
    if is_same(source_url, target_url):
        raise ConfigurationError("FROM and TO are the same store.")
    with place(source_url, FROM, create=False) as there:
        # A server that is down is noticed here, before anything is made.
        there.keys.load()
        with place(target_url, TO, create=True) as here:
            return _Copy(there, here, on_progress, batch, clock).run()


class _Copy:
    def __init__(
        self, source: Place, target: Place, on_progress: Progress, batch: int, clock: Clock
    ) -> None:
        self._source, self._target = source, target
        self._on_progress, self._batch, self._clock = on_progress, batch, clock
        self._now = clock()

    def run(self) -> list[Compared]:
        _, keys = self._source.keys.load()
        version, found = self._target.keys.load()
        if found and _by_kid(found) != _by_kid(keys):
            raise ConfigurationError(
                "TO: has signing keys of its own, so it is a store in use, or one that "
                "`tokenward store init` made; name one that is not there yet."
            )
        held = {kind: self._held(kind) for kind in KINDS}
        for kind in KINDS:
            self._refuse_others(kind, held[kind])
        # With its keys a copy is whole, and what has changed since is not for us to undo.
        copied = {kind: 0 if found else self._fill(kind, held[kind]) for kind in KINDS}
        compared = [self._compared(kind, copied[kind]) for kind in KINDS]
        is_equal = all(one.equal for one in compared)
        if is_equal and keys and not found and not self._target.keys.replace(version, keys):
            raise ConfigurationError("TO: somebody else made signing keys in it just now.")
        _, arrived = self._target.keys.load()
        return [*compared, _compared_keys(keys, arrived, copied=0 if found else len(arrived))]

    def _held(self, kind: Kind) -> set[bytes]:
        """Return the digests of what the target holds."""
        return {
            digest_of(record)
            for records in batches(self._target.contents, kind, self._batch)
            for record in records
            if goes_on(record, self._now)
        }

    def _refuse_others(self, kind: Kind, held: set[bytes]) -> None:
        """Raise `ConfigurationError` when the target holds what the source does not."""
        others = set(held)
        for records in batches(self._source.contents, kind, self._batch) if others else ():
            others.difference_update(map(digest_of, records))
        if others:
            raise ConfigurationError(
                f"TO: holds {len(others)} {_words(kind)} that FROM does not hold, or not so; name "
                "a store that is not there yet. After a copy that was interrupted: FROM was "
                "written to since, so stop what writes to it, remove TO, and start again."
            )

    def _fill(self, kind: Kind, held: set[bytes]) -> int:
        """Put what the target does not hold yet; return how many that were."""
        total = self._source.contents.tally(kind)
        copied = done = 0
        for records in batches(self._source.contents, kind, self._batch):
            missing = [
                record
                for record in records
                if goes_on(record, self._now) and digest_of(record) not in held
            ]
            if missing:
                self._put(kind, missing)
            copied += len(missing)
            done += len(records)
            self._on_progress(f"copying {_words(kind)}", done, max(done, total))
        return copied

    def _put(self, kind: Kind, records: list[dict[str, object]]) -> None:
        try:
            self._target.contents.put(kind, records)
        except (UserAlreadyExists, InvalidRequest):
            raise ConfigurationError(
                f"TO: does not take {_words(kind)} of FROM: somebody writes to one of the two. "
                "Stop what does, remove TO, and start again."
            ) from None

    def _compared(self, kind: Kind, copied: int) -> Compared:
        now = self._clock()
        total = self._source.contents.tally(kind) + self._target.contents.tally(kind)
        done = 0

        def on_records(number: int) -> None:
            nonlocal done
            done += number
            self._on_progress(f"comparing {_words(kind)}", done, max(done, total))

        sums = [
            Sum.of(side.contents, kind, now=now, size=self._batch, on_records=on_records)
            for side in (self._source, self._target)
        ]
        # One moment for both: what ends between two would be on one side only.
        now = self._clock()
        (count, digest), (arrived, other) = (one.at(now) for one in sums)
        return Compared(kind, copied, count, arrived, (count, digest) == (arrived, other), digest)


def _by_kid(keys: list[StoredKey]) -> dict[str, StoredKey]:
    return {key.kid: key for key in keys}


def _compared_keys(keys: list[StoredKey], arrived: list[StoredKey], *, copied: int) -> Compared:
    found = Sum()
    for key in keys:
        found.add({**asdict(key), "material": key.material.hex()}, 0)
    equal = _by_kid(keys) == _by_kid(arrived)
    return Compared("signing_keys", copied, len(keys), len(arrived), equal, found.at(0)[1])


def _words(kind: str) -> str:
    return kind.replace("_", " ")
