"""tokenward.django.backends: a token for one request, a password for a session."""

import copy
import json
import logging
import pickle
import re

import pytest
from asgiref.sync import async_to_sync
from django.contrib import auth
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.test import Client
from django.urls import include, path
from django.views.debug import ExceptionReporter
from django_users import (
    CLIENT,
    ISSUER,
    PASSWORD,
    SECRET,
    alice,
    introspection,
    served_service,
    taking,
    tokens,
)

from tokenward.authenticator import Authenticator, Credential, authorization, cookie
from tokenward.django import backends
from tokenward.django._state import parts
from tokenward.django.backends import (
    PasswordBackend,
    SignInThrottled,
    SignInUnavailable,
    TokenBackend,
)
from tokenward.django.models import Account, Identity
from tokenward.errors import (
    AuthServiceUnavailable,
    ConfigurationError,
    TokenExpired,
    TooManyAttempts,
)
from tokenward.testing import FakeClock, StubVerifier, override_authenticator

pytestmark = pytest.mark.django_db

TOKEN_BACKEND = "tokenward.django.backends.TokenBackend"
PASSWORD_BACKEND = "tokenward.django.backends.PasswordBackend"
ALONE = "Signing in is not possible right now; try again in a moment."


@pytest.fixture(autouse=True)
def project(settings, monkeypatch):
    """A project with the README's backends, and a log that has said nothing this minute."""
    settings.AUTHENTICATION_BACKENDS = [
        PASSWORD_BACKEND,
        "django.contrib.auth.backends.ModelBackend",
        TOKEN_BACKEND,
    ]
    settings.TEMPLATES = [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ]
    settings.TOKENWARD = taking()
    monkeypatch.setattr(backends._seldom, "_last", {})
    return settings


def who(request):
    return HttpResponse(f"{request.user.is_authenticated} {request.user.get_username()}")


def adopt(request):
    """Log the token's user in, as a careless project would."""
    user = auth.authenticate(request, token=request.GET["token"])
    auth.login(request, user)
    return HttpResponse(request.user.get_username())


def let_in(request):
    """Sign somebody in without a form."""
    user = auth.authenticate(request, **request.GET.dict())
    return HttpResponse(str(user))


urlpatterns = [
    path("who", who),
    path("in", let_in),
    path("adopt", adopt),
    path("", include("shop.urls")),
]


# --- tokens


def test_a_token_is_the_user_it_speaks_for(rf):
    """Verified as one in the Authorization header, and mapped like it."""
    with tokens(good=alice()) as verifier:
        user = auth.authenticate(rf.get("/"), token="good")
        assert [("good", False)] == verifier.calls
    assert ("alice", TOKEN_BACKEND) == (user.username, user.backend)
    assert user == Identity.objects.get().user


@pytest.mark.parametrize("token", [None, "", "bad", "old", "two words", "a,b", 7, b"good", "gööd"])
def test_a_token_that_is_refused_is_nobody(token):
    """Whatever it is; and Django asks the next backend."""
    with tokens(good=alice(), old=TokenExpired()):
        assert TokenBackend().authenticate(None, token=token) is None


def test_without_a_token_nothing_is_asked():
    """The question is for somebody else."""
    with tokens() as verifier:
        assert TokenBackend().authenticate(None) is None
        assert [] == verifier.calls


def test_a_password_is_no_business_of_the_token_backend(rf):
    """Django does not even ask it."""
    with tokens() as verifier:
        assert auth.authenticate(rf.get("/"), username="alice", password=PASSWORD) is None
        assert [] == verifier.calls


def test_a_refusal_is_logged(caplog):
    """Where every other is."""
    with tokens(), caplog.at_level(logging.DEBUG, "tokenward.refused"):
        TokenBackend().authenticate(None, token="bad-LEAK")
    assert "refused at authorization" in caplog.text
    assert "LEAK" not in caplog.text


def test_an_outage_is_no_refusal():
    """Nobody could decide: not `None`, which Django takes for wrong."""
    with tokens(down=AuthServiceUnavailable()), pytest.raises(AuthServiceUnavailable):
        TokenBackend().authenticate(None, token="down")


def test_an_inactive_row_is_nobody():
    """Its token may be as good as it likes."""
    with tokens(good=alice()):
        TokenBackend().authenticate(None, token="good")
        User.objects.update(is_active=False)
        assert TokenBackend().authenticate(None, token="good") is None


