"""Entries of type `introspection`: found or written, signed or plain, by each client_auth."""

import ssl
from pathlib import Path

import pytest
from authority import Authority
from configurations import SECRET, introspection, one_auth, parsed, refused, service

from tokenward import _jose
from tokenward.by_issuer import ByIssuer, Unreserved
from tokenward.client_auth import BearerAuth, MutualTLS, PrivateKeyJWT
from tokenward.config import Settings, build_authenticator, build_verifier
from tokenward.errors import AuthServiceUnavailable, ConfigurationError, InvalidToken
from tokenward.introspection import IntrospectionVerifier
from tokenward.protocols import Request
from tokenward.testing import FakeAuthorizationServer

AS = "https://as.example"


@pytest.fixture
def server():
    with FakeAuthorizationServer() as running:
        yield running


def found_at(server, **changes):
    """Return an entry that names the issuer alone, and authenticates as the server expects."""
    auth = {
        "method": "client_secret_basic",
        "client_id": server.client_id,
        "client_secret": server.client_secret,
    }
    known = {
        "introspection_endpoint": ...,
        "issuer": server.issuer,
        "audience": server.audience,
        "client_auth": auth,
    }
    return introspection(**known | changes)


def verifier_of(entry):
    return build_verifier(parsed(entry).credentials[0])


def paths(server):
    return [request.path for request in server.requests()]


# --- the issuer alone


def test_an_issuer_alone_is_discovered(server):
    """Its metadata says where to ask; nothing is fetched before the first token."""
    verifier = verifier_of(found_at(server))
    assert [] == paths(server)

    assert "ada" == verifier.verify(server.token(sub="ada")).subject
    assert ["/.well-known/oauth-authorization-server", "/introspect"] == paths(server)


def test_a_server_that_is_down_stops_no_start(server):
    """Discovery is made at the first token, and then it is an outage (RULES 50)."""
    server.fail("/.well-known/oauth-authorization-server", status=503)
    verifier = verifier_of(found_at(server))
    with pytest.raises(AuthServiceUnavailable):
        verifier.verify(server.token())


@pytest.mark.parametrize("found", [True, False], ids=["found", "written"])
@pytest.mark.parametrize("claims", [{"iss": None}, {"iss": "https://other.example"}], ids=str)
def test_a_written_issuer_is_also_whose_tokens_are_taken(server, found, claims):
    """Each answer has to name it, whether or not the endpoint is written too."""
    endpoint = ... if found else server.introspection_endpoint
    verifier = verifier_of(found_at(server, introspection_endpoint=endpoint))
    with pytest.raises(InvalidToken) as caught:
        verifier.verify(server.token(**claims))
    assert "unknown_issuer" == caught.value.reason


def test_neither_says_nobody_to_ask():
    """Both ways are named."""
    told = refused({"credentials": [introspection(introspection_endpoint=...)]})
    assert "credentials[0]: says nobody to ask" in told
    assert "'issuer'" in told
    assert "'introspection_endpoint'" in told


@pytest.mark.parametrize(
    ("issuer", "message"),
    [
        ("http://as.example", "uses http"),
        ("as.example", "absolute https URL"),
        ("https://as.example/?tenant=1", "must not have a query"),
        ("", "absolute https URL"),
    ],
)
def test_an_issuer_that_cannot_be_asked_stops_the_start(issuer, message):
    """With the path of its entry."""
    entry = introspection(introspection_endpoint=..., issuer=issuer)
    with pytest.raises(ConfigurationError) as caught:
        build_authenticator(parsed(introspection(source="cookie:a"), entry))
    assert str(caught.value).startswith("credentials[1]: ")


def test_beside_an_endpoint_an_issuer_may_be_any_name(server):
    """What answers call it is compared, and nothing is fetched from it."""
    entry = found_at(server, introspection_endpoint=server.introspection_endpoint, issuer="ours")
    assert "ours" == verifier_of(entry).verify(server.token(iss="ours")).issuer
    assert {"/introspect"} == set(paths(server))


