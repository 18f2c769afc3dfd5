"""What a flood of keys does to the counters of a process and of a file."""

from __future__ import annotations

import sqlite3
import threading

import pytest

from tokenward.errors import AuthServiceUnavailable, ConfigurationError
from tokenward.repositories import MemoryCounterRepository, SQLiteCounterRepository
from tokenward.repositories.sqlite import SQLiteStore

NOW = 1_700_000_000.0
END = NOW + 300


@pytest.fixture(params=["memory", "sqlite"])
def make(request, path):
    """Makes counters of each kind."""
    made = []

    def make_(**options):
        if request.param == "memory":
            return MemoryCounterRepository(**options)
        made.append(SQLiteCounterRepository(path, **options))
        return made[-1]

    yield make_
    for counters in made:
        counters.close()


def size(counters) -> int:
    """Return how many counters are kept, over or not."""
    if isinstance(counters, MemoryCounterRepository):
        return len(counters._counters)
    return counters.store.row("SELECT count(*) FROM counters")[0]


def left(counters, keys, now=NOW) -> list[str]:
    return [key for key, (n, _end) in zip(keys, counters.read(keys, now=now), strict=True) if n]


def test_there_are_never_more_counters_than_there_may_be(make):
    """A flood makes them forget the oldest, and not grow."""
    counters = make(max_counters=50)
    keys = [f"{n}" for n in range(500)]
    for n, key in enumerate(keys):
        counters.add([key], 1, now=NOW + n / 1_000, expires_at=END + n / 1_000)
        assert size(counters) <= 50
    kept = left(counters, keys)
    assert len(kept) >= 40
    assert kept == keys[-len(kept) :]


def test_many_keys_at_once_are_bounded_too(make):
    """Whether they come one by one makes no difference."""
    counters = make(max_counters=50)
    counters.add([f"{n}" for n in range(500)], 1, now=NOW, expires_at=END)
    assert size(counters) <= 50


def test_what_is_counted_on_is_not_forgotten_for_those_who_are_over(make):
    """Room is made of what is over, before anything else."""
    counters = make(max_counters=50)
    counters.add(["mine"], 7, now=NOW, expires_at=END + 999)
    for n in range(49):
        counters.add([f"old {n}"], 1, now=NOW, expires_at=NOW + 1)
    for n in range(20):
        counters.add([f"new {n}"], 1, now=NOW + 2, expires_at=END)
    assert counters.read(["mine"], now=NOW + 2) == [(7, END + 999)]
    assert len(left(counters, [f"new {n}" for n in range(20)], NOW + 2)) == 20


def test_what_is_over_does_not_pile_up(make):
    """Years of use leave no more than a few moments do."""
    counters = make()
    for n in range(4_000):
        counters.add([f"{n}"], 1, now=NOW + n, expires_at=NOW + n + 10)
    assert size(counters) <= 1_001


def test_a_counter_that_starts_anew_is_a_new_one(make):
    """Its place in the queue of those that are forgotten is that of its new beginning."""
    counters = make(max_counters=20)
    counters.add(["a"], 1, now=NOW, expires_at=NOW + 1)
    counters.add([f"old {n}" for n in range(10)], 1, now=NOW, expires_at=END)
    counters.add(["a"], 1, now=NOW + 2, expires_at=END + 2)
    counters.add([f"new {n}" for n in range(12)], 1, now=NOW + 3, expires_at=END + 3)
    assert left(counters, ["a"], NOW + 3) == ["a"]


@pytest.mark.parametrize("cap", [0, -1, 1.5, True, None, "5"])
def test_a_cap_that_is_none_is_a_configuration_error(make, cap, path):
    """Nothing is made."""
    with pytest.raises(ConfigurationError, match="max_counters"):
        make(max_counters=cap)
    assert not path.exists()


def test_one_counter_is_enough_of_a_cap(make):
    """The bound is part of what is accepted."""
    counters = make(max_counters=1)
    for key in "abc":
        assert counters.add([key], 1, now=NOW, expires_at=END) == [(1, END)]
        assert size(counters) == 1
    assert left(counters, ["a", "b", "c"]) == ["c"]


