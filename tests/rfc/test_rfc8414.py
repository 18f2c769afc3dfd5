"""RFC 8414, OAuth 2.0 Authorization Server Metadata: what we publish, and what we read.

Beside it OpenID Connect Discovery 1.0, which puts the same document elsewhere, and RFC 8705,
section 5.
"""

import json

import pytest
from service_callers import SECRET, make_service
from sites import Site, said

from tokenward import _jose
from tokenward.client_auth import ClientSecretBasic, ClientSecretPost
from tokenward.clients import Client
from tokenward.endpoints import Request, dispatch, routes
from tokenward.errors import AuthServiceUnavailable, ConfigurationError
from tokenward.jwks import JWKSVerifier
from tokenward.keys import KeyRing
from tokenward.metadata import IssuerMetadata, Metadata
from tokenward.protocols import Response
from tokenward.repositories import open_repositories
from tokenward.service import AuthService
from tokenward.tokens import create_access_token

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


METHODS = ["client_secret_basic", "client_secret_post", "private_key_jwt"]


def test_2_members_are_those_that_are_true():
    """What is not there is not named: no authorization endpoint, and no scope that nobody has."""
    algorithms = sorted(_jose.ASYMMETRIC)
    assert service_at("https://auth.example").metadata() == {
        "issuer": "https://auth.example",
        "jwks_uri": "https://auth.example/.well-known/jwks.json",
        "service_documentation": "https://auth.example/docs",
        "token_endpoint": "https://auth.example/token",
        "token_endpoint_auth_methods_supported": METHODS,
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_endpoint": "https://auth.example/introspect",
        "introspection_endpoint_auth_methods_supported": METHODS,
        "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
        "revocation_endpoint": "https://auth.example/revoke",
        "revocation_endpoint_auth_methods_supported": METHODS,
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
        "response_types_supported": [],
        "grant_types_supported": [],
        "subject_types_supported": ["public"],
    }


def test_2_scopes_are_those_of_all_clients():
    """Each of them once; what one client may have is supported."""
    service = make_service(
        clients=[
            Client("a", SECRET, scopes=["write", "read"]),
            Client("b", SECRET, scopes=["read", "admin"]),
            Client("c", SECRET),
        ]
    )
    assert service.metadata()["scopes_supported"] == ["admin", "read", "write"]


@pytest.mark.parametrize(
    ("grants", "lifetime", "supported"),
    [
        ([[], []], 3_600, []),
        ([["client_credentials"], []], 3_600, ["client_credentials"]),
        (
            [["refresh_token"], ["client_credentials"]],
            3_600,
            ["client_credentials", "refresh_token"],
        ),
        ([["refresh_token"], ["client_credentials"]], 0, ["client_credentials"]),
        ([["refresh_token"]], None, []),
        ([["refresh_token"]], 3_600, ["refresh_token"]),
    ],
)
def test_2_grants_are_those_that_some_client_is_granted(grants, lifetime, supported):
    """At the token endpoint; nobody refreshes there where no refresh token is handed out."""
    clients = [Client(f"client{n}", SECRET, grants=named) for n, named in enumerate(grants)]
    service = make_service(clients=clients, refresh_token_lifetime=lifetime)

    assert supported == service.metadata()["grant_types_supported"]


@pytest.mark.parametrize("issuer", ["https://auth.example", "https://example.com/auth/one"])
def test_2_every_named_url_answers(issuer):
    """A URL in the document leads to one of our endpoints; where its path is passed on whole."""
    service = service_at(issuer)
    host = "https://" + issuer.split("/")[2]
    ends = ("_uri", "_endpoint", "_documentation")
    named = [v for n, v in service.metadata().items() if n.endswith(ends)]
    assert len(named) == 5
    for url in named:
        answer = dispatch(service, Request("GET", url.removeprefix(host), {}), routes(service))
        assert answer.status in {200, 405}


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


# --- what we read


def read(issuer, **pages):
    """Return the metadata of an issuer, and the site it asks."""
    site = Site(**pages)
    return IssuerMetadata(issuer, transport=site), site


def missed(call, *args):
    """Return the outage in which a call ends."""
    with pytest.raises(AuthServiceUnavailable) as caught:
        call(*args)
    return caught.value