def test_without_a_verifier_of_the_header_it_cannot_be_meant():
    """Nothing verifies what is handed in."""
    by_cookie = Authenticator(Credential(cookie("token"), StubVerifier({})))
    with override_authenticator(by_cookie):
        for ask in (TokenBackend().authenticate, async_to_sync(TokenBackend().aauthenticate)):
            with pytest.raises(ConfigurationError, match="TokenBackend"):
                ask(None, token="good")


def test_it_works_for_users_without_rows(settings):
    """A token needs no row; a session would."""
    settings.TOKENWARD = taking(user="stateless")
    with tokens(good=alice()):
        assert "alice" == TokenBackend().authenticate(None, token="good").get_username()


def test_no_session_is_made_of_a_token(settings, client, caplog):
    """`login()` with the user of a token is good for that request, and the next knows nobody."""
    settings.ROOT_URLCONF = __name__
    with tokens(good=alice()):
        assert b"alice" == client.get("/adopt?token=good").content
    assert b"False " == client.get("/who").content
    assert auth.SESSION_KEY not in client.session
    assert "no session is made" in caplog.text


def test_a_session_of_the_token_backend_is_nobodys(settings, client):
    """However it came to be."""
    settings.ROOT_URLCONF = __name__
    row = User.objects.create_user("local")
    session = client.session
    session[auth.SESSION_KEY] = str(row.pk)
    session[auth.BACKEND_SESSION_KEY] = TOKEN_BACKEND
    session[auth.HASH_SESSION_KEY] = row.get_session_auth_hash()
    session.save()
    client.cookies[settings.SESSION_COOKIE_NAME] = session.session_key
    assert b"False " == client.get("/who").content
    assert TokenBackend().get_user(row.pk) is None


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("user", ["model", "stateless"])
def test_async_it_is_the_same(settings, cached, user):
    """On the loop if nothing has to be asked, else in a thread."""
    settings.TOKENWARD = taking(user=user)

    class Asked(StubVerifier):
        def cached(self, token):
            return super().cached(token) if cached else None

    known = Asked({"good": alice(), "down": AuthServiceUnavailable(), "old": TokenExpired()})
    backend = TokenBackend()

    async def ask():
        with pytest.raises(AuthServiceUnavailable):
            await backend.aauthenticate(None, token="down")
        assert await backend.aauthenticate(None) is None
        assert await backend.aauthenticate(None, token="old") is None
        assert await backend.aauthenticate(None, token=5) is None
        assert await backend.aget_user(1) is None
        return await backend.aauthenticate(None, token="good")

    with override_authenticator(Authenticator(Credential(authorization(), known))):
        assert "alice" == async_to_sync(ask)().get_username()


def test_async_a_verifier_that_reads_the_database_sees_what_the_test_has_written(settings):
    """In the test's transaction."""
    settings.TOKENWARD = taking(user="stateless")
    User.objects.create_user("alice")

    class Reading:
        thread_sensitive = True

        def verify(self, token, /, *, live=False):
            User.objects.get(username=token)
            return alice()

    with override_authenticator(Authenticator(Credential(authorization(), Reading()))):
        user = async_to_sync(TokenBackend().aauthenticate)(None, token="alice")
    assert "alice" == user.get_username()


# --- passwords: the service in this process, and one on a real socket


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture(params=["local", "remote"])
def place(request, settings, clock):
    """The auth service, and where it is; the project asks it."""
    rights = {
        "staff_roles": ["admin"],
        "groups": {"admin": "Clerks"},
        "permissions": {"users": ["auth.view_user"]},
    }
    if request.param == "local":
        settings.TOKENWARD = {
            "service": {
                "issuer": ISSUER,
                "audience": "shop",
                "store": "memory://",
                "password": {"bcrypt_cost": 4},
            },
            "django": rights,
        }
        service = parts().service
        service.create_user("root", email="root@example.com", password=PASSWORD, roles=["admin"])
        yield service
        return
    with served_service(clock) as (service, served):
        settings.TOKENWARD = there(served.url, **rights)
        yield service


def there(issuer, **section):
    login = {"issuer": issuer, "client_id": CLIENT.client_id, "client_secret": SECRET}
    return {
        "credentials": [introspection(issuer) | {"source": "authorization"}],
        "django": {"login": login | {"timeout": 90, "connect_timeout": 30}, **section},
    }


def sign_in(username="root", password=PASSWORD, request=None):
    return auth.authenticate(request, username=username, password=password)


