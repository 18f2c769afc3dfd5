"""RFC 8414, OAuth 2.0 Authorization Server Metadata: what we publish."""

import json

import pytest

from tokenward.endpoints import Request, dispatch, routes
from tokenward.errors import ConfigurationError
from tokenward.keys import KeyRing
from tokenward.repositories import open_repositories
from tokenward.service import AuthService

WELL_KNOWN = ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"]


def service_at(issuer):
    stores = open_repositories("memory://", bcrypt_cost=4)
    return AuthService(
        stores.users,
        keys=KeyRing.generate(),
        tokens=stores.tokens,
        issuer=issuer,
        audience="orders",
    )


def get(service, path):
    answer = dispatch(service, Request("GET", path, {}), routes(service))
    return answer.status, json.loads(answer.body), dict(answer.headers)


def test_2_members_are_those_that_are_true():
    """What is not there is not named: no authorization endpoint, no token endpoint yet."""
    assert service_at("https://auth.example").metadata() == {
        "issuer": "https://auth.example",
        "jwks_uri": "https://auth.example/.well-known/jwks.json",
        "introspection_endpoint": "https://auth.example/introspect",
        "introspection_endpoint_auth_methods_supported": [
            "client_secret_basic",
            "client_secret_post",
        ],
        "response_types_supported": [],
        "grant_types_supported": [],
        "subject_types_supported": ["public"],
    }


@pytest.mark.parametrize("issuer", ["https://auth.example", "https://example.com/auth/one"])
def test_2_every_named_url_answers(issuer):
    """A URL in the document leads to one of our endpoints; where its path is passed on whole."""
    service = service_at(issuer)
    host = "https://" + issuer.split("/")[2]
    named = [v for n, v in service.metadata().items() if n.endswith(("_uri", "_endpoint"))]
    assert len(named) == 2
    for url in named:
        assert get(service, url.removeprefix(host))[0] != 404


@pytest.mark.parametrize("issuer", ["https://auth.example?x=1", "https://auth.example#x"])
def test_2_issuer_has_no_query_and_no_fragment(issuer):
    """It stops start-up."""
    with pytest.raises(ConfigurationError):
        service_at(issuer)


@pytest.mark.parametrize("path", WELL_KNOWN)
def test_3_1_issuer_without_a_path(path):
    """Directly below /.well-known/."""
    status, document, _ = get(service_at("https://auth.example"), path)
    assert (status, document["issuer"]) == (200, "https://auth.example")


@pytest.mark.parametrize("name", WELL_KNOWN)
@pytest.mark.parametrize("path", ["/tenant", "/a/b"])
def test_3_1_issuer_with_a_path(name, path):
    """Between host and path (RFC 8414), and after the path (OpenID Connect Discovery, 4)."""
    service = service_at(f"https://example.com{path}")
    for place in (name + path, path + name):
        status, document, _ = get(service, place)
        assert (status, document["issuer"]) == (200, f"https://example.com{path}")


@pytest.mark.parametrize("name", WELL_KNOWN)
def test_3_1_terminating_slash_is_removed_first(name):
    """Any terminating "/" is removed before the well-known part is put in."""
    service = service_at("https://example.com/tenant/")
    assert get(service, f"{name}/tenant")[1]["issuer"] == "https://example.com/tenant/"
    assert service.metadata()["jwks_uri"] == "https://example.com/tenant/.well-known/jwks.json"


@pytest.mark.parametrize("path", [*WELL_KNOWN, "/.well-known/jwks.json"])
def test_3_2_answer_is_json_that_may_be_kept(path):
    """200, application/json; public data, so that others need not fetch it each time."""
    status, document, headers = get(service_at("https://auth.example"), path)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert headers["Cache-Control"] == "public, max-age=300"
    assert isinstance(document, dict)


def test_3_3_issuer_is_exactly_the_one_in_our_tokens():
    """Whoever compares the two code point by code point finds them equal."""
    service = service_at("https://Auth.example/x/")
    assert service.metadata()["issuer"] == service.issuer == "https://Auth.example/x/"


def test_jwk_set_holds_public_keys_only():
    """RFC 7517, section 5: what others verify with, and not a byte of what we sign with."""
    _, document, _ = get(service_at("https://auth.example"), "/.well-known/jwks.json")
    assert document["keys"]
    private = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
    for key in document["keys"]:
        assert private.isdisjoint(key)
        assert (key["use"], key["alg"]) == ("sig", "ES256")
