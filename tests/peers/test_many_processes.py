"""Four processes with eight callers each want the same thing: one gets it (RULES 35, 37).

On a SQLite file and on a server that speaks MongoDB's protocol.
"""

import time

import pytest
from issuing.processes import PATIENCE, Site, Visitor, at_once

PROCESSES = 4
CALLERS = 8
NAMES = 3
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module", params=["sqlite", pytest.param("mongo", marks=pytest.mark.peer)])
def urls(request, tmp_path_factory):
    """Where the processes listen; each store has its own."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "mongo":
        store = request.getfixturevalue("mongo").new_url()
    else:
        store = f"sqlite:///{folder}/store.db"
    with Site(folder, store).serving(PROCESSES) as processes:
        yield [process.url for process in processes]


def everybody(urls, ask):
    return at_once(urls, PROCESSES * CALLERS, ask)


@pytest.mark.parametrize("number", range(NAMES))
def test_one_name_is_registered_once(urls, number):
    """One 201. The others are told that it is taken, or to come back, and then that it is taken."""
    name = f"alice{number}"

    def register(visitor, _at):
        answer = visitor.register(name, PASSWORD)
        deadline = time.monotonic() + PATIENCE
        while answer.status_code == 503:
            # The queue of those who wait for a hash is full; the crowd is finite.
            assert int(answer.headers["Retry-After"]) >= 1
            assert time.monotonic() < deadline
            time.sleep(0.02)
            answer = visitor.register(name, PASSWORD)
        return answer.status_code

    statuses = sorted(everybody(urls, register))
    assert [201] + [409] * (PROCESSES * CALLERS - 1) == statuses
    with Visitor(urls[0]) as visitor:
        assert 200 == visitor.log_in(name, PASSWORD).status_code


def test_spellings_of_one_name_are_one_name(urls):
    """Upper case, compatibility forms, another address: the canonical key is what is unique."""
    spellings = ("bob", "BOB", "\uff42ob", "Bob")

    def register(visitor, at):
        account = {"username": spellings[at % 4], "email": f"bob{at}@example.com"}
        return visitor.post("/register", {**account, "password": PASSWORD}).status_code

    statuses = everybody(urls, register)
    assert 1 == statuses.count(201)
    assert {201, 409, 503} >= set(statuses)
    with Visitor(urls[0]) as visitor:
        answers = {visitor.log_in(name, PASSWORD).json()["user"]["id"] for name in ("bob", "BOB")}
    assert 1 == len(answers)


@pytest.mark.parametrize("by_client", [False, True], ids=["own", "of a client"])
def test_one_refresh_token_is_exchanged_once_at_most(urls, by_client):
    """Whoever was first has it, and the session is over: somebody else has the token too."""
    name = f"carol-{by_client}"
    with Visitor(urls[0]) as visitor:
        assert 201 == visitor.register(name, PASSWORD).status_code
        first = visitor.log_in(name, PASSWORD, by_client=by_client).json()
        other = visitor.log_in(name, PASSWORD, by_client=by_client).json()
    answers = everybody(urls, lambda v, _: v.refresh(first["refresh_token"], by_client=by_client))
    exchanged = [answer.json() for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(exchanged) <= 1
    assert {400} == {answer.status_code for answer in refused}
    # One body for every refusal: who was second, and who came when it was over.
    assert 1 == len({answer.text for answer in refused})
    for url in urls:
        with Visitor(url) as visitor:
            for tokens in (first, *exchanged):
                assert not visitor.is_active(tokens["access_token"])
                again = visitor.refresh(tokens["refresh_token"], by_client=by_client)
                assert (400, "invalid_grant") == (again.status_code, again.json()["error"])
            assert visitor.is_active(other["access_token"])


def test_one_password_is_changed_by_one(urls):
    """Who comes second finds the token ended or the password another; no process lags behind."""
    with Visitor(urls[0]) as visitor:
        assert 201 == visitor.register("dave", PASSWORD).status_code
        token = visitor.log_in("dave", PASSWORD).json()["access_token"]
    change = {"current_password": PASSWORD}

    def attempt(visitor, at):
        new = f"another horse {at}"
        answer = visitor.post("/password", {**change, "new_password": new}, token=token)
        return answer.status_code, new

    answers = everybody(urls, attempt)
    assert {204, 401, 503} >= {status for status, _ in answers}
    changed = [new for status, new in answers if status == 204]
    for url in urls:
        with Visitor(url) as visitor:
            assert 401 == visitor.get("/me", token=token).status_code
            assert 401 == visitor.log_in("dave", PASSWORD).status_code
            works = [new for new in changed if visitor.log_in("dave", new).status_code == 200]
            assert 1 == len(works)
