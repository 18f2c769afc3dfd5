"""What stands behind the repositories in memory, and what can be carried out of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tokenward.repositories._portable import (
    check_asked,
    check_kind,
    check_records,
    digest_of,
    family_record,
    kept_family,
    kept_user,
    number_of,
    user_record,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenward.repositories.base import Kind, Record
    from tokenward.repositories.memory._tokens import MemoryTokenRepository
    from tokenward.repositories.memory._users import MemoryUserRepository


class MemoryStore:
    """Users and the state of tokens of one process; see `Portable`."""

    def __init__(self, users: MemoryUserRepository, tokens: MemoryTokenRepository) -> None:
        self._users = users
        self._tokens = tokens

    def ping(self) -> None:
        """Do nothing: memory answers."""

    def close(self) -> None:
        """Do nothing: nothing is open."""

    def records(
        self, kind: Kind, *, after: str | None = None, limit: int = 500
    ) -> tuple[list[Record], str | None]:
        """See `Portable.records`."""
        check_asked(kind, after, limit)
        start = number_of(after)
        kept = self._kept(kind)
        end = start + limit
        page = [_record(kind, one) for one in kept[start:end]]
        return page, str(end) if end < len(kept) else None

    def put(self, kind: Kind, records: Sequence[Record]) -> None:
        """See `Portable.put`."""
        check_records(kind, records)
        tokens = self._tokens
        if kind == "users":
            self._users.put(map(kept_user, records))
            return
        with tokens.lock:
            if kind == "families":
                tokens.put_families(list(map(kept_family, records)))
            elif kind == "revocations":
                tokens.revocations.update((r["id"], r["expires_at"]) for r in records)
            elif kind == "used_once":
                tokens.used_once.update((r["id"], r["expires_at"]) for r in records)
            else:
                tokens.one_time_tokens.update(
                    (digest_of(r["id"]), (r["purpose"], r["subject"], r["expires_at"]))
                    for r in records
                )

    def tally(self, kind: Kind) -> int:
        """See `Portable.tally`."""
        check_kind(kind)
        return len(self._kept(kind))

    def _kept(self, kind: Kind) -> Sequence[Any]:
        tokens = self._tokens
        if kind == "users":
            return self._users.carried()
        with tokens.lock:
            if kind == "families":
                return list(tokens.kept_families.values())
            if kind == "one_time_tokens":
                return sorted(tokens.one_time_tokens.items())
            return sorted(
                (tokens.revocations if kind == "revocations" else tokens.used_once).items()
            )


def _record(kind: Kind, kept: Any) -> Record:
    if kind == "users":
        return user_record(kept)
    if kind == "families":
        return family_record(kept)
    id_, value = kept
    if kind != "one_time_tokens":
        return {"id": id_, "expires_at": value}
    purpose, subject, end = value
    return {"id": id_.hex(), "purpose": purpose, "subject": subject, "expires_at": end}