def test_a_person_of_the_auth_service_signs_in(place, rf):
    """Nobody knew them here; they are a row now, with what their roles come to."""
    user = sign_in(request=rf.get("/"))
    assert ("root", "root@example.com", True) == (user.username, user.email, user.is_staff)
    assert PASSWORD_BACKEND == user.backend
    assert {"Clerks"} == set(user.groups.values_list("name", flat=True))
    assert not user.has_usable_password()
    assert user == sign_in("ROOT")


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("root", "wrong-password"),
        ("nobody", PASSWORD),
        ("idle", PASSWORD),
        ("", PASSWORD),
        ("root", ""),
        ("root", "x" * 1025),
        ("x" * 301, PASSWORD),
        ("root", "\ud800"),
        ("root", 12345678),
        (None, PASSWORD),
        ("root", None),
    ],
)
def test_whoever_is_not_let_in_is_nobody(place, username, password):
    """Unknown, inactive, wrong and malformed are one answer, and the next backend is asked."""
    place.create_user("idle", email="idle@example.com", password=PASSWORD)
    place.users.set_active("idle", active=False)
    assert PasswordBackend().authenticate(None, username, password) is None
    assert 0 == User.objects.count()


def test_who_is_not_known_there_may_be_known_here(place):
    """The next backend is asked."""
    local = User.objects.create_user("local", password=PASSWORD)
    assert local == sign_in("local")


def test_a_row_closed_here_stays_closed(place):
    """The auth service does not know of it."""
    assert sign_in() is not None
    User.objects.update(is_active=False)
    assert sign_in() is None


def test_the_name_may_come_under_the_models_own_word(place):
    """Django's own forms send `username`; others the column of their model."""
    more = {User.USERNAME_FIELD: "root"}
    assert PasswordBackend().authenticate(None, password=PASSWORD, **more) is not None


def test_nothing_secret_stays_on_the_user(place):
    """Neither the password nor the token: not in the row, a pickle or the log."""
    user = sign_in()
    kept = pickle.dumps(user) + repr(vars(user)).encode()
    assert PASSWORD.encode() not in kept
    # A JWT, and not three characters that a sealed value may hold by chance.
    assert re.search(rb"eyJ[\w-]+\.eyJ", kept) is None


def test_it_begins_no_session_at_the_auth_service(place):
    """Nobody would hold its refresh token; and it would take the room of those that are held."""
    assert sign_in() is not None
    known = place.users.get_by_username("root")
    assert [] == list(place.tokens.families(known.id))


def test_the_backend_gives_back_who_is_active(place):
    """As ModelBackend does."""
    user = sign_in()
    backend = PasswordBackend()
    assert user == backend.get_user(user.pk)
    assert backend.get_user(user.pk + 1) is None
    User.objects.update(is_active=False)
    assert backend.get_user(user.pk) is None


@pytest.mark.django_db(transaction=True)
def test_async_a_password_is_the_same(place):
    """Nothing blocks the loop."""
    backend = PasswordBackend()

    async def ask():
        assert await backend.aauthenticate(None, username="root", password="wrong-one") is None
        user = await backend.aauthenticate(None, username="root", password=PASSWORD)
        assert user == await backend.aget_user(user.pk)
        return user

    assert "root" == async_to_sync(ask)().username


def test_no_permission_comes_from_it(place):
    """What a row may do is the other backends' word."""
    user = sign_in()
    assert set() == PasswordBackend().get_all_permissions(user)


def test_scopes_limit_no_session(place):
    """A password opens all that the row has: there is no token to limit it."""
    sign_in().user_permissions.add(Permission.objects.get(codename="view_user"))
    assert sign_in().has_perm("auth.view_user")


# --- the admin's own form


def form_of(browser):
    page = browser.get("/admin/login/?next=/admin/").content.decode()
    return re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)[1]


def fill_in(browser, password=PASSWORD, **more):
    fields = {"username": "root", "password": password, "csrfmiddlewaretoken": form_of(browser)}
    return browser.post("/admin/login/?next=/admin/", fields, **more)


@pytest.fixture
def browser():
    return Client(enforce_csrf_checks=True)


def test_a_person_of_the_auth_service_sees_the_admin(place, browser):
    """Staff by role, permissions by group: the index, and the one model that the group may see."""
    clerks = Group.objects.create(name="Clerks")
    clerks.permissions.add(Permission.objects.get(codename="view_group"))
    answer = fill_in(browser)
    assert (302, "/admin/") == (answer.status_code, answer["Location"])
    page = browser.get("/admin/").content.decode()
    assert "Site administration" in page
    assert "/admin/auth/group/" in page
    assert "/admin/auth/user/" not in page
    assert 200 == browser.get("/admin/auth/group/").status_code
    assert 403 == browser.get("/admin/auth/user/").status_code