@pytest.mark.parametrize(
    ("issuer", "places"),
    [
        (
            "https://example.com",
            [
                "https://example.com/.well-known/oauth-authorization-server",
                "https://example.com/.well-known/openid-configuration",
            ],
        ),
        (
            "https://example.com/issuer1",
            [
                "https://example.com/.well-known/oauth-authorization-server/issuer1",
                "https://example.com/issuer1/.well-known/openid-configuration",
                "https://example.com/.well-known/openid-configuration/issuer1",
            ],
        ),
        (
            "https://example.com:8443/a/b",
            [
                "https://example.com:8443/.well-known/oauth-authorization-server/a/b",
                "https://example.com:8443/a/b/.well-known/openid-configuration",
                "https://example.com:8443/.well-known/openid-configuration/a/b",
            ],
        ),
    ],
)
@pytest.mark.parametrize("slash", ["", "/"])
def test_3_1_places_in_their_order(issuer, places, slash):
    """Between host and path; behind the path (OpenID); a terminating slash is removed first."""
    issuer += slash
    for number, place in enumerate(places):
        metadata, site = read(issuer, **{place: {"issuer": issuer}})
        assert issuer == metadata.get().issuer
        assert places[: number + 1] == site.asked


def test_3_1_request_is_a_get_for_json():
    """Without anything that belongs to a client."""
    metadata, site = read("https://example.com")
    missed(metadata.get)

    assert {("GET", None)} == {(request.method, request.form) for request in site.sent}
    assert {("Accept", "application/json")} == {*site.sent[0].headers.items()}


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8"])
def test_3_2_answer_is_a_200_with_json(content_type):
    """Parameters and case of the content type mean nothing."""
    place = "https://example.com/.well-known/oauth-authorization-server"
    page = said({"issuer": "https://example.com"}, content_type=content_type)
    metadata, _ = read("https://example.com", **{place: page})

    assert "https://example.com" == metadata.get().issuer


def test_3_2_members_that_are_not_known_are_ignored():
    """A server may say more than there are names for."""
    place = "https://example.com/.well-known/oauth-authorization-server"
    page = {
        "issuer": "https://example.com",
        "unheard_of": {"a": [1]},
        "jwks_uri": "https://k.example",
    }
    metadata, _ = read("https://example.com", **{place: page})

    assert "https://k.example" == metadata.jwks_uri()


@pytest.mark.parametrize("named", ["https://example.com/", "https://EXAMPLE.com", "", None, 1])
def test_3_3_issuer_of_the_document_is_the_configured_one(named):
    """Identical, or the document must not be used; no other place is tried."""
    place = "https://example.com/.well-known/oauth-authorization-server"
    metadata, site = read("https://example.com", **{place: {"issuer": named}})

    assert "issuer_mismatch" == missed(metadata.get).reason
    assert [place] == site.asked


def test_3_3_a_document_of_our_own():
    """What our auth service publishes is what our clients read, at an issuer with a path too."""
    for issuer in ("https://auth.example", "https://example.com/tenant", "https://example.com/t/"):
        service = service_at(issuer)

        class Wire:
            """Hands requests to the service."""

            def send(self, request, *, deadline, served=service):
                path = "/" + request.url.split("/", 3)[3]
                answer = dispatch(served, Request("GET", path, {}), routes(served))
                headers = {name.lower(): value for name, value in answer.headers}
                return Response(answer.status, headers, answer.body)

        metadata = IssuerMetadata(issuer, transport=Wire())
        base = issuer.removesuffix("/")
        found = metadata.endpoint("introspection_endpoint", ClientSecretBasic("a", "b"))
        assert (f"{base}/introspect", f"{base}/.well-known/jwks.json") == (
            found,
            metadata.jwks_uri(),
        )


def test_2_introspection_methods_are_not_those_of_the_token_endpoint():
    """If omitted, "MUST be determined by other means": the configuration says."""
    document = {
        "introspection_endpoint": "https://example.com/i",
        "token_endpoint_auth_methods_supported": ["private_key_jwt", "none"],
    }
    metadata = Metadata("https://example.com", document)

    for client_auth in (ClientSecretPost("a", "b"), ClientSecretBasic("a", "b")):
        found = metadata.endpoint("introspection_endpoint", client_auth)
        assert "https://example.com/i" == found


