"""tokenward.django.sessions: a session lasts as long as the auth service knows its person."""

import json
import logging
import re
import threading

import pytest
from asgiref.sync import async_to_sync
from django.contrib import auth
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.models import Session
from django.db import OperationalError, connection
from django.http import HttpResponse
from django.test import Client
from django.urls import include, path
from django_users import CLIENT, ISSUER, PASSWORD, SECRET, introspection, served_service, taking

from tokenward._seal import Sealer
from tokenward.django import sessions
from tokenward.django._password_service import _SEAL_PURPOSE
from tokenward.django._state import parts
from tokenward.django.sessions import KEY, session_user
from tokenward.django.users.mapping import mapping_in_force
from tokenward.errors import AuthServiceUnavailable, InvalidToken, TokenRevoked
from tokenward.testing import FakeClock

pytestmark = pytest.mark.django_db

PASSWORD_BACKEND = "tokenward.django.backends.PasswordBackend"
MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"
RECHECK = 60


@pytest.fixture(autouse=True)
def project(settings, monkeypatch):
    """A project with the README's backends, and a log that has said nothing this minute."""
    settings.AUTHENTICATION_BACKENDS = [PASSWORD_BACKEND, MODEL_BACKEND]
    settings.ROOT_URLCONF = __name__
    settings.TOKENWARD = taking()
    monkeypatch.setattr(sessions._seldom, "_last", {})
    return settings


@pytest.fixture
def clock(monkeypatch):
    """The clock of the sessions, and of the auth service."""
    clock = FakeClock()
    monkeypatch.setattr(sessions.checks, "clock", clock)
    return clock


def who(request):
    return HttpResponse(f"{request.user.get_username()} {request.user.is_staff}")


async def awho(request):
    user = await request.auser()
    return HttpResponse(user.get_username())


def out(request):
    auth.logout(request)
    return HttpResponse("bye")


urlpatterns = [
    path("who", who),
    path("awho", awho),
    path("out", out),
    path("", include("shop.urls")),
]


class Here:
    """The auth service in this process."""

    def __init__(self, settings):
        settings.TOKENWARD = {
            "service": {
                "issuer": ISSUER,
                "audience": "shop",
                "store": "memory://",
                "password": {"bcrypt_cost": 4},
            },
            "django": {"staff_roles": ["admin"], "session_recheck": RECHECK},
        }
        self.service = parts().service
        self.service.create_user(
            "root", email="root@example.com", password=PASSWORD, roles=["admin"]
        )
        self._get = self.service.users.get_by_id
        self.service.users.get_by_id = self._asked
        self.questions = 0

    def _asked(self, user_id):
        self.questions += 1
        return self._get(user_id)

    def stop(self):
        def broken(user_id):
            raise AuthServiceUnavailable("the store is busy")

        self.service.users.get_by_id = broken

    def start_again(self):
        self.service.users.get_by_id = self._asked


class There:
    """An auth service on a real socket."""

    def __init__(self, settings, service, served):
        settings.TOKENWARD = there(served.url)
        self.service, self._served = service, served
        self.stop, self.start_again = served.stop, served.start_again

    @property
    def questions(self):
        return self._served.paths.count("/me")


def there(issuer, **section):
    login = {"issuer": issuer, "client_id": CLIENT.client_id, "client_secret": SECRET}
    known = {"staff_roles": ["admin"], "session_recheck": RECHECK}
    return {
        "credentials": [introspection(issuer) | {"source": "authorization"}],
        "django": {"login": login | {"timeout": 90, "connect_timeout": 30}, **known, **section},
    }


@pytest.fixture(params=["local", "remote"])
def place(request, settings, clock):
    """The auth service, and where it is."""
    if request.param == "local":
        yield Here(settings)
        return
    with served_service(clock) as (service, served):
        yield There(settings, service, served)


