"""Entries of type `shared_secret`: one secret, one algorithm, and nobody sees the secret."""

import base64
import json
import pickle
import textwrap

import jwt
import pytest
from configurations import HMAC_SECRET, jwks, parsed, refused, shared_secret, verifier_of
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tokenward import _jose
from tokenward.config import Shared, build_authenticator, build_verifier
from tokenward.config.settings import SharedSecretEntry
from tokenward.errors import ConfigurationError, InvalidSignature, InvalidToken
from tokenward.jwks import JWKSVerifier
from tokenward.testing import MemoryRevocationBus

OLD = "https://old.example"
LONG = HMAC_SECRET + HMAC_SECRET[::-1]


def signed(secret=HMAC_SECRET, algorithm="HS256", **claims):
    """Return what an older application would issue."""
    said = {"iss": OLD, "sub": "ada", "aud": "orders", "exp": 2**33, **claims}
    present = {name: value for name, value in said.items() if value is not None}
    return jwt.encode(present, secret, algorithm)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_tokens_are_verified_with_the_secret(read, algorithm):
    """With the written algorithm, and with no other."""
    verifier = build_verifier(read(shared_secret(secret=LONG, algorithm=algorithm)).credentials[0])
    assert "ada" == verifier.verify(signed(LONG, algorithm)).subject
    for other in {"HS256", "HS384", "HS512"} - {algorithm}:
        with pytest.raises(InvalidToken) as caught:
            verifier.verify(signed(LONG, other))
        assert "algorithm" == caught.value.reason
    with pytest.raises(InvalidSignature):
        verifier.verify(signed(LONG.swapcase(), algorithm))


def test_the_algorithm_is_hs256_unless_written():
    """That of nearly everybody."""
    assert "ada" == verifier_of(shared_secret()).verify(signed()).subject


def test_the_secret_is_its_text():
    """In UTF-8, and not decoded, whatever it looks like."""
    for secret in ("w5Zq7Jc1Lr0TnVbX2eHsYkUoPdMgAiFw5Zq7Jc1Lr0T=", "clé-sécrète-ñandú-ø-ß-0815-47"):
        verifier = verifier_of(shared_secret(secret=secret))
        assert "ada" == verifier.verify(signed(secret.encode())).subject


@pytest.mark.parametrize("kind", ["env", "file"])
def test_the_secret_may_be_elsewhere(read, monkeypatch, tmp_path, kind):
    """As every other."""
    monkeypatch.setenv("OLD_SECRET", HMAC_SECRET)
    path = tmp_path / "old.secret"
    path.write_text(f"{HMAC_SECRET}\n")
    path.chmod(0o600)
    written = {kind: "OLD_SECRET" if kind == "env" else str(path)}
    verifier = build_verifier(read(shared_secret(secret=written)).credentials[0])
    assert "ada" == verifier.verify(signed()).subject


def test_the_file_is_its_owners(tmp_path):
    """Whoever reads it makes tokens."""
    path = tmp_path / "old.secret"
    path.write_text(HMAC_SECRET)
    path.chmod(0o640)
    told = refused({"credentials": [shared_secret(secret={"file": str(path)})]})
    assert f"credentials[0].secret: the secret file {path} is open to other users" in told
    assert f"chmod 600 {path}" in told


@pytest.mark.parametrize(
    ("algorithm", "length", "needed"),
    [("HS256", 31, 32), ("HS384", 47, 48), ("HS512", 63, 64), ("HS512", 32, 64)],
)
def test_a_secret_shorter_than_the_hash(algorithm, length, needed):
    """It says how many bytes there are, how many are needed, and how to make them."""
    short = LONG[:length]
    told = refused({"credentials": [shared_secret(secret=short, algorithm=algorithm)]})
    assert f"credentials[0].secret: the secret has {length} bytes and {algorithm} needs" in told
    assert f"needs {needed} (RFC 7518, section 3.2)" in told
    assert f"secrets.token_urlsafe({needed})" in told
    assert short not in told
    assert parsed(shared_secret(secret=LONG[:needed], algorithm=algorithm))


def test_bytes_are_counted_and_not_characters():
    """Two for each of these."""
    assert parsed(shared_secret(secret="éèêëàâäîïôöùûüç" + "ñ"))
    assert "30 bytes" in refused({"credentials": [shared_secret(secret="éèêëàâäîïôöùûüç")]})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"secret": ...}, "credentials[0].secret: is missing"),
        ({"secret": ""}, "credentials[0].secret: the secret is empty"),
        ({"secret": 5}, "credentials[0].secret: "),
        ({"secret": {"env": "NO_SUCH"}}, "credentials[0].secret: the environment variable NO_SUCH"),
        ({"secret": "x" * 64}, "credentials[0].secret: the secret repeats a few characters"),
        ({"secret": "change-me-" * 6}, "credentials[0].secret: the secret is a placeholder"),
        ({"secret": f"{HMAC_SECRET}\udc80"}, "credentials[0].secret: the secret is no UTF-8 text"),
        ({"issuer": ...}, "credentials[0].issuer: is missing; write whose tokens are taken"),
        ({"issuer": ""}, "credentials[0].issuer: "),
        ({"issuer": True}, "credentials[0].issuer: "),
        ({"audience": ...}, "credentials[0].audience: is missing; write the name"),
        ({"algorithm": "RS256"}, "credentials[0].algorithm: "),
        ({"algorithm": "none"}, "credentials[0].algorithm: "),
        ({"algorithm": ["HS256"]}, "credentials[0].algorithm: "),
        ({"algorithms": "HS256"}, "'algorithms' is not a setting; did you mean 'algorithm'?"),
        ({"secrets": [HMAC_SECRET]}, "'secrets' is not a setting; did you mean 'secret'?"),
        ({"cache_entries": True}, "credentials[0].cache_entries: "),
        ({"live": {}}, "'live' is not a setting"),
    ],
    ids=ascii,
)
def test_values_that_cannot_be_meant(changes, message):
    """The path of the setting, and never the secret."""
    told = refused({"credentials": [shared_secret(**changes)]})
    assert message in told
    assert HMAC_SECRET not in told


