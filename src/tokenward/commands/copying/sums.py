"""What a store holds of a kind, as a count and a digest that know no order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenward.repositories.base import Kind, Portable, Record

BATCH = 500
"""Records that are read and written in one step."""

_SOON = 3_600
"""Seconds. What ends within them may end, and go, while the stores are compared."""

_MODULUS = 1 << 256

OnRecords = Callable[[int], None]
"""Is told that so many more records were looked at."""


def batches(contents: Portable, kind: Kind, size: int) -> Iterator[list[Record]]:
    """Yield every record of a kind, in the store's order."""
    after: str | None = None
    while True:
        records, after = contents.records(kind, after=after, limit=size)
        if records:
            yield records
        if after is None:
            return


def goes_on(record: Record, now: float) -> bool:
    """Tell whether a record still means something; a store may drop what has expired."""
    expires_at = record.get("expires_at")
    return expires_at is None or expires_at > now


def digest_of(record: Record) -> bytes:
    """Return what no other record has."""
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()


@dataclass(slots=True)
class Sum:
    """A count and a digest of records, whatever their order.

    What ends soon is kept one by one, and leaves both sides alike when it has ended.

    Attributes:
        count: How many records there are that do not end soon.
        total: The sum of their digests.
        ending: When those end that do, by their digests.
    """

    count: int = 0
    total: int = 0
    ending: dict[bytes, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls, contents: Portable, kind: Kind, *, now: float, size: int, on_records: OnRecords
    ) -> Sum:
        """Read every record of a kind.

        Args:
            contents: The store.
            kind: Which records.
            now: Epoch seconds, the same for each store that is compared.
            size: Records that are read in one step.
            on_records: Is told how it goes.
        """
        found = cls()
        for records in batches(contents, kind, size):
            for record in records:
                found.add(record, now)
            on_records(len(records))
        return found

    def add(self, record: Record, now: float) -> None:
        """Count a record, unless it has ended."""
        if goes_on(record, now + _SOON):
            self.count += 1
            self.total = (self.total + int.from_bytes(digest_of(record))) % _MODULUS
        elif goes_on(record, now):
            self.ending[digest_of(record)] = record["expires_at"]

    def at(self, now: float) -> tuple[int, str]:
        """Return the count and the digest, in hexadecimal, of what has not ended."""
        count, total = self.count, self.total
        for digest, expires_at in self.ending.items():
            if expires_at > now:
                count += 1
                total = (total + int.from_bytes(digest)) % _MODULUS
        return count, f"{total:064x}"