@pytest.fixture
def remote(settings, clock):
    """An auth service on a real socket."""
    with served_service(clock) as (service, served):
        yield There(settings, service, served)


@pytest.fixture
def browser(place):
    """A browser whose owner has signed in."""
    return signed_in()


def signed_in():
    browser = Client()
    assert browser.login(username="root", password=PASSWORD)
    return browser


def seen(browser):
    return browser.get("/who").content.decode()


ROOT, NOBODY = "root True", " False"


def test_without_a_session_there_is_nobody(rf):
    """A project may have no sessions at all."""
    assert isinstance(session_user(rf.get("/")), AnonymousUser)


def test_nobody_is_asked_before_it_is_time(place, browser, clock):
    """The check costs nothing in between."""
    clock.advance(RECHECK - 1)
    assert (ROOT, 0) == (seen(browser), place.questions)


def test_when_it_is_time_the_service_is_asked_once(place, browser, clock):
    """And then not for as long again."""
    clock.advance(RECHECK)
    assert (ROOT, 1) == (seen(browser), place.questions)
    assert clock.now == browser.session[KEY]["checked"]
    clock.advance(RECHECK - 1)
    assert (ROOT, 1) == (seen(browser), place.questions)


def test_a_clock_that_jumps_back_makes_it_time(place, browser, clock):
    """A mark in the future is no mark."""
    clock.advance(-20)
    assert (ROOT, 1) == (seen(browser), place.questions)


@pytest.mark.parametrize(
    "ended",
    [
        lambda users: users.set_active("root", active=False),
        lambda users: users.set_password("root", "another-password"),
        lambda users: users.set_roles("root", []),
        lambda users: users.delete("root"),
    ],
    ids=["deactivated", "password", "roles", "gone"],
)
def test_whoever_is_ended_there_is_out_here(place, browser, clock, ended):
    """At the next check, for good: what the session held is gone."""
    ended(place.service.users)
    assert ROOT == seen(browser)
    clock.advance(RECHECK)
    assert NOBODY == seen(browser)
    assert 0 == Session.objects.count()
    assert NOBODY == seen(browser)


def test_rights_are_what_the_roles_come_to_again(place, browser, clock):
    """What was changed by hand in between is undone at the check, as at every verification."""
    User.objects.update(is_staff=False)
    assert "root False" == seen(browser)
    clock.advance(RECHECK)
    assert ROOT == seen(browser)


def test_a_row_that_is_closed_here_is_out_at_once(place, browser):
    """Django asks the backend for the row at every request."""
    User.objects.update(is_active=False)
    assert NOBODY == seen(browser)


def test_djangos_own_check_of_a_session_stays(place, browser):
    """A row whose password column changed has no session any more."""
    row = User.objects.get()
    row.set_password("another")
    row.save()
    assert NOBODY == seen(browser)


@pytest.mark.django_db(transaction=True)
def test_async_a_session_is_checked_too(remote, clock, async_client):
    """Off the loop."""
    browser = signed_in()
    async_client.cookies = browser.cookies
    clock.advance(RECHECK)

    async def ask():
        return await async_client.get("/awho")

    assert b"root" == async_to_sync(ask)().content
    assert 1 == remote.questions


# --- outages


def test_a_short_outage_is_outlived(place, browser, clock):
    """For as long once more, with no answer at all."""
    place.stop()
    clock.advance(2 * RECHECK - 1)
    assert ROOT == seen(browser)
    place.start_again()
    assert (ROOT, 1) == (seen(browser), place.questions)


def test_a_long_outage_is_a_503_and_ends_no_session(place, browser, clock, caplog):
    """Nobody could decide: neither signed in nor out; the person is back with the service."""
    place.stop()
    clock.advance(2 * RECHECK)
    answer = browser.get("/who")
    assert 503 == answer.status_code
    assert "Retry-After" in answer
    assert "No session can be checked" in caplog.text
    place.start_again()
    assert ROOT == seen(browser)


