"""{% load tokenward %} and the context processor: what a template knows of who asks."""

import pytest
from django.template import Context, Template
from django.template.loader import get_template
from django.template.response import TemplateResponse
from django.test import Client, RequestFactory
from django.urls import path
from django.utils.functional import SimpleLazyObject

from tokenward.authenticator import Authenticator, Credential, authorization
from tokenward.django.context_processors import tokenward
from tokenward.errors import AuthServiceUnavailable, TokenExpired
from tokenward.principal import ANONYMOUS, Principal
from tokenward.testing import StubVerifier, override_authenticator

ALICE = Principal("alice", scopes={"orders:read", "orders:write"}, roles={"editor"})


@pytest.fixture
def verifier():
    """Have a stub decide."""
    stub = StubVerifier(
        {"alice": ALICE, "old": TokenExpired(), "down": AuthServiceUnavailable(retry_after=7)}
    )
    with override_authenticator(Authenticator(Credential(authorization(), stub))):
        yield stub


@pytest.fixture
def page(settings, verifier):
    """Return a function that renders a template's text as the answer to a request."""

    def page(text, token=None):
        def view(request):
            return TemplateResponse(request, engine(text))

        settings.ROOT_URLCONF = type("urls", (), {"urlpatterns": [path("", view)]})
        headers = {} if token is None else {"HTTP_AUTHORIZATION": f"Bearer {token}"}
        return Client().get("/", **headers)

    def engine(text):
        base = get_template("admin/base.html").backend
        return base.from_string(text)

    return page


def rendered(expression, **values):
    text = f"{{% load tokenward %}}{{% if {expression} %}}yes{{% else %}}no{{% endif %}}"
    return Template(text).render(Context(values))


# --- filters ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('principal|has_scope:"orders:read"', "yes"),
        ('principal|has_scope:"orders:read orders:write"', "yes"),
        ('principal|has_scope:"  orders:write  orders:read "', "yes"),
        ('principal|has_scope:"orders:read orders:delete"', "no"),
        ('principal|has_scope:"orders"', "no"),
        ('principal|has_scope:"editor"', "no"),
        ('principal|has_scope:""', "no"),
        ('principal|has_role:"editor"', "yes"),
        ('principal|has_role:"editor owner"', "no"),
        ('principal|has_role:"orders:read"', "no"),
        ('principal|has_role:" "', "no"),
    ],
)
@pytest.mark.parametrize(
    "principal",
    [ALICE, SimpleLazyObject(lambda: ALICE)],
    ids=["principal", "lazy"],
)
def test_every_name_has_to_be_granted(principal, expression, expected):
    """Names are separated by spaces; none is no question, and nothing is granted by it."""
    assert expected == rendered(expression, principal=principal)


@pytest.mark.parametrize(
    "who", [ANONYMOUS, SimpleLazyObject(lambda: ANONYMOUS), None, "", object()]
)
@pytest.mark.parametrize("name", ["has_scope", "has_role"])
def test_nobody_is_granted_anything(who, name):
    """Neither `ANONYMOUS`, nor what is no principal at all."""
    assert "no" == rendered(f'principal|{name}:"orders:read"', principal=who)


@pytest.mark.parametrize("name", ["has_scope", "has_role"])
def test_a_template_without_a_principal_grants_nothing(name):
    """The context processor is not there, say."""
    assert "no" == rendered(f'principal|{name}:"orders:read"')


def test_names_may_come_from_a_variable():
    """As an argument of any filter."""
    assert "yes" == rendered("principal|has_scope:wanted", principal=ALICE, wanted="orders:read")


# --- context processor --------------------------------------------------------------------------


def test_a_template_knows_the_principal(page):
    """Without the view's doing."""
    text = '{% load tokenward %}{{ principal.subject }} {{ principal|has_scope:"orders:read" }}'
    assert b"alice True" == page(text, "alice").content
    assert b" False" == page(text).content


def test_nothing_is_verified_unless_the_template_looks(page, verifier):
    """The token may be anything: nobody asked."""
    assert b"hello" == page("hello", "old").content
    assert [] == verifier.calls
    page("{{ principal.subject }}{{ principal.subject }}", "alice")
    assert [("alice", False)] == verifier.calls


@pytest.mark.parametrize(("token", "status"), [("old", 401), ("down", 503)])
@pytest.mark.parametrize(
    "text",
    ["{{ principal.subject }}", '{% load tokenward %}{% if principal|has_scope:"a" %}{% endif %}'],
)
def test_what_is_refused_is_answered_as_everywhere(page, token, status, text):
    """A template that looks at it is no place to look away."""
    assert status == page(text, token).status_code


def test_without_the_middleware_it_is_nobody():
    """An error page of Django's, say."""
    assert {"principal": ANONYMOUS} == tokenward(RequestFactory().get("/"))


def test_the_processor_hands_on_what_the_request_has(rf):
    """Itself, and not what is behind it."""
    request = rf.get("/")
    request.principal = SimpleLazyObject(lambda: pytest.fail("somebody looked"))
    assert request.principal is tokenward(request)["principal"]
