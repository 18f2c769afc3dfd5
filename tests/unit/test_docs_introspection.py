"""docs/verifiers/introspection.md: its code is run, and its numbers are those of the code."""

import inspect
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from prometheus_client import CollectorRegistry

from tokenward import AuthServiceUnavailable, IntrospectionClient, IntrospectionVerifier, _jose
from tokenward.client_auth.private_key_jwt import ASSERTION_LIFETIME
from tokenward.config import Settings, build_authenticator
from tokenward.introspection._verdicts import REFRESH_AHEAD
from tokenward.introspection.client import CLIENT_REFUSED_BACK_OFF
from tokenward.shared_cache import LONGEST_TTL, TOMBSTONE_SECONDS
from tokenward.testing import FakeAuthorizationServer

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "verifiers" / "introspection.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SECRET = "f3a9c1e07b5d4826-of-a-test"


@pytest.fixture
def key_file(tmp_path):
    """Write a private key to where the page has one."""
    path = tmp_path / "orders-key.pem"
    path.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    path.chmod(0o600)
    return path


@pytest.fixture
def server(key_file):
    """Run the server that the page asks, which knows the page's client."""
    jwk = _jose.public_jwk(_jose.from_pem(key_file.read_bytes(), "ES256"))
    with FakeAuthorizationServer(
        client_id="orders",
        client_secret=SECRET,
        client_jwk=jwk,
        audience="orders",
        signed_introspection=True,
    ) as server:
        yield server