# --- the file ------------------------------------------------------------------------------------


def test_counting_does_not_wait_for_the_disk_and_nothing_else_stops_doing_so(path):
    """A login is not slower for being counted; whatever else is acknowledged is on the disk."""
    store = SQLiteStore(path)
    with store.writing(durable=False) as raw:
        assert raw.execute("SELECT synchronous FROM pragma_synchronous").fetchone() == (1,)
    with store.writing() as raw:
        assert raw.execute("SELECT synchronous FROM pragma_synchronous").fetchone() == (2,)
    assert store.row("PRAGMA synchronous") == (2,)
    store.close()


def test_counting_takes_the_connection_that_does_not_wait(path):
    """Every call that writes counters goes the cheap way, and none of the others."""
    taken = []

    class Watched(SQLiteStore):
        def writing(self, *, durable=True):
            taken.append(durable)
            return super().writing(durable=durable)

    counters = SQLiteCounterRepository(Watched(path))
    counters.add(["a"], 1, now=NOW, expires_at=END)
    counters.clear(["a"])
    counters.purge_expired(NOW)
    assert taken == [False] * 3
    counters.store.write("DELETE FROM users")
    assert taken == [False] * 3 + [True]
    counters.close()


def test_counts_are_shared_by_all_who_have_the_file(path):
    """Two workers count one person's attempts together."""
    first, second = SQLiteCounterRepository(path), SQLiteCounterRepository(path)
    for counters, expected in [(first, 1), (second, 2), (first, 3)]:
        assert counters.add(["a"], 1, now=NOW, expires_at=END) == [(expected, END)]
        counters.close()
    second.clear(["a"])
    assert first.read(["a"], now=NOW) == [(0, NOW)]
    first.close()
    second.close()


def test_closing_closes_what_counts(path):
    """After it nothing of the store is open."""
    counters = SQLiteCounterRepository(path)
    counters.add(["a"], 1, now=NOW, expires_at=END)
    assert path.with_name("store.db-wal").exists()
    counters.close()
    assert [file.name for file in path.parent.iterdir()] == ["store.db"]


def test_counting_that_fails_counts_nothing_and_leaves_no_lock(path):
    """What goes wrong while counting is undone, and others go on."""
    counters = SQLiteCounterRepository(path)
    counters.store.write(
        "CREATE TRIGGER t BEFORE INSERT ON counters WHEN new.key = 'bad'"
        " BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    with pytest.raises(AuthServiceUnavailable):
        counters.add(["good", "bad"], 1, now=NOW, expires_at=END)
    done = []
    thread = threading.Thread(
        target=lambda: done.append(counters.add(["good"], 1, now=NOW, expires_at=END))
    )
    thread.start()
    thread.join(90)
    assert done == [[(1, END)]]
    counters.close()


def test_a_damaged_end_of_the_log_loses_counts_and_nothing_else(path):
    """What was not waited for may be lost whole; the store opens and has the rest."""
    counters = SQLiteCounterRepository(path)
    counters.store.write("INSERT INTO revocations VALUES ('jti', 1)")
    size_before = path.with_name("store.db-wal").stat().st_size
    counters.add(["a"], 1, now=NOW, expires_at=END)
    copy = path.with_name("copy.db")
    copy.touch(0o600)
    copy.write_bytes(path.read_bytes())
    log = path.with_name("store.db-wal").read_bytes()
    copied_log = path.with_name("copy.db-wal")
    copied_log.touch(0o600)
    copied_log.write_bytes(log[: size_before + 100])
    again = SQLiteCounterRepository(copy, create=False)
    assert again.store.rows("SELECT jti FROM revocations") == [("jti",)]
    assert again.read(["a"], now=NOW) == [(0, NOW)]
    again.close()
    counters.close()
    raw = sqlite3.connect(copy)
    assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    raw.close()