def test_2_revocation_methods_are_not_those_of_the_token_endpoint():
    """If omitted, client_secret_basic."""
    document = {
        "revocation_endpoint": "https://example.com/r",
        "token_endpoint_auth_methods_supported": ["client_secret_post"],
    }
    metadata = Metadata("https://example.com", document)
    name = "revocation_endpoint"

    assert "https://example.com/r" == metadata.endpoint(name, ClientSecretBasic("a", "b"))
    post = ClientSecretPost("a", "b")
    assert "client_auth_unsupported" == missed(metadata.endpoint, name, post).reason


def test_2_the_default_of_the_token_endpoint():
    """If omitted, client_secret_basic."""
    metadata = Metadata("https://example.com", {"token_endpoint": "https://example.com/t"})

    assert "https://example.com/t" == metadata.endpoint(
        "token_endpoint", ClientSecretBasic("a", "b")
    )
    post = ClientSecretPost("a", "b")
    assert "client_auth_unsupported" == missed(metadata.endpoint, "token_endpoint", post).reason


KEYS = KeyRing.generate()


def ask(issuer, **pages):
    """Verify a good token of an issuer's with the keys that its metadata leads to."""
    site = Site(**pages)
    token = create_access_token({"sub": "alice"}, keys=KEYS, issuer=issuer, audience="orders")
    return JWKSVerifier(issuer, audience="orders", transport=site), token, site


@pytest.mark.parametrize("issuer", ["https://example.com", "https://example.com/issuer1"])
def test_2_jwks_uri_leads_to_the_keys(issuer):
    """Used as it stands, on whatever host and path it is."""
    keys = "https://keys.example.net/a/b?set=1"
    place = issuer.replace(".com", ".com/.well-known/oauth-authorization-server")
    document = {"issuer": issuer, "jwks_uri": keys}
    verifier, token, site = ask(issuer, **{place: document, keys: KEYS.public_jwks()})

    assert ("alice", issuer) == (verifier.verify(token).subject, verifier.verify(token).issuer)
    assert [place, keys] == site.asked


@pytest.mark.parametrize("named", ["https://example.com/", "https://EXAMPLE.com", "", None, ...])
def test_3_3_keys_of_another_issuer_are_never_used(named):
    """Nor asked for: the document is not the issuer's, so neither is what it names."""
    keys = "https://example.com/jwks"
    place = "https://example.com/.well-known/oauth-authorization-server"
    document = {"jwks_uri": keys} | ({} if named is ... else {"issuer": named})
    verifier, token, site = ask(
        "https://example.com", **{place: document, keys: KEYS.public_jwks()}
    )

    assert "issuer_mismatch" == missed(verifier.verify, token).reason
    assert [place] == site.asked


@pytest.mark.parametrize(
    "jwks_uri",
    [
        *("http://example.com/jwks", "https://10.0.0.1/jwks", "https://127.0.0.1/jwks", "/jwks"),
        *("https://localhost/jwks", "https://u:p@example.com/jwks", "file:///jwks", "", None, 7),
    ],
)
def test_2_jwks_uri_that_must_not_be_asked(jwks_uri):
    """No https, a private place named by a public issuer, no URL: an outage, without asking."""
    place = "https://example.com/.well-known/oauth-authorization-server"
    document = {"issuer": "https://example.com", "jwks_uri": jwks_uri}
    verifier, token, site = ask("https://example.com", **{place: document})
    missed(verifier.verify, token)

    assert [place] == site.asked


class Certificate:
    """A client that authenticates with a certificate."""

    methods = ("tls_client_auth", "self_signed_tls_client_auth")


def test_rfc8705_5_aliases_are_preferred_with_mutual_tls():
    """Those that are there; the others are the endpoints of the same name."""
    document = {
        "introspection_endpoint": "https://example.com/i",
        "revocation_endpoint": "https://example.com/r",
        "revocation_endpoint_auth_methods_supported": ["tls_client_auth"],
        "mtls_endpoint_aliases": {"introspection_endpoint": "https://mtls.example.com/i"},
    }
    metadata = Metadata("https://example.com", document)
    shown = ClientSecretBasic("a", "b")

    assert "https://mtls.example.com/i" == metadata.endpoint(
        "introspection_endpoint", Certificate()
    )
    assert "https://example.com/i" == metadata.endpoint("introspection_endpoint", shown)
    assert "https://example.com/r" == metadata.endpoint("revocation_endpoint", Certificate())