def test_a_clock_that_jumps_back_has_no_grace(place, browser, clock):
    """How long the check is overdue is not known."""
    place.stop()
    clock.advance(-1)
    assert 503 == browser.get("/who").status_code


def test_a_database_that_is_down_is_a_503(place, browser):
    """The session store and the user's row are asked like any store."""

    def broken(execute, sql, params, many, context):
        raise OperationalError("could not connect to server")

    with connection.execute_wrapper(broken):
        assert 503 == browser.get("/who").status_code
    assert ROOT == seen(browser)


# --- what a session holds


def test_a_session_holds_no_token(remote, clock):
    """Whoever reads the session store can do nothing with it, and the service takes none of it."""
    held = signed_in().session[KEY]
    assert {"evidence", "checked"} == set(held)
    text = json.dumps(held)
    assert re.search(r"eyJ[\w-]+\.eyJ", text) is None
    with pytest.raises(InvalidToken):
        remote.service.get_logged_in_user(held["evidence"]["token"])


def test_a_session_of_this_process_holds_no_token(settings, clock):
    """An id and a number."""
    Here(settings)
    evidence = signed_in().session[KEY]["evidence"]
    assert {"issuer", "user", "version"} == set(evidence)


def test_an_older_key_still_opens(remote, clock, settings):
    """SECRET_KEY may change, as long as the one before is a fallback."""
    browser = signed_in()
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "the-next-one-7d8f6a5b4c3e2d1f0a9b8c7d6e5f4a3b"
    clock.advance(RECHECK)
    assert (ROOT, 1) == (seen(browser), remote.questions)


def test_what_no_key_opens_ends_the_session(remote, clock):
    """Without the key nobody can be asked about."""
    browser = signed_in()
    sealed = Sealer(["of-somebody-else-1a2b3c4d5e6f7a8b9c"], _SEAL_PURPOSE).seal(b"x").decode()
    held(browser, token=sealed)
    clock.advance(RECHECK)
    assert NOBODY == seen(browser)


def held(browser, **changes):
    """Change the evidence in a browser's session."""
    session = browser.session
    session[KEY]["evidence"].update(changes)
    session.save()


def test_a_session_of_another_service_ends(place, browser, clock):
    """Another service's word about a person is not this one's."""
    held(browser, issuer="https://else.example")
    clock.advance(RECHECK)
    assert (NOBODY, 0) == (seen(browser), place.questions)


def test_evidence_of_another_person_ends_the_session(place, browser, clock):
    """The session is of a row, and the service speaks of another one."""
    other = User.objects.create_user("other")
    session = browser.session
    session[auth.SESSION_KEY] = str(other.pk)
    session[auth.HASH_SESSION_KEY] = other.get_session_auth_hash()
    session.save()
    clock.advance(RECHECK)
    assert NOBODY == seen(browser)


def test_a_session_ends_with_its_token(remote, clock):
    """The service does not take it any longer; how long it does is the client's setting there."""
    browser = signed_in()
    clock.advance(CLIENT.access_token_lifetime)
    assert NOBODY == seen(browser)


def test_with_nobody_to_ask_any_more_the_session_ends(place, browser, clock, settings):
    """The operator took the service out of the settings."""
    settings.TOKENWARD = taking(session_recheck=RECHECK)
    clock.advance(RECHECK)
    assert NOBODY == seen(browser)


# --- sessions that others made


def test_a_session_of_djangos_own_is_left_alone(place, clock):
    """Whoever is known here only is nobody there, and stays signed in."""
    User.objects.create_user("local", password=PASSWORD)
    browser = Client()
    assert browser.login(username="local", password=PASSWORD)
    clock.advance(10 * RECHECK)
    assert ("local False", 0) == (seen(browser), place.questions)
    assert KEY not in browser.session


