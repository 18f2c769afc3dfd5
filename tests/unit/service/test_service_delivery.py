"""The thread that nobody waits for."""

import os
import pickle
import threading

import pytest

from tokenward.service.delivery import MAX_WAITING, Delivery

PATIENCE = 90


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "tokenward-delivery"]


def ended():
    """Wait until no thread of a delivery is left."""
    for thread in threads():
        thread.join(PATIENCE)
    return not threads()


@pytest.fixture(autouse=True)
def _alone():
    """Wait for what services of earlier tests still deliver."""
    assert ended()


def test_jobs_are_done_in_their_order_on_one_thread_of_their_own():
    """One after the other, and not by whoever asks; then the thread ends."""
    delivery, done, workers = Delivery(), [], set()
    may_begin = threading.Event()

    def job(number):
        assert may_begin.wait(PATIENCE)
        workers.add(threading.get_ident())
        done.append(number)

    for number in range(20):
        delivery.submit("a job", lambda number=number: job(number))
    assert [] == done
    assert 1 == len(threads())
    assert threads()[0].daemon is True
    may_begin.set()
    assert delivery.flush(PATIENCE) is True
    assert list(range(20)) == done
    assert 1 == len(workers)
    assert threading.get_ident() not in workers
    assert ended()


def test_no_thread_is_there_without_a_job():
    """Nothing starts at import or when a service is made; a later job starts another."""
    delivery, done = Delivery(), []
    assert [] == threads()
    assert delivery.flush(0) is True
    for _ in range(3):
        delivery.submit("a job", lambda: done.append(1))
        assert delivery.flush(PATIENCE)
        assert ended()
    assert [1] * 3 == done


@pytest.mark.parametrize("error", [RuntimeError("alice@example.com"), SystemExit("a token")])
def test_what_a_job_raises_is_logged_by_type_and_the_next_is_done(error, caplog):
    """An exit is not the thread's to obey either."""
    delivery, done = Delivery(), []

    def fail():
        raise error

    delivery.submit(f"a job with {type(error).__name__}", fail)
    delivery.submit("a job", lambda: done.append(1))
    assert delivery.flush(PATIENCE)
    assert [1] == done
    (record,) = caplog.records
    assert f"failed with {type(error).__name__}" in record.getMessage()
    assert str(error) not in caplog.text
    assert None is record.exc_info
    assert ended()


def test_a_full_queue_drops_what_comes_and_says_so(caplog):
    """Bounded: whoever asks is never held up, and no memory fills."""
    delivery, done = Delivery(), []
    may_begin, began = threading.Event(), threading.Event()

    def first():
        began.set()
        assert may_begin.wait(PATIENCE)

    delivery.submit("the first", first)
    assert began.wait(PATIENCE)
    for number in range(MAX_WAITING + 3):
        delivery.submit("one too many", lambda number=number: done.append(number))
    assert delivery.flush(0) is False
    may_begin.set()
    assert delivery.flush(PATIENCE)
    assert list(range(MAX_WAITING)) == done
    assert 1 == len([r for r in caplog.records if "one too many dropped" in r.getMessage()])
    assert ended()


def test_a_forked_child_starts_with_nothing_and_can_work():
    """What waits is the parent's, and so is the lock that its thread may hold (RULES 47)."""
    delivery, done = Delivery(), []
    may_begin, began = threading.Event(), threading.Event()

    def first():
        began.set()
        assert may_begin.wait(PATIENCE)

    delivery.submit("a job", first)
    assert began.wait(PATIENCE)
    delivery.submit("a job", lambda: done.append("parent"))
    delivery._changed.acquire()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            assert delivery.flush(0)
            delivery.submit("a job", lambda: done.append("child"))
            assert delivery.flush(PATIENCE)
            status = 0 if done == ["child"] else 2
        finally:
            os._exit(status)
    delivery._changed.release()
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    may_begin.set()
    assert delivery.flush(PATIENCE)
    assert ["parent"] == done
    assert ended()


def test_without_a_thread_to_be_had_it_is_dropped_and_said(monkeypatch, caplog):
    """A process that has too many threads, or is about to end; later ones are done."""
    delivery, done = Delivery(), []

    class NoThread:
        def __init__(self, **_):
            pass

        def start(self):
            raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading, "Thread", NoThread)
        delivery.submit("a job", lambda: done.append("dropped"))
    assert "no thread for 1 deliveries" in caplog.text
    assert delivery.flush(0) is True
    delivery.submit("a job", lambda: done.append("later"))
    assert delivery.flush(PATIENCE)
    assert ["later"] == done
    assert ended()


def test_is_not_pickled():
    """It holds a lock and other people's addresses."""
    with pytest.raises(TypeError):
        pickle.dumps(Delivery())