def test_an_issuer_alone_takes_part_as_any_issuer():
    """Its JWTs are routed to it, nobody else may be named so, and roles are of somebody."""
    alone = introspection(introspection_endpoint=..., issuer=AS)
    settings = parsed({"type": "local"}, alone, service=service(), django={"user": "model"})
    (credential,) = build_authenticator(settings).credentials

    assert (ByIssuer, IntrospectionVerifier) == (
        type(credential.verifier),
        type(credential.verifier.otherwise),
    )
    assert AS == credential.verifier.otherwise.issuer
    mapped = parsed(alone, django={"staff_roles": ["admin"]})
    assert (AS,) == mapped.issuers
    beside = parsed(alone, introspection(source="header:X-Partner"))
    assert Unreserved is type(build_authenticator(beside).credentials[1].verifier)


# --- signed answers (RFC 9701)


@pytest.mark.parametrize("algorithms", ["ES256", ["RS256", "ES256"]])
@pytest.mark.parametrize("jwks_uri", [True, False])
def test_signed_answers(algorithms, jwks_uri):
    """With the algorithm written they are demanded; the keys are found, or where it is said."""
    with FakeAuthorizationServer(signed_introspection=True) as server:
        more = {"jwks_uri": server.jwks_uri} if jwks_uri else {}
        entry = found_at(server, signed_response_alg=algorithms, **more)
        assert "ada" == verifier_of(entry).verify(server.token(sub="ada")).subject


def test_a_plain_answer_is_none_where_a_signed_one_is_demanded(server):
    """Nobody can decide then."""
    entry = found_at(server, signed_response_alg="ES256")
    with pytest.raises(AuthServiceUnavailable) as caught:
        verifier_of(entry).verify(server.token())
    assert "unsigned_response" == caught.value.reason


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"signed_response_alg": "HS256"}, "signed_response_alg"),
        ({"signed_response_alg": "none"}, "signed_response_alg"),
        ({"jwks_uri": "https://as.example/jwks"}, "signed_response_alg"),
        ({"signed_response_alg": "ES256", "jwks_uri": "http://as.example/jwks"}, "jwks_uri"),
        ({"signed_response_alg": "ES256", "issuer": ...}, "issuer"),
    ],
    ids=str,
)
def test_signed_answers_that_cannot_be_meant(changes, message):
    """They stop the start, with the path of the entry and the name of the setting."""
    with pytest.raises(ConfigurationError) as caught:
        build_authenticator(parsed(introspection(**{"issuer": AS} | changes)))
    assert str(caught.value).startswith("credentials[0]: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"signed_response_alg": []}, "credentials[0].signed_response_alg: "),
        ({"signed_response_alg": 5}, "credentials[0].signed_response_alg"),
        ({"signed_response_alg": [5]}, "credentials[0].signed_response_alg"),
        ({"jwks_uri": 5}, "credentials[0].jwks_uri: "),
        ({"introspection_endpoint": 5}, "credentials[0].introspection_endpoint: "),
        ({"signed_reponse_alg": "ES256"}, "did you mean 'signed_response_alg'?"),
        ({"jwks_url": "https://as.example"}, "did you mean 'jwks_uri'?"),
        ({"isuer": "https://as.example"}, "did you mean 'issuer'?"),
        ({"endpoint": "https://as.example"}, "did you mean 'introspection_endpoint'?"),
    ],
    ids=str,
)
def test_settings_of_an_entry_that_cannot_be_meant(changes, message):
    """By their path, and the nearest right name."""
    assert message in refused({"credentials": [introspection(**changes)]})


# --- client_auth


@pytest.fixture
def key():
    return _jose.generate_key("ES256")


