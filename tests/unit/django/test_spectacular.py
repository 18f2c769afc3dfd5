"""tokenward.django.spectacular: what a schema says of our authentication class."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from django.urls import path
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.settings import patched_settings
from drf_spectacular.validation import validate_schema
from rest_framework import generics, serializers
from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import AllowAny, IsAdminUser, IsAuthenticated

from tokenward.authenticator import Authenticator, Credential, authorization, cookie, header
from tokenward.django import spectacular
from tokenward.django.drf import HasRoles, HasScopes, TokenwardAuthentication
from tokenward.errors import ConfigurationError
from tokenward.testing import StubVerifier, override_authenticator

BEARER = {"type": "http", "scheme": "bearer"}
READ, WRITE = HasScopes.of("read"), HasScopes.of("write", "admin")
X, Y = HasScopes.of("x"), HasScopes.of("y")


class Live(TokenwardAuthentication):
    live = True


class Order(serializers.Serializer):
    name = serializers.CharField()


class Orders(generics.CreateAPIView):
    authentication_classes = (TokenwardAuthentication,)
    permission_classes = (IsAuthenticated,)
    serializer_class = Order
    schema = AutoSchema()


def schema_of(**options):
    """Generate the schema of a project with one view, and have it validated."""
    GENERATOR_STATS.reset()
    generator = SchemaGenerator(patterns=[path("orders", Orders.as_view(**options))])
    schema = generator.get_schema(request=None, public=True)
    validate_schema(schema)
    assert not GENERATOR_STATS
    return schema


def security_of(**options):
    return schema_of(**options)["paths"]["/orders"]["post"]["security"]


@pytest.fixture(autouse=True)
def _project():
    assert spectacular.TokenwardScheme.target_class
    with override_authenticator(Authenticator(Credential(authorization(), StubVerifier({})))):
        yield


def places(*sources):
    credentials = (Credential(source, StubVerifier({})) for source in sources)
    return override_authenticator(Authenticator(*credentials))


def test_a_bearer_token_is_described():
    """As OpenAPI has it, and by a name of its own; subclasses too."""
    for one in (TokenwardAuthentication, Live):
        schema = schema_of(authentication_classes=[one])
        assert schema["components"]["securitySchemes"] == {"tokenward": BEARER}
        assert schema["paths"]["/orders"]["post"]["security"] == [{"tokenward": []}]


def test_cookies_and_headers_are_described_where_they_are_read():
    """Each is a way of its own, and any one of them will do."""
    with places(authorization(), header("X-Api-Token"), cookie("__Host-shop"), cookie("a!b")):
        schema = schema_of()
    assert schema["components"]["securitySchemes"] == {
        "tokenward": BEARER,
        "tokenward.header.X-Api-Token": {"type": "apiKey", "in": "header", "name": "X-Api-Token"},
        "tokenward.cookie.__Host-shop": {"type": "apiKey", "in": "cookie", "name": "__Host-shop"},
        "tokenward.cookie.a_b": {"type": "apiKey", "in": "cookie", "name": "a!b"},
    }
    ways = [name for way in schema["paths"]["/orders"]["post"]["security"] for name in way]
    assert ways == [
        "tokenward",
        "tokenward.header.X-Api-Token",
        "tokenward.cookie.__Host-shop",
        "tokenward.cookie.a_b",
    ]


def test_a_bearer_token_that_is_not_read_is_not_described():
    """A site for browsers alone."""
    with places(cookie("shop")):
        assert list(schema_of()["components"]["securitySchemes"]) == ["tokenward.cookie.shop"]


def test_where_nothing_is_read_yet_a_bearer_token_is_described():
    """A project that is being set up."""
    with override_authenticator(Authenticator()):
        assert security_of() == [{"tokenward": []}]


def test_a_place_that_openapi_has_no_word_for_is_left_out():
    """A source of the project's own."""
    own = SimpleNamespace(place="forms", reads="", ambient=False, declarable=True)
    with places(own, cookie("shop")):
        assert security_of() == [{"tokenward.cookie.shop": []}]


def test_other_classes_keep_their_own():
    """And who need be nobody is told so."""
    beside = [TokenwardAuthentication, SessionAuthentication]
    security = security_of(authentication_classes=beside, permission_classes=[AllowAny])
    assert security == [{"tokenward": []}, {"cookieAuth": []}, {}]


SCOPES = {
    "none": ([IsAuthenticated], [[]]),
    "nothing": ([], [[]]),
    "all of them": ([WRITE], [["admin", "write"]]),
    "any of them": ([HasScopes.any_of("b", "a")], [["b"], ["a"]]),
    "a list": ([IsAuthenticated, READ, WRITE], [["admin", "read", "write"]]),
    "both": ([READ & WRITE & IsAuthenticated], [["admin", "read", "write"]]),
    "either": ([READ | WRITE], [["read"], ["admin", "write"]]),
    "either, or somebody else": ([READ | IsAdminUser], [["read"], []]),
    "either, and one more": ([(READ | X) & Y], [["read", "y"], ["x", "y"]]),
    "the same twice": ([READ, READ | READ], [["read"]]),
    "not": ([~READ], [[]]),
    "roles": ([HasRoles.of("editor")], [[]]),
}


@pytest.mark.parametrize(("permissions", "expected"), SCOPES.values(), ids=SCOPES)
def test_scopes_are_shown_where_openapi_has_a_place_for_them(permissions, expected):
    """From 3.1 on; in 3.0 the list belongs to OAuth 2 alone and stays empty."""
    with patched_settings({"OAS_VERSION": "3.1.0"}):
        security = security_of(permission_classes=permissions)
    assert security == [{"tokenward": scopes} for scopes in expected]
    assert {"tokenward": []} in security_of(permission_classes=permissions)


def test_the_scopes_of_a_view_are_shown_too():
    """Where the permission class is bare."""
    Orders.required_scopes = ["write"]
    try:
        with patched_settings({"OAS_VERSION": "3.1.0"}):
            assert security_of(permission_classes=[HasScopes]) == [{"tokenward": ["write"]}]
    finally:
        del Orders.required_scopes


def test_a_view_that_names_none_is_found_while_the_schema_is_made():
    """It would fail on every request."""
    with (
        patched_settings({"OAS_VERSION": "3.1.0"}),
        pytest.raises(ConfigurationError, match="Orders demands HasScopes"),
    ):
        security_of(permission_classes=[HasScopes])


WITH = """
from shop import settings
settings.INSTALLED_APPS += ["rest_framework", "drf_spectacular"]
entry = {"type": "jwks", "issuer": "https://as.example", "audience": "api"}
settings.TOKENWARD = {"credentials": [entry]}
import django
django.setup()
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from tokenward.django.drf import TokenwardAuthentication
print(type(OpenApiAuthenticationExtension.get_match(TokenwardAuthentication())).__name__)
"""
WITHOUT = """
import sys
sys.modules["rest_framework"] = sys.modules["drf_spectacular"] = None
import django
django.setup()
from tokenward.django import decorators, middleware, signals
try:
    import tokenward.django.drf
except ModuleNotFoundError as error:
    print(error.name.partition(".")[0])
"""


@pytest.mark.parametrize(
    ("program", "said"), [(WITH, "TokenwardScheme"), (WITHOUT, "rest_framework")]
)
def test_the_django_app_registers_it_and_does_not_need_it(program, said):
    """A project without Django REST framework and drf-spectacular starts, too."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=150, env=environment
    )
    assert (done.stdout.strip(), done.stderr) == (said, "")
