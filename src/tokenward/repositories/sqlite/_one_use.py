"""What is good for one use, in a SQLite file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenward.repositories._checks import (
    MAX_KEY_CHARACTERS,
    MAX_PURPOSE_CHARACTERS,
    check_digest,
    check_string,
    is_digest,
    is_text,
    taken,
    whole_second,
)
from tokenward.repositories.sqlite._connections import Taken
from tokenward.repositories.sqlite._in_store import InStore

if TYPE_CHECKING:
    from tokenward.protocols import Clock


class OneUse(InStore):
    """The part of a `TokenRepository` that is about one use."""

    _clock: Clock

    def use_once(self, key: str, expires_at: float) -> bool:
        """See `TokenRepository.use_once`."""
        check_string("key", key, MAX_KEY_CHARACTERS)
        used = self.store.write(
            "INSERT INTO used_once (key, expires_at) VALUES (?, ?) ON CONFLICT (key)"
            " DO UPDATE SET expires_at = excluded.expires_at WHERE expires_at <= ?",
            key,
            whole_second("expires_at", expires_at),
            self._clock(),
        )
        return used == 1

    def put_one_time(self, digest: bytes, purpose: str, subject: str, expires_at: float) -> None:
        """See `TokenRepository.put_one_time`."""
        check_digest("digest", digest)
        check_string("purpose", purpose, MAX_PURPOSE_CHARACTERS)
        check_string("subject", subject, MAX_KEY_CHARACTERS)
        end = whole_second("expires_at", expires_at)
        try:
            self.store.write(
                "INSERT INTO one_time_tokens (digest, purpose, subject, expires_at)"
                " VALUES (?, ?, ?, ?)",
                digest,
                purpose,
                subject,
                end,
            )
        except Taken:
            raise taken("digest") from None

    def take_one_time(self, digest: bytes, purpose: str) -> str | None:
        """See `TokenRepository.take_one_time`."""
        if not is_digest(digest) or not is_text(purpose):
            return None
        rows = self.store.write_returning(
            "DELETE FROM one_time_tokens WHERE digest = ? AND purpose = ?"
            " RETURNING subject, expires_at",
            digest,
            purpose,
        )
        now = self._clock()
        subjects: list[str] = [subject for subject, expires_at in rows if expires_at > now]
        return subjects[0] if subjects else None