@pytest.fixture
def pem_file(tmp_path, key):
    path = tmp_path / "client.pem"
    path.write_bytes(_jose.to_pem(key))
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("how", ["literal", "file", "env"])
def test_private_key_jwt(monkeypatch, key, pem_file, how):
    """The key is a secret like any other: written out, in the environment, in a file."""
    pem = pem_file.read_text()
    monkeypatch.setenv("CLIENT_PEM", pem)
    written = {"literal": pem, "file": {"file": str(pem_file)}, "env": {"env": "CLIENT_PEM"}}[how]
    with FakeAuthorizationServer(client_jwk=_jose.public_jwk(key)) as server:
        auth = {
            "method": "private_key_jwt",
            "client_id": server.client_id,
            "private_key": written,
        }
        entry = found_at(server, client_auth=auth)
        assert "ada" == verifier_of(entry).verify(server.token(sub="ada")).subject


def test_every_setting_of_private_key_jwt_arrives(pem_file):
    """Algorithm, audience and kid stand in the assertion."""
    auth = {
        "method": "private_key_jwt",
        "client_id": "orders",
        "private_key": {"file": str(pem_file)},
        "algorithm": "ES256",
        "audience": "https://proxy.example",
        "kid": "key-7",
    }
    made = verifier_of(introspection(client_auth=auth)).client._client_auth
    form = made.apply(Request("POST", "https://as.example/introspect")).form
    sent = _jose.parse(form["client_assertion"], algorithms=_jose.ASYMMETRIC)

    assert PrivateKeyJWT is type(made)
    assert ("ES256", "key-7") == (sent.header["alg"], sent.header["kid"])
    assert ("orders", "https://proxy.example") == (sent.claims["iss"], sent.claims["aud"])


@pytest.mark.parametrize("where", ["endpoint", "issuer"])
def test_an_assertion_is_addressed_to_the_issuer(pem_file, where):
    """Where it is known; else to the endpoint (RFC 7523, section 3)."""
    auth = {
        "method": "private_key_jwt",
        "client_id": "orders",
        "private_key": {"file": str(pem_file)},
    }
    with FakeAuthorizationServer() as server:
        issuer = {"issuer": server.issuer} if where == "issuer" else {}
        endpoint = server.introspection_endpoint
        entry = introspection(introspection_endpoint=endpoint, client_auth=auth, **issuer)
        with pytest.raises(AuthServiceUnavailable):
            verifier_of(entry).verify("some-token")
        (request,) = server.requests("/introspect")
        assertion = _jose.parse(request.form["client_assertion"], algorithms=_jose.ASYMMETRIC)
        assert (server.issuer if issuer else endpoint) == assertion.claims["aud"]


def test_a_private_key_that_others_may_read_stops_the_start(pem_file):
    """It signs in our name, as a signing key does."""
    pem_file.chmod(0o640)
    auth = {"method": "private_key_jwt", "client_id": "a", "private_key": {"file": str(pem_file)}}
    told = refused(one_auth(**auth))
    assert "credentials[0].client_auth.private_key: " in told
    assert f"chmod 600 {pem_file}" in told


@pytest.mark.parametrize(
    ("auth", "message"),
    [
        ({"private_key": SECRET}, "private key"),
        ({"algorithm": "HS256"}, "HS256"),
        ({"algorithm": "RS256"}, "RS256"),
        ({"client_id": ""}, "client_id"),
        ({"kid": ""}, "kid"),
    ],
    ids=str,
)
def test_a_private_key_that_cannot_be_used_stops_the_start(pem_file, auth, message):
    """With the path of the entry, and without the key."""
    known = {
        "method": "private_key_jwt",
        "client_id": "orders",
        "private_key": {"file": str(pem_file)},
    }
    with pytest.raises(ConfigurationError) as caught:
        build_authenticator(Settings.model_validate(one_auth(**known | auth)))
    assert str(caught.value).startswith("credentials[0]: ")
    assert message in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


def own_pair(authority, name):
    """Return the paths of a certificate and of its key, which nobody else can read."""
    cert, key = authority.self_signed(name)
    Path(key).chmod(0o600)
    return cert, key


MUTUAL_TLS = pytest.mark.parametrize("method", ["tls_client_auth", "self_signed_tls_client_auth"])