@pytest.fixture
def run(server, key_file, monkeypatch):
    """Run the page's blocks, from the first, up to the one with some text; return their names."""
    for name in ("AS_SECRET", "CACHE_SECRET"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("AS_TOKEN", "a-token")
    made = []

    def up_to(text):
        names = {"__name__": "page", "CollectorRegistry": CollectorRegistry}
        for block in BLOCKS:
            # The certificate has its own place below, and its files are not made here. What patches
            # Python is for gunicorn, in tests/peers/test_gevent_by_gunicorn.py.
            if "MutualTLS" in block or "monkey" in block:
                continue
            code = block.replace("https://as.example", server.issuer)
            code = code.replace("/run/secrets/orders-key.pem", str(key_file))
            # Nobody listens there: a Redis that is down, which must not matter.
            code = code.replace("redis.internal:6379", "127.0.0.1:1")
            # Its default registry is the process's, and takes each metric once.
            code = code.replace("PrometheusMetrics()", "PrometheusMetrics(CollectorRegistry())")
            exec(compile(code, "introspection.md", "exec"), names)  # noqa: S102 - our own page
            made.extend(v for v in names.values() if isinstance(v, IntrospectionVerifier))
            if text in block:
                return names
        raise AssertionError(f"no block has {text!r}")

    yield up_to
    for verifier in made:
        verifier.close()


def test_the_mapping_is_a_configuration(run, server):
    """With the first block an application verifies the server's tokens."""
    authenticator = build_authenticator(Settings.model_validate(run("TOKENWARD = ")["TOKENWARD"]))
    found = authenticator.authenticate({"Authorization": f"Bearer {server.token(sub='alice')}"})
    assert "alice" == found.principal.subject


@pytest.mark.parametrize("text", ['IntrospectionClient("https', 'issuer="https://as.example")'])
def test_the_verifier_verifies(run, server, text):
    """Made from an endpoint, or from an issuer."""
    assert "alice" == run(text)["verifier"].verify(server.token(sub="alice")).subject


@pytest.mark.parametrize("text", ["import ClientSecretBasic, ClientSecretPost", "PrivateKeyJWT("])
def test_each_way_to_authenticate_is_one(run, server, text):
    """The server answers to the object, and to the entry that stands beside it."""
    names = run(text)
    token = server.token()
    client = IntrospectionClient.from_issuer(server.issuer, client_auth=names["client_auth"])
    assert client.introspect(token)["active"]
    client.close()
    assert "user-1" == _verified(names["entry"], server, token)


def test_a_fixed_token_of_our_own_is_sent(run, server):
    """As a bearer token, which this server does not take: that is an outage, and no bad token."""
    names = run("BearerAuth(os.environ")
    client = IntrospectionClient(server.introspection_endpoint, client_auth=names["client_auth"])
    with pytest.raises(AuthServiceUnavailable, match="client"):
        client.introspect(server.token())
    client.close()
    sent = server.requests("/introspect")[-1].headers["authorization"]
    assert "Bearer a-token" == sent
    _built(names["entry"], server)


def test_a_service_calls_a_service(run, server):
    """The session of requests sends a token that the server issued for the scope of the page."""
    names = run("session.auth = source")
    with names["session"] as session:
        session.get(server.issuer + "/stock")
    token = server.requests("/stock")[0].headers["authorization"].removeprefix("Bearer ")
    assert ("client_credentials", "stock:read") == tuple(
        server.requests("/token")[0].form[name] for name in ("grant_type", "scope")
    )
    assert names["source"]() == token
    names["source"].close()
    _built(names["entry"], server)


def test_a_client_certificate_needs_its_files():
    """The block with the certificate has the arguments that there are, and its entry is one."""
    (block,) = (block for block in BLOCKS if "MutualTLS" in block)
    imported, rest = block.split("\n\n", 1)
    names = {"MutualTLS": lambda client_id, cert, key: (client_id, cert, key)}
    exec(compile(rest, "introspection.md", "exec"), names)  # noqa: S102 - our own page
    assert "from tokenward import MutualTLS" == imported
    assert names["client_auth"] == tuple(names["entry"][n] for n in ("client_id", "cert", "key"))
    entry = {
        "type": "introspection",
        "introspection_endpoint": "https://as.example/introspect",
        "client_auth": names["entry"],
        "audience": "orders",
    }
    assert Settings.model_validate({"credentials": [entry]})


def test_signed_answers_are_demanded(run, server):
    """The client of the page verifies the server's signature."""
    names = run("signed_response_alg=")
    assert "alice" == names["client"].introspect(server.token(sub="alice"))["sub"]
    accepted = server.requests("/introspect")[-1].headers["accept"]
    assert "application/token-introspection+jwt" in accepted
    names["client"].close()


def test_the_shared_cache_is_a_configuration(run, server):
    """With a Redis that is down the application verifies all the same."""
    mapping = run('TOKENWARD["shared_cache"]')["TOKENWARD"]
    authenticator = build_authenticator(Settings.model_validate(mapping))
    found = authenticator.authenticate({"Authorization": f"Bearer {server.token()}"})
    found.credential.verifier.close()
    assert "user-1" == found.principal.subject


def test_the_verifier_that_shares_verifies(run, server):
    """Its Redis is down, which is counted, and nothing else."""
    verifier = run("RedisRevocationBus(url")["verifier"]
    assert "user-1" == verifier.verify(server.token()).subject
    assert verifier.stats().shared_errors
    verifier.close()


def test_the_observer_of_the_page_counts(run, server):
    """One verification is counted as one."""
    names = run("on_event=count")
    names["verifier"].verify(server.token())
    assert 1 == names["counted"]["verify", "ok"]


def test_metrics_and_log_lines_are_made(run, server, caplog):
    """With the last block of the page, one verification is in both."""
    names = run("fan_out(metrics")
    assert "fan_out(metrics" in BLOCKS[-1]
    with caplog.at_level("DEBUG", logger="tokenward.observe"):
        names["verifier"].verify(server.token())
    verified = {"verifier": names["verifier"].issuer, "outcome": "ok"}
    count = names["metrics"]._registry.get_sample_value("tokenward_verify_total", verified)
    assert 1 == count
    assert any('"kind": "verify"' in line for line in caplog.messages)


@pytest.mark.parametrize(
    ("called", "name", "text"),
    [
        (IntrospectionVerifier, "ttl", "**`ttl`** ({} seconds)"),
        (IntrospectionVerifier, "stale_if_error", "**`stale_if_error`** ({} seconds"),
        (IntrospectionVerifier, "negative_ttl", "**`negative_ttl`** ({} seconds)"),
        (IntrospectionVerifier, "max_entries", "**`max_entries`** ({})"),
        (IntrospectionVerifier, "leeway", "`leeway`\n  ({} seconds)"),
        (IntrospectionClient, "timeout", "| `timeout` | {} s |"),
        (IntrospectionClient, "connect_timeout", "| `connect_timeout` | {} s |"),
        (IntrospectionClient, "retries", "| `retries` | {} |"),
        (IntrospectionClient, "max_response_bytes", "| `max_response_bytes` | {} |"),
        (IntrospectionClient, "pool_size", "| `pool_size` | {} |"),
        (IntrospectionClient, "breaker_failures", "| `breaker_failures` | {} |"),
        (IntrospectionClient, "breaker_seconds", "| `breaker_seconds` | {} s |"),
    ],
)
def test_a_number_of_the_page_is_the_default(called, name, text):
    """Whoever changes a default changes the page."""
    assert text.format(f"{inspect.signature(called).parameters[name].default:,g}") in PAGE


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1 / REFRESH_AHEAD, "in the last tenth of `ttl`"),
        (CLIENT_REFUSED_BACK_OFF, "nobody is asked for 5 seconds"),
        (ASSERTION_LIFETIME, "is good for 60 seconds"),
        (LONGEST_TTL / 3_600, "for an hour at most"),
        (TOMBSTONE_SECONDS / 60, "a tombstone for 65 minutes"),
    ],
)
def test_a_number_of_the_page_is_that_of_the_code(number, text):
    """Also where it is no argument."""
    words = {10: "tenth", 1: "an hour"}
    assert text in " ".join(PAGE.split())
    assert words.get(number, f"{number:g}") in text


def test_the_picture_is_drawn_to_its_scale():
    """At 6 for a second from 150 on: an answer is due at 54 s, over at 60 s, gone at 90 s."""
    root = ET.parse(DOCS / "images" / "answer.svg").getroot()  # noqa: S314 - our own picture
    svg = "{http://www.w3.org/2000/svg}"
    ends = {
        kind: {
            (float(rect.get("x")) + float(rect.get("width")) - 150) / 6
            for rect in root.iter(f"{svg}rect")
            if rect.get("class") == kind and rect.get("height") == "32"
        }
        for kind in ("fresh", "due", "stale", "wrong")
    }
    assert {"fresh": {54, 30}, "due": {60}, "stale": {90}, "wrong": {60, 31}} == ends
    assert all(root.findtext(f"{svg}{name}") for name in ("title", "desc"))
    assert "images/answer.svg" in PAGE


def _settings(entry, server):
    credential = {
        "type": "introspection",
        "introspection_endpoint": server.introspection_endpoint,
        "client_auth": entry,
        "audience": "orders",
    }
    return Settings.model_validate({"credentials": [credential]})


def _built(entry, server):
    return build_authenticator(_settings(entry, server))


def _verified(entry, server, token):
    found = _built(entry, server).authenticate({"Authorization": f"Bearer {token}"})
    return found.principal.subject
