"""A token that another process has verified: found in Redis, and not yet in this one."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import redis

from benchmarks.harness import Effort, Result, interleaved, micro
from benchmarks.parts import CREDENTIALS, CannedTransport, new_token
from tokenward import ClientSecretBasic, IntrospectionClient, IntrospectionVerifier
from tokenward.redis_cache import RedisSharedCache

SECRETS = ["bench-Wq7-xT4vN0kRz2Lp"]
PATIENCE = 10.0


def measure(effort: Effort) -> list[Result]:
    """Compare with a bare GET by redis-py of a value that is as large."""
    if shutil.which("redis-server") is None:
        return [_result(None, "not measured: there is no redis-server")]
    with _redis() as url, redis.Redis.from_url(url) as client:
        transport = CannedTransport()
        cache = RedisSharedCache(url, secrets=SECRETS)
        verifier = IntrospectionVerifier(
            IntrospectionClient(
                "https://issuer.example/introspect",
                client_auth=ClientSecretBasic(*CREDENTIALS),
                transport=transport,
            ),
            audience="bench",
            shared_cache=cache,
            ttl=3_600,
        )
        header = f"Bearer {new_token()}"
        verifier.verify(header[7:])
        (key,) = client.keys("*")
        keys = [key.removeprefix(b"tokenward:"), b"no tombstone"]

        def shared() -> object:
            verifier.clear()
            return verifier.verify(header[7:])

        taken = interleaved(
            {
                "shared": shared,
                "floor": lambda: client.get(key),
                "trip": lambda: cache.get_many(keys),
            },
            number=100,
            rounds=effort.rounds(151),
        )
        stats = verifier.stats()
    if stats.upstream_calls != 1 or stats.shared_errors:
        raise RuntimeError(f"not every hit was a shared one: {stats}")
    detail = (
        f"{micro(taken['shared'])} over {micro(taken['floor'])}; "
        f"its own round trip, of two keys, alone {micro(taken['trip'])}"
    )
    return [_result(taken.over("shared", "floor"), detail)]


def _result(figure: float | None, detail: str) -> Result:
    return Result("a shared (Redis) hit", figure, "x a bare redis-py GET", 1.25, detail=detail)


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