@MUTUAL_TLS
def test_mutual_tls(authority, method):
    """The certificate goes with the request, the identifier into the form (RFC 8705)."""
    cert, key = own_pair(authority, "orders")
    auth = {"method": method, "client_id": "orders", "cert": cert, "key": key}
    made = verifier_of(introspection(client_auth=auth)).client._client_auth
    sent = made.apply(Request("POST", "https://as.example/introspect", form={"token": "t"}))

    assert MutualTLS is type(made)
    assert ((cert, key), {"token": "t", "client_id": "orders"}) == (sent.cert, sent.form)


@MUTUAL_TLS
@pytest.mark.parametrize("mode", [0o666, 0o640, 0o604, 0o602, 0o610])
def test_a_key_of_a_certificate_that_others_may_read_stops_the_start(authority, method, mode):
    """It is who we are, as a key that signs is; what to run is said."""
    cert, key = own_pair(authority, "orders")
    auth = {"method": method, "client_id": "orders", "cert": cert, "key": key}
    Path(key).chmod(mode)
    told = refused(one_auth(**auth))
    assert "credentials[0].client_auth.key: the private key file" in told
    assert f"chmod 600 {key}" in told

    Path(key).chmod(0o400)
    Path(cert).chmod(0o644)  # anybody is shown it
    assert build_authenticator(Settings.model_validate(one_auth(**auth)))


def test_a_key_for_the_token_endpoint_that_others_may_read_stops_the_start(authority, server):
    """It is looked at wherever it stands."""
    cert, key = own_pair(authority, "orders")
    Path(key).chmod(0o640)
    inner = {"method": "tls_client_auth", "client_id": "orders", "cert": cert, "key": key}
    told = refused(one_auth(**fetched(server, client_auth=inner)))
    assert "credentials[0].client_auth.client_auth.key: the private key file" in told


def test_a_certificate_that_is_not_there_stops_the_start(authority, tmp_path):
    """So does a key of another one."""
    cert, key = own_pair(authority, "orders")
    other = own_pair(authority, "other")[1]
    none = str(tmp_path / "none.pem")
    for wrong in (
        {"cert": none, "key": key},
        {"cert": cert, "key": none},
        {"cert": cert, "key": other},
    ):
        auth = {"method": "tls_client_auth", "client_id": "orders"} | wrong
        with pytest.raises(ConfigurationError, match=r"^credentials\[0\]: "):
            build_authenticator(Settings.model_validate(one_auth(**auth)))
    assert ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert, key) is None


def fetched(server, **changes):
    """Return the client_auth of somebody who fetches its own token at ``server``."""
    inner = {
        "method": "client_secret_post",
        "client_id": server.client_id,
        "client_secret": server.client_secret,
    }
    known = {"method": "client_credentials", "issuer": server.issuer, "client_auth": inner}
    return {k: v for k, v in (known | changes).items() if v is not ...}


@pytest.mark.parametrize("found", [True, False], ids=["issuer", "token_endpoint"])
def test_a_bearer_token_that_is_fetched(server, found):
    """`client_credentials` asks the token endpoint, and sends what it gets (RFC 7662, 2.1)."""
    where = {} if found else {"issuer": ..., "token_endpoint": server.token_endpoint}
    auth = fetched(server, scope="introspect", audience="as", **where)
    entry = found_at(server, client_auth=auth, introspection_endpoint=server.introspection_endpoint)
    verifier = verifier_of(entry)
    with pytest.raises(AuthServiceUnavailable):
        # This server wants its client to authenticate, and says no to a token.
        verifier.verify("some-token")

    (granted,) = server.requests("/token")
    (asked,) = server.requests("/introspect")
    assert BearerAuth is type(verifier.client._client_auth)
    assert ("introspect", "as", server.client_id) == (
        granted.form["scope"],
        granted.form["audience"],
        granted.form["client_id"],
    )
    assert asked.headers["authorization"].startswith("Bearer ey")