def test_who_is_logged_in_by_the_project_is_vouched_for_until_the_check(place, clock):
    """`login()` and `force_login()` without a password: there is nothing to ask with."""
    local = User.objects.create_user("local")
    browser = Client()
    browser.force_login(local)
    clock.advance(RECHECK - 1)
    assert "local False" == seen(browser)
    clock.advance(1)
    assert NOBODY == seen(browser)


def test_evidence_survives_that_the_project_logs_in_again(place, browser, rf, clock):
    """A project that calls `login()` once more, with the row alone, loses nothing."""
    before = browser.session[KEY]
    request = rf.get("/")
    request.session = browser.session
    auth.login(request, User.objects.get(), backend=PASSWORD_BACKEND)
    assert before == request.session[KEY]


def test_evidence_goes_when_another_backend_logs_in(place, browser, rf):
    """What the session holds is of the sign-in that made it."""
    request = rf.get("/")
    request.session = browser.session
    auth.login(request, User.objects.get(), backend=MODEL_BACKEND)
    assert KEY not in request.session


@pytest.mark.parametrize("signal", [auth.user_logged_in, auth.user_logged_out])
@pytest.mark.parametrize("has_request", [True, False])
def test_a_sign_in_without_a_session_is_nobodys_business(place, rf, signal, has_request):
    """Other packages send Django's signals for requests that have none."""
    user = auth.authenticate(username="root", password=PASSWORD)
    outcomes = signal.send_robust(User, request=rf.get("/") if has_request else None, user=user)
    assert not [outcome for _, outcome in outcomes if isinstance(outcome, Exception)]
    assert 0 == Session.objects.count()


# --- signing out


def test_signing_out_ends_the_token(remote, clock):
    """At the service too."""
    browser = signed_in()
    evidence = browser.session[KEY]["evidence"]
    assert b"bye" == browser.get("/out").content
    assert "/logout" in remote._served.paths
    with pytest.raises(TokenRevoked):
        mapping_in_force().login.check(evidence)
    assert NOBODY == seen(browser)


def test_signing_out_here_needs_no_service(place, browser, caplog):
    """It cannot be asked, and the person is signed out all the same."""
    place.stop()
    with caplog.at_level(logging.WARNING, "tokenward.django.sessions"):
        assert b"bye" == browser.get("/out").content
    assert NOBODY == seen(browser)
    assert isinstance(place, Here) or "did not end the token" in caplog.text


def test_signing_out_of_a_service_that_is_gone_works(place, browser, settings):
    """The operator took it out of the settings."""
    settings.TOKENWARD = taking()
    assert b"bye" == browser.get("/out").content


# --- many at once


@pytest.mark.parametrize("is_down", [False, True])
def test_one_session_is_asked_about_once(settings, clock, is_down):
    """Eight requests of one browser are due together: one question, its answer for all of them."""
    release, begun, outcomes, pause = threading.Event(), threading.Event(), [], threading.Event()
    with served_service(clock) as (_, served):
        settings.TOKENWARD = there(served.url)
        evidence = signed_in().session[KEY]["evidence"]
        login = mapping_in_force().login
        inner = served.app

        def slow(environ, start_response):
            begun.set()
            release.wait(90)
            if is_down:
                start_response("500 Internal Server Error", [])
                return [b""]
            return inner(environ, start_response)

        def ask():
            try:
                outcomes.append(login.check(evidence).username)
            except AuthServiceUnavailable as error:
                outcomes.append(error)

        served.app = slow
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        assert begun.wait(90)
        for _ in range(20_000):
            if login._checks.stats().misses == 8:
                break
            pause.wait(0.001)
        release.set()
        for thread in threads:
            thread.join()
        assert (8, 1) == (len(outcomes), served.paths.count("/me"))
        if is_down:
            # Each their own: whoever raises one adds to its traceback.
            assert 8 == len({id(error) for error in outcomes})
        else:
            assert {"root"} == set(outcomes)