def base64_of(public):
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


def in_lines(public):
    return "\n".join(textwrap.wrap(base64_of(public), 64)) + "\n"


def pem(public):
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.mark.parametrize("form", [base64_of, in_lines, pem])
@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_public_key_is_no_secret(algorithm, form):
    """Anybody could sign with it (RFC 8725, section 2.1), and it says what to write instead."""
    text = form(_jose.generate_key(algorithm).public)
    told = refused({"credentials": [shared_secret(secret=text)]})
    assert "credentials[0].secret: the secret is a public key or a certificate, or a JWK" in told
    assert "write an entry of type 'jwks' with the 'issuer'" in told
    assert text.strip() not in told


def test_a_jwk_is_no_secret():
    """Public or not: the bytes of its JSON text are no key."""
    text = json.dumps(_jose.public_jwk(_jose.generate_key("ES256")))
    told = refused({"credentials": [shared_secret(secret=text)]})
    assert "credentials[0].secret: the secret is a public key or a certificate, or a JWK" in told


def test_anybodys_tokens_where_that_is_written(read):
    """None, in TOML false; the audience likewise."""
    settings = read(shared_secret(issuer=None, audience=None))
    verifier = build_verifier(settings.credentials[0])
    assert (None,) == settings.issuers
    assert "ada" == verifier.verify(signed(iss="https://x.example", aud=None)).subject


def test_the_issuer_and_the_audience_count(read):
    """As for every signed token."""
    verifier = build_verifier(read(shared_secret()).credentials[0])
    for wrong in ({"iss": "https://x.example"}, {"aud": "other"}, {"iss": None}, {"exp": None}):
        with pytest.raises(InvalidToken):
            verifier.verify(signed(**wrong))


def test_what_need_not_be_there():
    """An older application may issue tokens that never end: written, not by omission."""
    verifier = verifier_of(shared_secret(required=[]))
    assert "ada" == verifier.verify(signed(exp=None)).subject


def test_the_defaults_are_those_of_the_class():
    """Leaving a setting out is leaving the argument out."""
    entry = parsed(shared_secret()).credentials[0]
    defaults = JWKSVerifier.__init__.__kwdefaults__
    shared = SharedSecretEntry.model_fields.keys() & defaults.keys()
    plural = {"roles_claim": ("roles",)}

    assert {"required", "leeway", "token_types", "roles_claim", "max_token_bytes"} < shared
    assert {n: plural.get(n, defaults[n]) for n in shared} == {n: getattr(entry, n) for n in shared}


def test_events_and_revocations_are_shared():
    """With the other verifiers of the configuration."""
    bus, seen = MemoryRevocationBus(secrets=[HMAC_SECRET]), []
    shared = Shared(revocation_bus=bus, on_event=seen.append)
    entry = parsed(shared_secret()).credentials[0]
    one, two = (build_verifier(entry, shared=shared) for _ in range(2))
    token = signed()
    for verifier in (one, two):
        verifier.verify(token)
    one.invalidate(token)

    assert ("verify", OLD, "ok") in [(e.kind, e.verifier, e.outcome) for e in seen]
    with pytest.raises(InvalidToken):
        two.verify(token)
    for verifier in (one, two):
        verifier.close()


def test_live_asks_nobody():
    """There is nobody but the holder of the secret."""
    assert verifier_of(shared_secret()).serves_live is False


# --- secrets (RULES 44)


def test_the_secret_is_shown_nowhere(caplog):
    """In no repr, log, dump, pickle, or published key set."""
    caplog.set_level(1)
    settings = parsed(shared_secret(), jwks(source="header:X-Token"))
    entry = settings.credentials[0]
    made = build_authenticator(settings)
    verifier = made.credentials[0].verifier
    verifier.verify(signed())
    shown = f"{settings!r} {entry!r} {made!r} {verifier!r} {verifier.jwks()!r} {caplog.text}"
    shown += str(settings.model_dump(mode="json"))

    assert HMAC_SECRET not in shown
    assert _jose.encode(HMAC_SECRET.encode()) not in shown
    for thing in (settings, entry, verifier):
        with pytest.raises(TypeError):
            pickle.dumps(thing)


def test_the_secret_is_in_no_error_of_a_part():
    """Whatever else is wrong with the entry."""
    with pytest.raises(ConfigurationError) as caught:
        build_authenticator(parsed(shared_secret(source="header:cookie")))
    assert HMAC_SECRET not in str(caught.value)
    assert "credentials[0].source: " in str(caught.value)