def test_every_setting_of_a_fetched_token_arrives(server):
    """When it is renewed, how long that may take, and for which service it is."""
    auth = fetched(server, early=7, timeout=3, resource="https://as.example/introspect")
    entry = found_at(server, client_auth=auth)
    source = verifier_of(entry).client._client_auth._source

    assert (7, 3) == (source._early, source._endpoint._timeout)
    assert source()
    (granted,) = server.requests("/token")
    assert "https://as.example/introspect" == granted.form["resource"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"issuer": ...}, "client_auth: write one of 'issuer'"),
        ({"token_endpoint": "https://as.example/token"}, "client_auth: write one of 'issuer'"),
        ({"client_auth": ...}, "client_auth.client_auth: is missing"),
        ({"client_auth": {"method": "bearer", "token": SECRET}}, "'bearer' is no 'method'"),
        ({"client_auth": {"client_id": "a"}}, "client_auth.client_auth: does not say its 'method'"),
        ({"scop": "a"}, "client_auth: 'scop' is not a setting; did you mean 'scope'?"),
        ({"early": -1}, "client_auth.early: "),
        ({"timeout": 0}, "client_auth.timeout: "),
        ({"scope": ["a"]}, "client_auth.scope: "),
    ],
    ids=str,
)
def test_a_fetched_token_that_cannot_be_meant(server, changes, message):
    """Each problem by its path, inside and out."""
    told = refused(one_auth(**fetched(server, **changes)))
    assert told.startswith("credentials[0].client_auth")
    assert message in told


def test_a_fetched_token_uses_the_tls_of_its_entry(server):
    """The authorities and the proxy that lead to the server lead to its token endpoint."""
    auth = fetched(server, issuer="https://as.example")
    with pytest.raises(ConfigurationError, match="verify_tls"):
        build_authenticator(
            parsed(
                introspection(
                    client_auth=auth,
                    introspection_endpoint=server.introspection_endpoint,
                    verify_tls=False,
                )
            )
        )


@pytest.mark.parametrize(
    ("auth", "message"),
    [
        ({"method": "private_key_jwt", "client_id": "a"}, "client_auth.private_key: is missing"),
        (
            {"method": "private_key_jwt", "client_id": "a", "private_kye": SECRET},
            "'private_kye' is not a setting; did you mean 'private_key'?",
        ),
        (
            {"method": "private_key_jwt", "client_id": "a", "private_key": {"env": "NO_SUCH"}},
            "client_auth.private_key: the environment variable NO_SUCH is not set, or empty",
        ),
        (
            {"method": "private_key_jwt", "client_id": "a", "private_key": SECRET, "kid": 5},
            "client_auth.kid: ",
        ),
        (
            {"method": "tls_client_auth", "client_id": "a", "cert": "x"},
            "client_auth.key: is missing",
        ),
        (
            {"method": "tls_client_auth", "client_id": "a", "cert": 5, "key": "x"},
            "client_auth.cert: ",
        ),
        (
            {"method": "tls_client_auth", "client_id": "a", "cert": "x", "key": "x", "ca": "x"},
            "'ca' is not a setting",
        ),
        (
            {"method": "private_key_jwk"},
            "'private_key_jwk' is no 'method'; known: 'client_secret_basic', 'client_secret_post'",
        ),
    ],
    ids=lambda v: v[:40] if isinstance(v, str) else "",
)
def test_client_auth_that_cannot_be_meant(auth, message):
    """The path of the setting and what is wrong with it, never the secret."""
    assert message in refused(one_auth(**auth))


def test_no_secret_of_client_auth_in_a_repr(pem_file, server):
    """Neither a private key, nor what a nested section holds."""
    auth = fetched(server)
    auth["client_auth"]["client_secret"] = SECRET
    pem = pem_file.read_text()
    signed = {"method": "private_key_jwt", "client_id": "orders", "private_key": pem}
    settings = parsed(
        introspection(client_auth=auth), introspection(client_auth=signed, source="cookie:a")
    )
    shown = f"{settings!r} {settings.credentials[0]!r} {settings.model_dump(mode='json')}"

    assert SECRET not in shown
    assert pem.splitlines()[1] not in shown
