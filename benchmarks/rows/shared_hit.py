"""A token that another process has verified: found in Redis, and not yet in this one."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import redis

from benchmarks.findings import Result
from benchmarks.harness import Effort, interleaved, micro
from benchmarks.parts import canned_verifier, new_token
from tokenward.redis_cache import RedisSharedCache

if TYPE_CHECKING:
    from tokenward import IntrospectionVerifier
    from tokenward.protocols import SharedCache

SECRETS = ["bench-Wq7-xT4vN0kRz2Lp"]
PREFIX = b"tokenward:"
PATIENCE = 10.0
TOKENS = 500
"""As many answers are in Redis, and each is asked for in turn."""


def measure(effort: Effort) -> list[Result]:
    """Compare with a bare GET by redis-py of values that are as large."""
    if shutil.which("redis-server") is None:
        return [_result(None, "not measured: there is no redis-server")]
    tokens = [new_token() for _ in range(TOKENS)]
    with (
        _redis() as url,
        redis.Redis.from_url(url) as client,
        contextlib.closing(RedisSharedCache(url, secrets=SECRETS)) as cache,
    ):
        readers = [_reader(cache, tokens), _reader(_Memory(), tokens)]
        shared, work = (_hits(reader, tokens) for reader in readers)
        names = client.keys("*")
        keys, stored = itertools.cycle(names), itertools.cycle(names)

        def bare() -> object:
            return client.get(next(keys))

        taken = interleaved(
            {
                "floor": bare,
                "shared": shared,
                "trip": lambda: cache.get_many([next(stored)[len(PREFIX) :], b"no tombstone"]),
                "work": work,
                "both": lambda: (bare(), work()),
            },
            number=100,
            rounds=effort.rounds(101),
        )
    for reader in readers:
        stats = reader.stats()
        if stats.shared_hits != stats.misses or stats.hits or stats.shared_errors:
            raise RuntimeError(f"not every hit was a shared one: {stats}")
    detail = (
        f"{micro(taken['shared'])} over {micro(taken['floor'])}; "
        f"its own round trip, of two keys, alone {micro(taken['trip'])}, "
        f"and all the rest, without Redis, {micro(taken['work'])}"
    )
    return [
        _result(taken.over("shared", "floor"), detail, taken.spread("shared", "floor")),
        # Whatever is done after a wait for Redis takes longer than in a loop of its own, on our
        # side as on redis-py's; a bare GET has nothing to do then.
        Result(
            "a shared (Redis) hit, over a GET with the same work after it",
            taken.over("shared", "both"),
            "x a bare redis-py GET and the same work without Redis",
            None,
            detail=f"{micro(taken['shared'])} over {micro(taken['both'])}, one after the other",
            spread=taken.spread("shared", "both"),
        ),
    ]


def _result(figure: float | None, detail: str, spread: tuple[float, float] | None = None) -> Result:
    return Result(
        "a shared (Redis) hit",
        figure,
        "x a bare redis-py GET",
        1.25,
        detail=detail,
        topic="shared-hit",
        spread=spread,
    )


class _Memory(dict[bytes, bytes]):
    """A shared cache that is nowhere but here: what is left when nobody waits for Redis."""

    secrets = SECRETS

    def set(self, key: bytes, value: bytes, /, *, ttl: float) -> None:
        """Store ``value``; nothing lasts long enough here to end."""
        del ttl
        self[key] = value

    def delete(self, key: bytes, /) -> None:
        """Forget ``key``."""
        self.pop(key, None)

    def get_many(self, keys: Sequence[bytes], /) -> list[bytes | None]:
        """Return the value of each key, or ``None``."""
        return [self.get(key) for key in keys]


def _reader(cache: SharedCache, tokens: Sequence[str]) -> IntrospectionVerifier:
    """Return a verifier that finds in ``cache`` what another one has put there.

    It keeps half of the tokens: each that is asked for in turn has gone when it comes again.
    """
    writer = _verifier(cache, max_entries=1)
    for token in tokens:
        writer.verify(token)
    return _verifier(cache, max_entries=len(tokens) // 2)


def _hits(reader: IntrospectionVerifier, tokens: Sequence[str]) -> Callable[[], object]:
    upcoming = itertools.cycle(tokens)
    return lambda: reader.verify(next(upcoming))


def _verifier(cache: SharedCache, *, max_entries: int) -> IntrospectionVerifier:
    return canned_verifier(shared_cache=cache, ttl=3_600, max_entries=max_entries)


@contextlib.contextmanager
def _redis() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", folder]
        command += ["--save", "", "--logfile", str(Path(folder) / "log")]
        with subprocess.Popen(command) as process:  # noqa: S603 - of this machine
            try:
                _await(port)
                yield f"redis://127.0.0.1:{port}/0"
            finally:
                process.kill()


def _await(port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
