"""testing.signin: logins in Django's test clients, and in those of Django REST framework."""

import subprocess
import sys

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.test import AsyncClient, AsyncRequestFactory, Client, RequestFactory
from django.urls import path
from rest_framework.response import Response
from rest_framework.test import APIClient, APIRequestFactory
from rest_framework.views import APIView

from tokenward.authenticator import Authenticator, Credential, authorization
from tokenward.django.decorators import login_required, roles_required, scopes_required
from tokenward.django.drf import HasScopes, TokenwardAuthentication
from tokenward.errors import ConfigurationError, NotAuthenticated
from tokenward.principal import Principal
from tokenward.testing import StubVerifier, login_as, override_authenticator
from tokenward.wsgi import AuthMiddleware


def who(request):
    return HttpResponse(request.principal.subject or "nobody")


async def awho(request):
    return HttpResponse((await request.aprincipal()).subject or "nobody")


def name(request):
    kind = request.user.__class__.__name__
    return HttpResponse(f"{kind} {request.user.get_username()}")


class Orders(APIView):
    authentication_classes = (TokenwardAuthentication,)
    permission_classes = (HasScopes.of("read"),)

    def get(self, request):
        return Response(request.auth.subject)

    def post(self, request):
        return Response(request.data)


urlpatterns = [
    path("", login_required(who)),
    path("async", login_required(awho)),
    path("plain", who),
    path("read", scopes_required("read")(who)),
    path("edit", roles_required("editor")(who)),
    path("name", name),
    path("orders", Orders.as_view()),
]


def stub(**subjects):
    outcomes = {token: Principal(subject) for token, subject in subjects.items()}
    return Credential(authorization(), StubVerifier(outcomes))


@pytest.fixture(autouse=True)
def _project(settings):
    settings.ROOT_URLCONF = __name__
    settings.TOKENWARD = {"realm": "shop", "credentials": [], "django": {"user": "stateless"}}


def text(client, url="/", **options):
    """Ask by whatever client it is, and return the body of an answer that is one."""
    if isinstance(client, AsyncClient):

        async def ask():
            return await client.get(url, **options)

        response = async_to_sync(ask)()
    else:
        response = client.get(url, **options)
    return response.content.decode() if response.status_code == 200 else response.status_code


CLIENTS = [Client, AsyncClient, APIClient]


@pytest.mark.parametrize("make", CLIENTS)
class TestClients:
    def test_a_login_takes_effect_at_once_and_until_it_is_undone(self, make):
        """No ``with`` is needed; undone again, it does nothing."""
        client = make()
        login = login_as(client, "alice")
        assert text(client) == text(client, "/async") == text(client, "/plain") == "alice"
        login.undo()
        assert (text(client), text(client, "/plain")) == (401, "nobody")
        login.undo()
        assert text(client) == 401

    def test_a_client_is_logged_in_alone(self, make):
        """Two people, two clients, one project; and one who has only a token."""
        alice, bob, nobody = make(), make(), make()
        with login_as(alice, "alice"), login_as(bob, "bob"):
            assert [text(client) for client in (alice, bob, nobody)] == ["alice", "bob", 401]
        assert [text(client) for client in (alice, bob, nobody)] == [401, 401, 401]

    def test_logins_of_one_client_are_stacked(self, make):
        """Undoing the inner one brings the outer one back."""
        client = make()
        with login_as(client, "alice"):
            with login_as(client, "admin"):
                assert text(client) == "admin"
            assert text(client) == "alice"
        assert text(client) == 401

    def test_logins_end_in_any_order(self, make):
        """Each takes back only itself."""
        one, two = make(), make()
        first, second = login_as(one, "first"), login_as(two, "second")
        first.undo()
        assert (text(one), text(two)) == (401, "second")
        second.undo()
        assert text(two) == 401

    def test_an_undone_login_leaves_nothing_behind(self, make):
        """What the client sent before, and nothing else."""
        client = make(HTTP_X_OWN="1") if make is not AsyncClient else make()
        client.cookies["theme"] = "dark"
        before = dict(client.defaults), client.cookies.output()
        login_as(client, "alice").undo()
        assert before == (client.defaults, client.cookies.output())

    def test_the_real_decorators_and_permissions_decide(self, make):
        """Scopes and roles are checked, and the answers are the real ones."""
        client = make()
        with login_as(client, "alice", scopes={"read"}):
            assert text(client, "/read") == text(client, "/orders").strip('"') == "alice"
            assert text(client, "/edit") == 403
        with login_as(client, "alice", roles=["editor"]):
            assert text(client, "/edit") == "alice"
            assert text(client, "/read") == text(client, "/orders") == 403

    def test_the_real_mapping_makes_the_user(self, make):
        """``request.user`` is what a token's user would be."""
        client = make()
        with login_as(client, Principal("1f", username="alice")):
            assert text(client, "/name") == "StatelessUser alice"

    def test_a_login_goes_before_a_presented_token(self, make):
        """The test says who asks; what else is sent is still there."""
        client = make()
        client.cookies["theme"] = "dark"
        with login_as(client, "alice"):
            assert text(client, headers={"Authorization": "Bearer bad"}) == "alice"
            assert text(client, headers={"X-Other": "1"}) == "alice"
        assert client.cookies["theme"].value == "dark"

    def test_where_the_project_says_nothing_of_tokenward_it_says_so(self, make, settings):
        """A login without effect would make a test pass for the wrong reason."""
        del settings.TOKENWARD
        with pytest.raises(ConfigurationError, match=r"settings\.TOKENWARD is missing"):
            login_as(make(), "alice")


