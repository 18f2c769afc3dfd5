"""`jwks`, `verify --explain` and `doctor` against an OpenID provider that others made."""

import io
import re
import sys

import pytest
from authority import Authority
from oidc_provider import SIGNED, OidcProvider

from tokenward.cli import main


@pytest.fixture(scope="module")
def provider(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("authority"))
    with OidcProvider(tmp_path_factory.mktemp("oidc-provider"), authority) as running:
        yield running


@pytest.fixture
def run(capsys, monkeypatch):
    """Run one command; return its exit status and standard output."""

    def run(*argv, stdin=""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        status = main([str(argument) for argument in argv])
        return status, capsys.readouterr().out

    return run


@pytest.fixture
def config(tmp_path, provider):
    path = tmp_path / "tokenward.toml"
    path.write_text(
        f'[[credentials]]\ntype = "jwks"\nissuer = "{provider.issuer}"\naudience = "{SIGNED}"\n'
    )
    return path


def outcomes(out):
    return {line[9:].partition(":")[0]: line[:8].rstrip() for line in out.splitlines()[1:-1]}


def test_its_keys_are_shown_by_each_of_its_urls(run, provider):
    """Issuer, metadata and key set: the same keys, each with its name, kind and thumbprint."""
    discovery = f"{provider.issuer}/.well-known/openid-configuration"
    shown = {}
    for url, taken_for in (
        (provider.issuer, "an issuer"),
        (discovery, "an issuer's metadata"),
        (provider.jwks_uri, "a JWK Set"),
    ):
        status, out = run("jwks", url)
        assert (0, True) == (status, out.startswith(f"taken for {taken_for}"))
        assert f"keys at {provider.jwks_uri}\n" in out
        shown[url] = re.findall(r"^used .*", out, re.MULTILINE)

    assert shown[provider.issuer] == shown[discovery] == shown[provider.jwks_uri]
    for kind in ("RSA 2048 bits for ", "EC P-256 for ES256", "OKP Ed25519 for EdDSA"):
        assert any(kind in line for line in shown[discovery])


def test_its_tokens_are_explained(run, config, provider):
    """An access token passes; one that is not for us, and an ID token, say what they are."""
    token = provider.issue(audience=SIGNED)
    status, out = run("verify", "-", "--explain", "--config", config, stdin=token)
    assert (0, {"ok"}) == (status, set(outcomes(out).values()))
    assert re.search(rf"from {provider.jwks_uri}, asked \d{{1,2}} s ago", out)

    other = provider.issue(audience=f"{SIGNED}/RS256")
    status, out = run("verify", "-", "--explain", "--config", config, stdin=other)
    assert (1, "failed") == (status, outcomes(out)["aud"])
    assert "refused: audience_mismatch: " in out

    identity = provider.issue_id_token()
    status, out = run("verify", "-", "--explain", "--config", config, stdin=identity)
    assert 1 == status
    assert "failed" in set(outcomes(out).values())
    assert "ID token" in out.splitlines()[-1]


def test_an_opaque_token_of_its_is_said_to_be_one(run, config, provider):
    """It makes those for an API that is not registered with it as one of JWTs."""
    token = provider.issue()
    status, out = run("verify", "-", "--explain", "--config", config, stdin=token)
    assert (1, "failed") == (status, outcomes(out)["syntax"])
    assert "it is an opaque token" in out


def test_the_doctor_finds_it_well(run, config, provider):
    """Discovery, keys and clock, of a configuration and of the issuer alone."""
    status, out = run("doctor", "--config", config)
    assert 0 == status
    assert f"\nok   credentials[0].issuer: {provider.jwks_uri} has keys: " in out
    assert "ok   credentials[0].leeway: the server's clock and this one agree" in out

    status, out = run("doctor", provider.issuer)
    assert 0 == status
    assert f"ok   jwks_uri: {provider.jwks_uri} has keys: " in out
