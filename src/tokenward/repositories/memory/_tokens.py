"""The state of issued tokens in the memory of one process."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from tokenward import _fork
from tokenward.repositories._checks import (
    MAX_KEY_CHARACTERS,
    MAX_PURPOSE_CHARACTERS,
    check_digest,
    check_family,
    check_jti,
    check_moment,
    check_new_digest,
    check_string,
    is_digest,
    is_jti,
    is_text,
    taken,
    whole_second,
)
from tokenward.repositories._portable import KeptFamily
from tokenward.repositories.base import MAX_ROTATIONS, Family, Rotation, TokenRepository

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tokenward.protocols import Clock

_K = TypeVar("_K")
_V = TypeVar("_V")


class MemoryTokenRepository(TokenRepository):
    """The state of tokens, for as long as the process lives.

    Args:
        clock: Returns epoch seconds.
    """

    def __init__(self, *, clock: Clock = time.time) -> None:
        self._clock = clock
        self.revocations: dict[str, int] = {}
        self.used_once: dict[str, int] = {}
        self.one_time_tokens: dict[bytes, tuple[str, str, int]] = {}
        # A family changes by being replaced, so that reading needs no lock.
        self.kept_families: dict[str, KeptFamily] = {}
        self._family_ids: dict[bytes, str] = {}
        # Of each subject the ids of its families, with their place in the order of logins.
        self._by_subject: dict[str, dict[str, int]] = {}
        self._places = itertools.count()
        self.after_fork()
        _fork.register(self)

    def after_fork(self) -> None:
        """Replace the lock; a forked child goes on with its own copy of everything."""
        self.lock = threading.Lock()

    def revoke(self, jti: str, expires_at: float) -> None:
        """See `TokenRepository.revoke`."""
        check_jti(jti)
        end = whole_second("expires_at", expires_at)
        with self.lock:
            self.revocations[jti] = max(end, self.revocations.get(jti, end))

    def is_revoked(self, jti: str) -> bool:
        """See `TokenRepository.is_revoked`."""
        return is_jti(jti) and jti in self.revocations

    def purge_expired(self, now: float) -> int:
        """See `TokenRepository.purge_expired`."""
        check_moment("now", now)
        with self.lock:
            ended = [k for k in self.kept_families.values() if k.family.expires_at <= now]
            for kept in ended:
                self._forget(kept)
            return (
                len(ended)
                + _purge(self.revocations, lambda end: end <= now)
                + _purge(self.used_once, lambda end: end <= now)
                + _purge(self.one_time_tokens, lambda token: token[2] <= now)
            )

    # --- refresh families

    def start_family(self, family: Family, digest: bytes) -> None:
        """See `TokenRepository.start_family`."""
        check_family(family)
        check_digest("digest", digest)
        with self.lock:
            if family.id in self.kept_families:
                raise taken("id")
            if digest in self._family_ids:
                raise taken("digest")
            self._keep(KeptFamily(family, digest))

    def find_family(self, digest: bytes) -> tuple[Family, bool] | None:
        """See `TokenRepository.find_family`."""
        kept = self._find(digest)
        if kept is None or kept.family.expires_at <= self._clock():
            return None
        return kept.family, kept.current == digest

    def rotate(self, digest: bytes, new_digest: bytes, expires_at: float) -> Rotation:
        """See `TokenRepository.rotate`."""
        check_new_digest(digest, new_digest)
        end = whole_second("expires_at", expires_at)
        now = self._clock()
        with self.lock:
            kept = self._find(digest)
            if kept is None or not _goes_on(kept.family, now):
                return Rotation.UNKNOWN
            reused = kept.current != digest
            if reused or len(kept.used) >= MAX_ROTATIONS:
                self._end(kept)
                return Rotation.REUSED if reused else Rotation.UNKNOWN
            if new_digest in self._family_ids:
                raise taken("new_digest")
            family = replace(kept.family, used_at=int(now), expires_at=end)
            self._keep(KeptFamily(family, new_digest, (*kept.used, digest)))
            return Rotation.ROTATED

    def end_family(self, family_id: str) -> bool:
        """See `TokenRepository.end_family`."""
        now = self._clock()
        with self.lock:
            kept = self.kept_families.get(family_id) if is_text(family_id) else None
            if kept is None or kept.family.ended:
                return False
            self._end(kept)
            return kept.family.expires_at > now

    def end_all(self, subject: str) -> int:
        """See `TokenRepository.end_all`."""
        now = self._clock()
        with self.lock:
            going_on = [kept for kept in self._of(subject) if not kept.family.ended]
            for kept in going_on:
                self._end(kept)
        return sum(kept.family.expires_at > now for kept in going_on)

    def family_active(self, family_id: str) -> bool:
        """See `TokenRepository.family_active`."""
        kept = self.kept_families.get(family_id) if is_text(family_id) else None
        return kept is not None and _goes_on(kept.family, self._clock())

    def families(self, subject: str) -> list[Family]:
        """See `TokenRepository.families`."""
        now = self._clock()
        with self.lock:
            families = [kept.family for kept in self._of(subject)]
        return [family for family in families if _goes_on(family, now)]

    # --- what is good for one use

    def use_once(self, key: str, expires_at: float) -> bool:
        """See `TokenRepository.use_once`."""
        check_string("key", key, MAX_KEY_CHARACTERS)
        end = whole_second("expires_at", expires_at)
        now = self._clock()
        with self.lock:
            if self.used_once.get(key, now) > now:
                return False
            self.used_once[key] = end
            return True

    def put_one_time(self, digest: bytes, purpose: str, subject: str, expires_at: float) -> None:
        """See `TokenRepository.put_one_time`."""
        check_digest("digest", digest)
        check_string("purpose", purpose, MAX_PURPOSE_CHARACTERS)
        check_string("subject", subject, MAX_KEY_CHARACTERS)
        end = whole_second("expires_at", expires_at)
        with self.lock:
            if digest in self.one_time_tokens:
                raise taken("digest")
            self.one_time_tokens[digest] = (purpose, subject, end)

    def take_one_time(self, digest: bytes, purpose: str) -> str | None:
        """See `TokenRepository.take_one_time`."""
        now = self._clock()
        with self.lock:
            token = self.one_time_tokens.get(digest) if is_digest(digest) else None
            if token is None or token[0] != purpose:
                return None
            del self.one_time_tokens[digest]
        return token[1] if token[2] > now else None

    # --- families as they are kept; under the lock

    def put_families(self, given: Sequence[KeptFamily]) -> None:
        """Store families as they are, each in the place of the one that has its id.

        Raises:
            InvalidRequest: Another family has one of the digests, there or before it among those
                that are given; nothing was stored.
        """
        # As it will be when those before are stored: whose each digest is, and what each has.
        owners: dict[bytes, str | None] = {}
        digests: dict[str, tuple[bytes, ...]] = {}
        for kept in given:
            id_ = kept.family.id
            for digest in kept.digests:
                if owners.get(digest, self._family_ids.get(digest)) not in (None, id_):
                    raise taken("records")
            known = self.kept_families.get(id_)
            before = digests.get(id_, () if known is None else known.digests)
            owners.update(dict.fromkeys(before))
            owners.update(dict.fromkeys(kept.digests, id_))
            digests[id_] = kept.digests
        for kept in given:
            known = self.kept_families.get(kept.family.id)
            if known is not None:
                self._forget_digests(known)
            self._keep(kept)
            self._family_ids.update(dict.fromkeys(kept.used, kept.family.id))

    def _find(self, digest: bytes) -> KeptFamily | None:
        family_id = self._family_ids.get(digest) if is_digest(digest) else None
        return None if family_id is None else self.kept_families.get(family_id)

    def _of(self, subject: str) -> list[KeptFamily]:
        places = self._by_subject.get(subject, {}) if is_text(subject) else {}
        return [self.kept_families[id_] for id_ in sorted(places, key=places.__getitem__)]

    def _keep(self, kept: KeptFamily) -> None:
        id_, subject = kept.family.id, kept.family.subject
        known = self.kept_families.get(id_)
        if known is None or known.family.subject != subject:
            place = next(self._places) if known is None else self._leave(known)
            self._by_subject.setdefault(subject, {})[id_] = place
        self.kept_families[id_] = kept
        self._family_ids[kept.current] = id_

    def _leave(self, kept: KeptFamily) -> int:
        places = self._by_subject[kept.family.subject]
        place = places.pop(kept.family.id)
        if not places:
            del self._by_subject[kept.family.subject]
        return place

    def _end(self, kept: KeptFamily) -> None:
        self._keep(replace(kept, family=replace(kept.family, ended=True)))

    def _forget(self, kept: KeptFamily) -> None:
        self._leave(kept)
        del self.kept_families[kept.family.id]
        self._forget_digests(kept)

    def _forget_digests(self, kept: KeptFamily) -> None:
        for digest in kept.digests:
            self._family_ids.pop(digest, None)


def _goes_on(family: Family, now: float) -> bool:
    return not family.ended and family.expires_at > now


def _purge(entries: dict[_K, _V], is_over: Callable[[_V], bool]) -> int:
    over = [key for key, value in entries.items() if is_over(value)]
    for key in over:
        del entries[key]
    return len(over)
