"""What an application that only verifies tokens loads: its verifiers, and nothing of a service."""

import pytest
from fresh_interpreter import loaded_by

import tokenward.flask
from tokenward.flask import _service

# Coverage's own start in a subprocess imports some of what is looked for here.

OF_A_SERVICE = {
    *("tokenward.service", "tokenward.endpoints", "tokenward.schemas", "tokenward.repositories"),
    *("tokenward.passwords", "tokenward.keys", "tokenward.tokens", "tokenward.throttle"),
    *("tokenward.service_client", "email_validator", "sqlite3", "limits", "pymongo"),
}
OF_VERIFIERS = {
    *("tokenward.jwks", "tokenward.introspection", "tokenward.cloudflare", "tokenward.by_issuer"),
    *("tokenward._http", "tokenward._jose", "tokenward._seal", "tokenward.redis_cache"),
    *("requests", "urllib3", "jwt", "cryptography", "bcrypt"),
}

INTROSPECTION = {
    "type": "introspection",
    "introspection_endpoint": "https://as.example/introspect",
    "audience": "api",
    "client_auth": {
        "method": "client_secret_basic",
        "client_id": "api",
        "client_secret": "nine lanterns over the mill",
    },
}
JWKS = {"type": "jwks", "issuer": "https://as.example", "audience": "api"}
SECRET = "gale-0713-thirty-five-lanterns-over-Quay-9"
SHARED_SECRET = {
    "type": "shared_secret",
    "secret": SECRET,
    "issuer": "https://gate.example",
    "audience": "api",
}

FLASK = """
from flask import Flask
from tokenward.flask import Tokenward, login_required

app = Flask("shop")
app.config["TOKENWARD"] = {"credentials": CREDENTIALS}
Tokenward(app)

@app.get("/")
@login_required
def mine():
    return "mine"
"""

DJANGO = """
import types, sys
from django.conf import settings
from django.http import HttpResponse
from django.urls import path

urls = types.ModuleType("shop_urls")
sys.modules["shop_urls"] = urls
settings.configure(
    SECRET_KEY="x" * 50,
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF="shop_urls",
    INSTALLED_APPS=[
        "django.contrib.auth", "django.contrib.contenttypes", "rest_framework", "tokenward.django"
    ],
    MIDDLEWARE=["tokenward.django.middleware.TokenwardMiddleware"],
    TOKENWARD={"credentials": CREDENTIALS, "django": {"user": "stateless"}},
)
import django
django.setup()

import tokenward.django.drf
from tokenward.django.decorators import login_required

@login_required
def mine(request):
    return HttpResponse("mine")

urls.urlpatterns = [path("", mine)]

from django.core.wsgi import get_wsgi_application
app = get_wsgi_application()
"""

ANSWER = """
import time, jwt
from wsgiref.util import setup_testing_defaults
said = {"iss": "https://gate.example", "aud": "api", "sub": "u1", "exp": int(time.time()) + 60}
environ = {"HTTP_AUTHORIZATION": "Bearer " + jwt.encode(said, SECRET)}
setup_testing_defaults(environ)
assert b"mine" == b"".join(app(environ, lambda status, headers: None))
"""


def shop(framework, *credentials):
    """Return a program with one protected view, before anybody called it."""
    return f"CREDENTIALS = {list(credentials)!r}\nSECRET = {SECRET!r}\n{framework}"


@pytest.mark.parametrize(
    "script",
    [
        "import tokenward.flask",
        "import tokenward.wsgi",
        "import tokenward.config",
        # Without an entry, the middleware has nothing to build, which is warned of.
        f"import logging; logging.disable()\n{shop(DJANGO)}",
    ],
    ids=["flask", "wsgi", "config", "django and rest_framework"],
)
def test_an_adapter_alone_loads_no_verifier_and_nothing_of_a_service(script):
    """What is not configured is not loaded, neither ours nor the libraries it would need."""
    assert set() == loaded_by(script) & (OF_A_SERVICE | OF_VERIFIERS)


@pytest.mark.parametrize("framework", [FLASK, DJANGO], ids=["flask", "django"])
def test_a_request_with_a_token_is_answered_without_anything_of_a_service(framework):
    """Not even the first request of an application that verifies tokens loads it."""
    loaded = loaded_by(shop(framework, SHARED_SECRET) + ANSWER)

    assert set() == loaded & OF_A_SERVICE
    assert "tokenward.jwks" in loaded


@pytest.mark.parametrize(
    ("entry", "needs"),
    [
        (INTROSPECTION, {"tokenward.introspection", "tokenward._http", "requests", "urllib3"}),
        (
            JWKS,
            {"tokenward.jwks", "tokenward._http", "tokenward._jose", "requests", "urllib3", "jwt"}
            | {"cryptography"},
        ),
    ],
    ids=["introspection", "jwks"],
)
def test_an_entry_loads_what_it_needs(entry, needs):
    """A kind of entry brings its own verifier, and not the others'."""
    loaded = loaded_by(shop(FLASK, entry)) & (OF_A_SERVICE | OF_VERIFIERS)
    # Where bcrypt is installed, cryptography loads it by itself, for OpenSSH's keys.
    by_others = {"bcrypt"} if "cryptography" in needs else set()

    assert needs == loaded - by_others


def test_an_import_makes_no_validators():
    """Those of the settings are made when the first are read, and then only the ones needed."""
    script = """
from tokenward.config import Settings
from tokenward.config.settings import ServiceSection
from tokenward.config.settings.fields import Section

def made(section):
    below = [name for one in section.__subclasses__() for name in made(one)]
    return [section.__name__, *below] if section.__pydantic_complete__ else below

assert [] == made(Section), made(Section)
Settings.model_validate({})
assert Settings.__pydantic_complete__
assert not ServiceSection.__pydantic_complete__
"""
    loaded_by(script)


def test_the_first_settings_may_be_read_by_many_threads():
    """Whoever makes the validators, everybody reads the same."""
    script = """
import sys, threading
from tokenward.config import Settings

sys.setswitchinterval(1e-6)
start, read = threading.Barrier(12), []

def go():
    start.wait()
    service = {"issuer": "https://a.example", "audience": "x", "store": "memory://"}
    read.append(Settings.model_validate({"service": service, "django": {}}))

threads = [threading.Thread(target=go) for _ in range(12)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert [read[0]] * 12 == read
"""
    loaded_by(script)


def test_the_blueprint_is_loaded_when_it_is_asked_for():
    """It stands in the adapter like every other public name."""
    namespace = {}
    exec("from tokenward.flask import *", namespace)  # noqa: S102 - the statement is what is tried

    assert _service.auth_service_blueprint is tokenward.flask.auth_service_blueprint
    assert {*tokenward.flask.__all__} == namespace.keys() - {"__builtins__"}
    assert {*tokenward.flask.__all__} <= {*dir(tokenward.flask)}


def test_other_names_of_the_flask_adapter():
    """A name that is not there is an AttributeError, so that ``hasattr`` works."""
    assert not hasattr(tokenward.flask, "nothing")
    with pytest.raises(AttributeError, match=r"'tokenward\.flask' has no attribute 'nothing'"):
        _ = tokenward.flask.nothing
