"""Callers who keep a service busy and write down what they were told."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter

import requests
from issuing.people import DONE, PERHAPS, ClientToken, Person, Session
from issuing.processes import PATIENCE, Visitor

from tokenward.commands import keys, users
from tokenward.errors import AuthServiceUnavailable

THREADS = 6
# Each adds a key to the set, and a set of more than a hundred is not read to its end.
MAX_ROTATIONS = 30
KINDS = ("register", "log in", "refresh", "log out", "revoke", "password", "roles", "revoke own")


class _NoAnswer(Exception):
    """None came, or it was 503."""


class Load:
    """Threads that live the lives of people, one after the other; a context manager.

    Each person is one thread's own, so that every answer but the one that is expected, 503 or
    none at all is wrong. An operator rotates the keys beside, and changes roles.

    Args:
        site: Whose store operators use.
        url: Of the service.
        seed: What everybody does is drawn from it.

    Attributes:
        people: Everybody who asked to be registered.
        client_tokens: The client's own access tokens.
        rotated: The ids of the keys that were acknowledged as current.
        lost_rotations: How many rotations were not acknowledged.
        wrong: What no answer should have been.
        acknowledged: How often each kind of change was.
        refused: How often it was 503.
        unanswered: How often there was no answer.
    """

    def __init__(self, site, url, *, seed):
        self.people, self.client_tokens, self.rotated, self.wrong = [], [], [], []
        self.lost_rotations = 0
        self.acknowledged = Counter()
        self.refused = self.unanswered = 0
        self._site = site
        self._url = url
        self._stop = threading.Event()
        self._lock = threading.Lock()
        draws = [random.Random(f"{seed}-{at}") for at in range(THREADS)]  # noqa: S311 - no secret
        self._threads = [
            threading.Thread(target=self._live, args=each) for each in enumerate(draws)
        ]
        self._threads.append(threading.Thread(target=self._rotate))

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(2 * PATIENCE)
        assert not any(thread.is_alive() for thread in self._threads)

    def go_on(self):
        """Wait until one more of every kind of change was acknowledged."""
        with self._lock:
            before = Counter(self.acknowledged)
        self.wait(lambda: all(self.acknowledged[kind] > before[kind] for kind in KINDS))

    def more(self, count):
        """Wait until so many more were acknowledged, of whatever kind."""
        enough = sum(self.acknowledged[kind] for kind in KINDS) + count
        self.wait(lambda: sum(self.acknowledged[kind] for kind in KINDS) >= enough)

    def wait(self, enough):
        """Wait until it is enough, and nothing is wrong."""
        deadline = time.monotonic() + PATIENCE
        while not enough():
            assert self.wrong == []
            assert time.monotonic() < deadline, (self.acknowledged, self.refused, self.unanswered)
            time.sleep(0.01)

    def _rotate(self):
        while not self._stop.wait(0.3) and len(self.rotated) < MAX_ROTATIONS:
            try:
                self.rotated.append(keys.rotate(self._site.settings, force=True))
            except AuthServiceUnavailable:
                self.lost_rotations += 1
            except Exception as error:  # noqa: BLE001 - is shown by the test
                self.wrong.append(("rotate", repr(error)))
                return

    def _live(self, at, rng):
        number = 0
        with Visitor(self._url) as visitor:
            while not self._stop.is_set():
                number += 1
                life = _Life(self, visitor, rng, f"person-{at}-{number}")
                try:
                    life.run()
                except _NoAnswer:
                    self._wait_for_it(visitor)
                except Exception as error:  # noqa: BLE001 - is shown by the test
                    self.wrong.append((life.person.name, repr(error)))
                    return
                # A few dozen people are enough, and all of them are asked afterwards.
                self._stop.wait(rng.uniform(0, 0.3))

    def _wait_for_it(self, visitor):
        while not self._stop.is_set():
            try:
                visitor.get("/health/live")
            except requests.RequestException:
                self._stop.wait(0.1)
            else:
                return

    def ask(self, kind, status, send):
        """Return an answer that is as expected; note which it was.

        Raises:
            _NoAnswer: There was none, or it was 503.
        """
        try:
            answer = send()
        except requests.RequestException:
            with self._lock:
                self.unanswered += 1
            raise _NoAnswer from None
        if answer.status_code == 503:
            with self._lock:
                self.refused += 1
            if not 1 <= int(answer.headers["Retry-After"]) <= 60:
                self.wrong.append((kind, dict(answer.headers)))
            raise _NoAnswer
        if answer.status_code != status:
            self.wrong.append((kind, answer.status_code, answer.text))
            raise _NoAnswer
        self.noted(kind)
        return answer

    def noted(self, kind):
        with self._lock:
            self.acknowledged[kind] += 1


class _Life:
    """What one person does: registers, logs in, refreshes, and one thing that ends sessions."""

    def __init__(self, load, visitor, rng, name):
        self.person = Person(name, f"password of {name}")
        self._load = load
        self._visitor = visitor
        self._rng = rng

    def run(self):
        load, person, visitor = self._load, self.person, self._visitor
        load.people.append(person)
        load.ask("register", 201, lambda: visitor.register(person.name, person.password))
        person.registered = DONE
        for by_client in self._rng.sample([False, True], k=self._rng.randint(1, 2)):
            self._log_in(by_client=by_client)
        for _ in range(self._rng.randint(0, 2)):
            self._refresh(self._rng.choice(person.sessions))
        if self._rng.random() < 0.7:
            ends = (self._log_out, self._revoke, self._change_password, self._set_roles)
            self._rng.choice(ends)()
        if self._rng.random() < 0.4:
            self._own_token()

    def _log_in(self, *, by_client):
        person = self.person
        tokens = self._load.ask(
            "log in",
            200,
            lambda: self._visitor.log_in(person.name, person.password, by_client=by_client),
        ).json()
        session = Session(by_client, [tokens["access_token"]], tokens["refresh_token"])
        person.sessions.append(session)
        return session

    def _refresh(self, session):
        session.exchanged = PERHAPS
        answer = self._load.ask(
            "refresh",
            200,
            lambda: self._visitor.refresh(session.current, by_client=session.by_client),
        )
        session.refreshed(answer.json())

    def _log_out(self):
        session = self._rng.choice(self.person.sessions)
        session.ended = PERHAPS
        token = session.access[-1]
        self._load.ask("log out", 200, lambda: self._visitor.post("/logout", token=token))
        session.ended = DONE

    def _revoke(self):
        theirs = [session for session in self.person.sessions if session.by_client]
        if not theirs:
            theirs = [self._log_in(by_client=True)]
        session = theirs[0]
        session.ended = PERHAPS
        token = session.current
        self._load.ask("revoke", 200, lambda: self._visitor.form("/revoke", token=token))
        session.ended = DONE

    def _change_password(self):
        person = self.person
        person.next_password = f"another of {person.name}"
        person.all_ended(PERHAPS)
        members = {"current_password": person.password, "new_password": person.next_password}
        token = person.sessions[0].access[-1]
        self._load.ask(
            "password", 204, lambda: self._visitor.post("/password", members, token=token)
        )
        person.all_ended(DONE)
        person.password, person.next_password = person.next_password, None
        self._log_in(by_client=False)

    def _set_roles(self):
        person = self.person
        person.next_roles = ("editor",)
        person.all_ended(PERHAPS)
        try:
            users.set_roles(self._load._site.settings, person.name, person.next_roles)
        except AuthServiceUnavailable:
            raise _NoAnswer from None
        person.all_ended(DONE)
        person.roles, person.next_roles = person.next_roles, None
        self._load.noted("roles")

    def _own_token(self):
        answer = self._load.ask(
            "own token", 200, lambda: self._visitor.form("/token", grant_type="client_credentials")
        )
        own = ClientToken(answer.json()["access_token"])
        self._load.client_tokens.append(own)
        if self._rng.random() < 0.6:
            own.revoked = PERHAPS
            self._load.ask(
                "revoke own", 200, lambda: self._visitor.form("/revoke", token=own.token)
            )
            own.revoked = DONE