def test_the_fixture_ends_with_the_test(login_as, client, async_client):
    """It takes pytest-django's clients too."""
    login = login_as(client, "alice", scopes=["read"])
    assert login.principal == Principal("alice", scopes={"read"})
    login_as(async_client, "bob")
    assert (text(client, "/read"), text(async_client)) == ("alice", "bob")


def test_nobody_can_log_in_by_a_ticket_they_guess(client):
    """Only the client that was logged in knows its own."""
    login_as(Client(), "alice")
    client.cookies["tokenward-test-login"] = "alice"
    assert text(client, headers={"Tokenward-Test-Login": "alice"}) == 401


def test_a_login_needs_no_proof_of_the_site():
    """It stands for a token in Authorization, where Django asks for no form's token either."""
    for make in (Client, APIClient):
        client = make(enforce_csrf_checks=True)
        with login_as(client, "alice", scopes={"read"}):
            response = client.post("/orders", {"a": "1"})
            assert (response.status_code, response.json()) == (200, {"a": ["1"]} | response.json())
            assert client.post("/").content == b"alice"


@pytest.mark.django_db
def test_the_real_mapping_makes_a_row(client, settings):
    """Where users have one, and then it is that of every request."""
    settings.TOKENWARD = {"realm": "shop", "credentials": []}
    with login_as(client, Principal("1f", issuer="https://as.example", username="alice")):
        assert text(client, "/name") == text(client, "/name") == "User alice"
    assert User.objects.count() == 1


def test_a_refusal_is_the_real_one(client):
    """With the project's realm and the scopes that are missing."""
    login_as(client, "alice")
    response = client.get("/orders")
    assert 'Bearer realm="shop"' in response.headers["WWW-Authenticate"]
    assert 'scope="read"' in response.headers["WWW-Authenticate"]
    assert response.headers["Vary"] == "Authorization"


@pytest.mark.parametrize("make", [RequestFactory, APIRequestFactory])
def test_a_request_factory_makes_requests_of_somebody(make):
    """Without any middleware."""
    factory = make()
    view = login_required(lambda request: HttpResponse("in"))
    with login_as(factory, "alice"):
        assert view(factory.get("/")).content == b"in"
        with pytest.raises(NotAuthenticated):
            view(make().get("/"))
    with pytest.raises(NotAuthenticated):
        view(factory.get("/"))


def test_an_asynchronous_request_factory_makes_requests_of_somebody():
    """The same, for views that are coroutine functions."""
    factory = AsyncRequestFactory()

    @login_required
    async def view(request):
        return HttpResponse("in")

    with login_as(factory, "alice"):
        assert async_to_sync(view)(factory.get("/")).content == b"in"
    with pytest.raises(NotAuthenticated):
        async_to_sync(view)(factory.get("/"))


@pytest.mark.parametrize("wrap", [lambda app: app, lambda app: AuthMiddleware(app, nobody())])
def test_the_application_is_logged_in_for_all(wrap):
    """Django's own, and what stands around it."""
    application = WSGIHandler()
    with login_as(wrap(application), "alice"):
        assert text(Client()) == text(AsyncClient()) == text(APIClient()) == "alice"
    assert text(Client()) == 401


def nobody():
    return Authenticator(stub(), default_access="deny")


def test_an_override_replaces_the_projects_authenticator(client, async_client):
    """With its own realm and rules; and ends."""
    other = Authenticator(stub(other="dora"), realm="other", default_access="deny")
    headers = {"Authorization": "Bearer other"}
    for tried in (client, async_client, APIClient()):
        with override_authenticator(other):
            assert text(tried, headers=headers) == "dora"
            assert text(tried, "/plain") == 401
            refused = client.get("/plain")
            assert refused.headers["WWW-Authenticate"] == 'Bearer realm="other"'
        assert text(tried, headers=headers) == 401
        assert text(tried, "/plain") == "nobody"


def test_importing_it_imports_no_framework():
    """A test run without Django pays nothing for it."""
    program = (
        "import sys, tokenward.testing.signin\n"
        "print(sorted({'django', 'asgiref', 'rest_framework', 'flask'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=150
    )
    assert done.stdout.strip() == "[]"


def test_what_can_be_handed_in_is_said():
    """In the error about what cannot."""
    with pytest.raises(ConfigurationError, match="a test client of Django or of Django REST"):
        login_as(object(), "alice")