def test_signing_in_makes_a_new_session(place, browser):
    """What was there before, and who knew its id, is left behind; and the form needs its token."""
    browser.get("/admin/login/")
    session = browser.session
    session["cart"] = 1
    session.save()
    browser.cookies["sessionid"] = before = session.session_key
    assert 302 == fill_in(browser).status_code
    assert before != browser.cookies["sessionid"].value
    forged = Client(enforce_csrf_checks=True)
    fields = {"username": "root", "password": PASSWORD}
    assert 403 == forged.post("/admin/login/", fields).status_code


@pytest.mark.parametrize("password", ["wrong-password", "x" * 2000])
def test_a_wrong_password_is_djangos_own_sentence(place, browser, password):
    """Whatever was wrong."""
    answer = fill_in(browser, password)
    assert 200 == answer.status_code
    assert "Please enter the correct username and password" in answer.content.decode()


def fail(user, principal):
    """Go wrong where a sign-in is under way."""
    raise RuntimeError("in the project")


def test_an_error_page_shows_no_password(place, rf):
    """What Django mails to the admins of a sign-in that went wrong holds nothing secret."""
    mapping = parts().django
    parts().django = mapping.model_copy(update={"on_user": f"{__name__}.fail"})
    with pytest.raises(RuntimeError) as caught:
        sign_in()
    ours = caught.tb.tb_next.tb_next  # behind this test and its `sign_in`
    reporter = ExceptionReporter(rf.post("/"), caught.type, caught.value, ours)
    page = reporter.get_traceback_html()
    assert "in the project" in page
    assert PASSWORD not in page
    assert re.search(r"eyJ[\w-]+\.eyJ", page) is None


# --- outages


@pytest.fixture
def away(settings, clock):
    """An auth service that is not there, and can be."""
    with served_service(clock) as (_, served):
        settings.TOKENWARD = there(served.url)
        parts()
        served.stop()
        yield served


def test_an_outage_is_both_errors(away, caplog):
    """Whoever knows our errors sees a 503; the operator sees why; it is no wrong password."""
    with pytest.raises(AuthServiceUnavailable) as caught:
        sign_in()
    error = caught.value
    assert isinstance(error, SignInUnavailable)
    assert (503, "connect_failed") == (error.status_code, error.reason)
    assert [ALONE] == error.messages
    assert "Nobody can sign in" in caplog.text
    assert (None, None) == (error.__cause__, error.__context__)


def test_an_outage_asks_no_weaker_backend(away):
    """A row of the same name and password here is not who is meant."""
    User.objects.create_user("root", password=PASSWORD)
    with pytest.raises(AuthServiceUnavailable):
        sign_in()


def test_the_form_shows_a_sentence(away, browser):
    """Django's own login form, and the admin's; nothing says that the password is wrong."""
    form = AuthenticationForm(None, {"username": "root", "password": PASSWORD})
    assert not form.is_valid()
    assert [ALONE] == form.non_field_errors()
    answer = fill_in(browser)
    assert 200 == answer.status_code
    assert ALONE in answer.content.decode()
    assert "Please enter the correct" not in answer.content.decode()


def test_a_view_without_a_form_answers_503(away, settings, client):
    """Whoever does not look for it sends the answer of every outage."""
    settings.ROOT_URLCONF = __name__
    answer = client.get("/in", {"username": "root", "password": PASSWORD})
    assert (503, "temporarily_unavailable") == (answer.status_code, answer.json()["error"])
    assert "Retry-After" in answer
    assert "WWW-Authenticate" not in answer


def test_it_works_again_without_a_restart(away, browser):
    """The service comes back; the program that was started without it signs people in."""
    with pytest.raises(AuthServiceUnavailable):
        sign_in()
    away.start_again()
    assert "root" == sign_in().username


def test_throttling_is_both_errors():
    """The form says for how long."""
    error = SignInThrottled(89.2, "too fast")
    assert isinstance(error, TooManyAttempts)
    assert isinstance(error, ValidationError)
    assert (429, 89.2, "too fast") == (error.status_code, error.retry_after, error.hint)
    assert ["Too many attempts; try again in 90 seconds."] == error.messages
    assert ["Too many attempts; try again in 1 second."] == SignInThrottled(0.2).messages


@pytest.mark.parametrize("error", [SignInUnavailable("why", retry_after=7), SignInThrottled(7)])
@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))],  # noqa: S301
)
def test_both_survive_a_copy(error, copied):
    """Errors are handed between threads and out of caches."""
    other = copied(error)
    assert (type(error), str(error), error.retry_after, error.messages) == (
        type(other),
        str(other),
        other.retry_after,
        other.messages,
    )


