"""Refresh tokens that many present at once: one is exchanged, and then the session is over.

Two of whom one succeeds are two who have the token, so that the loser ends the session (RULES 37).
"""

import logging
import multiprocessing
import threading

import pytest
from auth_services import ISSUER, PASSWORD, audit_lines, audited, log_in

from tokenward.errors import AuthServiceUnavailable, InvalidGrant, InvalidToken
from tokenward.keys import KeyRing
from tokenward.repositories import open_repositories
from tokenward.service import AuthService

PATIENCE = 120
THREADS = 16
PROCESSES = 4


def make(url, keys=None):
    """Return a service over the store at ``url``, and the store."""
    stores = open_repositories(url, bcrypt_cost=4)
    service = AuthService(
        stores.users,
        keys=keys or KeyRing.generate(),
        tokens=stores.tokens,
        issuer=ISSUER,
        audience="orders",
    )
    return service, stores


MONGO = pytest.param("mongo", marks=pytest.mark.peer)


def new_url(kind, request, tmp_path):
    """Return the URL of a new store of one kind."""
    if kind == "mongo":
        return request.getfixturevalue("mongo").new_url()
    return "memory://" if kind == "memory" else f"sqlite:///{tmp_path}/tokens.db"


@pytest.fixture(params=["memory", "sqlite", MONGO])
def service(request, tmp_path):
    """A service with one user, on each kind of store."""
    service, stores = make(new_url(request.param, request, tmp_path))
    service.create_user("alice", email="alice@example.com", password=PASSWORD)
    yield service
    stores.close()


def outcome(call):
    """Return what a call returns, or the type of its refusal."""
    try:
        return call()
    except (InvalidGrant, InvalidToken, AuthServiceUnavailable) as error:
        return type(error)


def all_at_once(*calls):
    """Make every call on a thread of its own, at one moment; return what came of each."""
    barrier = threading.Barrier(len(calls))
    outcomes = [None] * len(calls)

    def work(number, call):
        barrier.wait(PATIENCE)
        outcomes[number] = outcome(call)

    threads = [
        threading.Thread(target=work, args=(number, call)) for number, call in enumerate(calls)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    return outcomes


def test_of_many_threads_one_gets_tokens_and_the_session_ends(service, caplog):
    """Whoever was first has tokens that are over already; the reuse is in the audit trail."""
    audited(caplog)
    given = log_in(service)
    outcomes = all_at_once(*[lambda: service.refresh(given.refresh_token)] * THREADS)
    winners = [answer for answer in outcomes if answer is not InvalidGrant]

    assert 1 == len(winners)
    for ended in (given, *winners):
        assert InvalidGrant is outcome(lambda ended=ended: service.refresh(ended.refresh_token))
        assert not service.introspect_token(ended.access_token).active
    assert "refresh_reuse" in {line["event"] for line in audit_lines(caplog)}


def test_a_session_that_is_ended_meanwhile_hands_out_nothing_that_is_good(service):
    """A logout and a refresh at once: whichever is first, afterwards nothing of it is good."""
    for _ in range(10):
        given = log_in(service)
        refreshed, _ = all_at_once(
            lambda given=given: service.refresh(given.refresh_token),
            lambda given=given: service.logout_user(given.access_token),
        )
        assert not service.introspect_token(given.access_token).active
        if refreshed is not InvalidGrant:
            assert not service.introspect_token(refreshed.access_token).active
            token = refreshed.refresh_token
            assert InvalidGrant is outcome(lambda token=token: service.refresh(token))


def test_a_new_password_and_a_refresh_at_once_leave_nothing_of_before(service):
    """The counter that tokens carry ends what the tidying up may have missed."""
    for number in range(5):
        given = log_in(service, password=PASSWORD if number == 0 else f"{PASSWORD} {number}")
        refreshed, _ = all_at_once(
            lambda given=given: service.refresh(given.refresh_token),
            lambda number=number: service.set_password("alice", f"{PASSWORD} {number + 1}"),
        )
        if refreshed is not InvalidGrant:
            assert not service.introspect_token(refreshed.access_token).active
            token = refreshed.refresh_token
            assert InvalidGrant is outcome(lambda token=token: service.refresh(token))


def test_sessions_of_many_threads_are_apart(service):
    """Each its own chain; none is ended, lost or mixed up with another."""

    def chain(given):
        for _ in range(5):
            given = service.refresh(given.refresh_token)
        return given

    begun = [log_in(service) for _ in range(8)]
    outcomes = all_at_once(*[lambda given=given: chain(given) for given in begun])
    tokens = {answer.refresh_token for answer in outcomes}
    assert 8 == len(tokens)
    assert all(service.introspect_token(answer.access_token).active for answer in outcomes)
    assert 8 == len(service.sessions(outcomes[0].access_token).sessions)


def _in_a_process(url, token, number, barrier, results):
    """Exchange a token in a process of its own; hand back what came of it."""
    logging.disable()
    service, stores = make(url)
    barrier.wait(PATIENCE)
    try:
        results.put((number, service.refresh(token).refresh_token))
    except InvalidGrant:
        results.put((number, None))
    stores.close()


@pytest.mark.parametrize("kind", ["sqlite", MONGO])
def test_of_many_processes_one_gets_tokens_and_the_session_ends(request, tmp_path, kind):
    """The store decides, wherever they run."""
    url = new_url(kind, request, tmp_path)
    service, stores = make(url)
    service.create_user("alice", email="alice@example.com", password=PASSWORD)
    given = log_in(service)
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(PROCESSES), context.Queue()
    workers = [
        context.Process(
            target=_in_a_process, args=(url, given.refresh_token, number, barrier, results)
        )
        for number in range(PROCESSES)
    ]
    for worker in workers:
        worker.start()
    outcomes = dict(results.get(timeout=PATIENCE) for _ in workers)
    for worker in workers:
        worker.join(PATIENCE)
        worker.close()
    results.close()
    results.join_thread()
    winners = [token for token in outcomes.values() if token is not None]

    assert PROCESSES == len(outcomes)
    assert 1 == len(winners)
    for token in (given.refresh_token, *winners):
        assert InvalidGrant is outcome(lambda token=token: service.refresh(token))
    assert () == service.sessions(log_in(service).access_token).sessions[1:]
    stores.close()