def test_a_throttled_sign_in_is_said_to_be_one(settings, clock, browser):
    """From the service's 429 to the sentence in the form."""
    with served_service(clock) as (_, served):
        settings.TOKENWARD = there(served.url)

        def throttled(environ, start_response):
            start_response("429 Too Many Requests", [("Retry-After", "30")])
            return [b"{}"]

        served.app = throttled
        with pytest.raises(TooManyAttempts) as caught:
            sign_in()
        assert 30 == caught.value.retry_after
        settings.ROOT_URLCONF = __name__
        answer = Client().get("/in", {"username": "root", "password": PASSWORD})
        assert (429, "too_many_attempts") == (answer.status_code, answer.json()["error"])
        assert "try again in 30 seconds" in fill_in(browser).content.decode()


def test_an_attempt_counts_where_a_trusted_proxy_says_it_comes_from(settings, rf, caplog):
    """Whoever guesses behind the same proxy keeps nobody out; nobody else is believed."""
    settings.TOKENWARD = {
        "service": {
            "issuer": ISSUER,
            "audience": "shop",
            "store": "memory://",
            "password": {"bcrypt_cost": 4},
            "trusted_proxies": "10.0.0.0/8",
            "throttle": {"storage": "memory", "per_name_and_address": "1/5minutes"},
        },
    }
    parts().service.create_user("root", email="root@example.com", password=PASSWORD)
    caplog.set_level(logging.INFO, "tokenward.audit")

    def attempt(said, password=PASSWORD, peer="10.0.0.1"):
        asked = rf.post("/", REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR=said)
        return sign_in(password=password, request=asked)

    assert attempt("203.0.113.9", "wrong-password") is None
    with pytest.raises(SignInThrottled):
        attempt("203.0.113.9")
    with pytest.raises(SignInThrottled):
        attempt("198.51.100.7", peer="203.0.113.9")
    assert "root" == attempt("198.51.100.7").username
    audited = [json.loads(r.getMessage()) for r in caplog.records if r.name == "tokenward.audit"]
    assert [
        ("login_failed", "203.0.113.9"),
        *[("throttled", "203.0.113.9")] * 2,
        ("login_ok", "198.51.100.7"),
    ] == [(line["event"], line["peer"]) for line in audited if "peer" in line]


def test_a_store_that_raises_anything_is_an_outage(settings):
    """A store of the project's own is no wrong password either."""
    settings.TOKENWARD = {
        "service": {"issuer": ISSUER, "audience": "shop", "store": "memory://"},
    }

    def broken(credentials):
        raise RuntimeError("LEAK")

    parts().service.users.verify_credentials = broken
    with pytest.raises(AuthServiceUnavailable) as caught:
        sign_in()
    assert "RuntimeError" in caught.value.hint
    assert "LEAK" not in caught.value.hint


# --- what cannot be meant


def test_a_session_needs_a_row(settings):
    """Stateless users cannot sign in with a password, and are told so."""
    settings.TOKENWARD = {
        "service": {"issuer": ISSUER, "audience": "shop", "store": "memory://"},
        "django": {"user": "stateless"},
    }
    with pytest.raises(ConfigurationError, match="user = 'model'"):
        sign_in()


def test_with_nobody_to_ask_the_next_backend_is(caplog):
    """The people of Django's own tables come in all the same; the log says what to write."""
    local = User.objects.create_user("local", password=PASSWORD)
    assert local == sign_in("local")
    assert "has nobody to ask" in caplog.text


def test_a_weak_secret_key_stops_the_program(settings):
    """What seals the tokens in sessions must not be guessed."""
    settings.TOKENWARD = there("http://127.0.0.1:1")
    settings.SECRET_KEY = "changeme"
    with pytest.raises(ConfigurationError, match="SECRET_KEY"):
        parts()


def test_a_login_that_cannot_be_used_stops_the_program(settings):
    """An address that is no issuer of a service is said to be none, before anybody types."""
    settings.TOKENWARD = there("https://user@auth.example")
    with pytest.raises(ConfigurationError, match="issuer"):
        parts()


def test_an_account_of_this_project_signs_in(settings):
    """The service's users are the project's: the row is the account's own, and no other is made."""
    settings.TOKENWARD = {
        "service": {
            "issuer": ISSUER,
            "audience": "shop",
            "store": "memory://",
            "password": {"bcrypt_cost": 4},
        },
        "django": {"service_users": "model", "staff_roles": ["admin"]},
    }
    parts().service.create_user(
        "root", email="root@example.com", password=PASSWORD, roles=["admin"]
    )
    user = sign_in()
    assert (Account.objects.get().user, True) == (user, user.is_staff)
    assert 1 == User.objects.count()
