"""`doctor ISSUER`, and `doctor`, `verify` and `introspect` where the endpoint is discovered."""

import datetime as dt
import json
import re
import socket
import sys
import tomllib
from contextlib import contextmanager

import pytest
from benchmarks.ports import free_port
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tokenward import _jose
from tokenward.cli import main
from tokenward.commands.doctor.files import of_certificate
from tokenward.config import Settings
from tokenward.config.settings import MutualTLSSection
from tokenward.testing import FakeAuthorizationServer
from tokenward.testing._loopback import Answer, LoopbackServer

OAUTH = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"
SECRET = "9f8a-77e1-quartz-lantern"
BASIC = f'method = "client_secret_basic", client_id = "resource-server", client_secret = "{SECRET}"'


@pytest.fixture
def server():
    with FakeAuthorizationServer(client_secret=SECRET) as running:
        yield running


@pytest.fixture
def run(capsys, monkeypatch):
    """Run one command; return its exit status and standard output."""
    monkeypatch.delenv("TOKENWARD_CONFIG", raising=False)

    def run(*argv, stdin=""):
        monkeypatch.setattr("getpass.getpass", lambda _prompt: stdin)
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        try:
            status = main([str(argument) for argument in argv])
        except SystemExit as stopped:
            status = stopped.code
        out = capsys.readouterr()
        return status, out.out, out.err

    return run


@pytest.fixture
def config(tmp_path, server):
    """Write a configuration that names the issuer alone; lines may be added or changed."""

    def write(*lines, issuer=None, auth=None):
        auth = auth or BASIC
        text = [
            "[[credentials]]",
            'type = "introspection"',
            f'issuer = "{issuer or server.issuer}"',
            'audience = "api"',
            "retries = 0",
            f"client_auth = {{ {auth} }}",
            *lines,
        ]
        path = tmp_path / "tokenward.toml"
        path.write_text("\n".join(text), "utf-8")
        path.chmod(0o600)
        return path

    return write


@contextmanager
def publishing(documents):
    """Serve documents at their paths; a callable is given the issuer."""

    def answer(request):
        issuer = f"http://127.0.0.1:{running.server_port}"
        found = documents.get(request.path)
        if found is None:
            return Answer.json(404, {"error": "not_found"})
        if isinstance(found, Answer):
            return found
        return Answer.json(200, found(issuer) if callable(found) else found)

    running = LoopbackServer(answer)
    running.start()
    try:
        yield f"http://127.0.0.1:{running.server_port}"
    finally:
        running.stop()


def minimal(**more):
    """Return what makes a document of an issuer with an introspection endpoint."""
    return lambda issuer: {"issuer": issuer, "introspection_endpoint": f"{issuer}/i"} | more


def mutual_tls(cert, key):
    return f'method = "tls_client_auth", client_id = "o", cert = "{cert}", key = "{key}"'


def findings(out):
    """Return the level and text of each finding, by its setting."""
    found = {}
    for line in out.splitlines():
        matched = re.fullmatch(r"(ok  |warn|FAIL) (\S+): (.*)", line)
        if matched:
            found.setdefault(matched[2], []).append((matched[1].strip(), matched[3]))
    return found


def toml_in(out):
    return out[out.index("[[credentials]]") :]


class TestIssuer:
    def test_it_prints_what_has_to_be_configured(self, run, server):
        """Where the document is, the endpoints, the ways to authenticate, the keys, the clock."""
        status, out, err = run("doctor", server.issuer)
        found = findings(out)

        assert (0, "") == (status, err)
        assert [("ok", f"describes itself at {server.issuer}{OAUTH}")] == found["issuer"]
        assert [("ok", server.introspection_endpoint)] == found["introspection_endpoint"]
        assert [("ok", server.token_endpoint)] == found["token_endpoint"]
        assert [("ok", "client_secret_basic, client_secret_post")] == found[
            "introspection_endpoint_auth_methods_supported"
        ]
        assert [("ok", f"{server.jwks_uri} has keys: 1 for ES256")] == found["jwks_uri"]
        assert [("ok", "the server's clock and this one agree")] == found["clock"]

    def test_what_it_prints_can_be_pasted(self, run, server, tmp_path, monkeypatch):
        """It is a configuration, once the secret is there."""
        out = run("doctor", server.issuer)[1]
        monkeypatch.chdir(tmp_path)
        (tmp_path / "client.secret").write_text(SECRET)
        (entry,) = Settings.model_validate(tomllib.loads(toml_in(out))).credentials

        assert (server.issuer, None) == (entry.issuer, entry.introspection_endpoint)
        assert "client_secret_basic" == entry.client_auth.method

    def test_the_configuration_around_does_not_matter(self, run, server, monkeypatch):
        """Whoever asks about an issuer has none, or another one."""
        monkeypatch.setenv("TOKENWARD_CONFIG", "/no/such/file.toml")
        assert 0 == run("doctor", server.issuer)[0]

    def test_either_a_configuration_or_an_issuer(self, run, server):
        """Both together are wrong usage."""
        status, _, err = run("doctor", "--config", "x.toml", server.issuer)
        assert 2 == status
        assert "not allowed with" in err

    @pytest.mark.parametrize(
        ("methods", "written"),
        [
            (["none", "client_secret_post", "private_key_jwt"], "client_secret_post"),
            (["private_key_jwt"], "private_key_jwt"),
            (["self_signed_tls_client_auth"], "self_signed_tls_client_auth"),
            (None, "client_secret_basic"),
        ],
    )
    def test_the_method_is_one_that_the_server_takes(
        self, run, tmp_path, monkeypatch, methods, written
    ):
        """The simplest of those that it lists; what it wants is there to be pasted."""
        more = {} if methods is None else {"introspection_endpoint_auth_methods_supported": methods}
        with publishing({OAUTH: minimal(**more)}) as issuer:
            status, out, _ = run("doctor", issuer)
        monkeypatch.chdir(tmp_path)
        for name in ("client.secret", "client.pem"):
            (tmp_path / name).write_text(SECRET)
            (tmp_path / name).chmod(0o600)
        (entry,) = Settings.model_validate(tomllib.loads(toml_in(out))).credentials

        assert (0, written) == (status, entry.client_auth.method)

    def test_methods_that_nobody_here_knows_are_a_failure(self, run):
        """Exit 1."""
        more = {"introspection_endpoint_auth_methods_supported": ["client_secret_jwt"]}
        with publishing({OAUTH: minimal(**more)}) as issuer:
            status, out, _ = run("doctor", issuer)
        ((level, text),) = findings(out)["introspection_endpoint_auth_methods_supported"]
        assert (1, "FAIL") == (status, level)
        assert "client_secret_jwt, none of which is known here" in text

    @pytest.mark.parametrize(
        ("takes", "level"), [("client_secret_post", "ok"), ("client_secret_jwt", "warn")]
    )
    def test_methods_of_the_token_endpoint_are_a_guess(self, run, takes, level):
        """They decide nothing: the server says nothing of introspection."""
        with publishing({OAUTH: minimal(token_endpoint_auth_methods_supported=[takes])}) as issuer:
            status, out, _ = run("doctor", issuer)
        ((found, text),) = findings(out)["introspection_endpoint_auth_methods_supported"]
        assert (0, level) == (status, found)
        assert text.startswith(f"does not say; the token endpoint takes {takes}")

    def test_the_second_place_is_found_too(self, run):
        """OpenID Connect's, where the first one is not there."""
        with publishing({OPENID: minimal()}) as issuer:
            out = run("doctor", issuer)[1]
        assert [("ok", f"describes itself at {issuer}{OPENID}")] == findings(out)["issuer"]

    def test_signed_answers_and_certificates_are_named(self, run):
        """And how to demand the former stands in what can be pasted, as a comment."""
        more = {
            "introspection_signing_alg_values_supported": ["HS256", "PS256"],
            "mtls_endpoint_aliases": {"introspection_endpoint": "https://mtls.example/i"},
        }
        with publishing({OAUTH: minimal(**more)}) as issuer:
            out = run("doctor", issuer)[1]
        found = findings(out)
        assert [("ok", "answers can be signed (RFC 9701): HS256, PS256")] == found[
            "introspection_signing_alg_values_supported"
        ]
        assert [("ok", "https://mtls.example/i, with a client certificate")] == found[
            "mtls_endpoint_aliases.introspection_endpoint"
        ]
        assert '# signed_response_alg = "PS256"' in out

    def test_an_issuer_without_introspection_is_a_failure(self, run):
        """Exit 1, and there is nothing to paste."""
        with publishing({OAUTH: lambda issuer: {"issuer": issuer}}) as issuer:
            status, out, _ = run("doctor", issuer)
        ((level, text),) = findings(out)["introspection_endpoint"]
        assert (1, "FAIL") == (status, level)
        assert "its tokens cannot be introspected" in text
        assert "[[credentials]]" not in out

    @pytest.mark.parametrize(
        ("documents", "text"),
        [
            ({}, "there is no metadata"),
            ({OAUTH: {"issuer": "https://other.example"}}, "expected the issuer"),
            ({OAUTH: []}, "answered 200 with"),
        ],
        ids=["none", "another", "no-object"],
    )
    def test_an_issuer_that_is_none_is_a_failure(self, run, documents, text):
        """Exit 1: waiting mends nothing."""
        with publishing(documents) as issuer:
            status, out, _ = run("doctor", issuer)
        ((level, found),) = findings(out)["issuer"]
        assert (1, "FAIL") == (status, level)
        assert text in found

    @pytest.mark.parametrize(
        ("document", "advised"),
        [
            (None, True),
            (Answer.json(501, {}), True),
            (Answer.json(200, []), True),
            (Answer.json(200, {"issuer": "https://other.example"}), False),
        ],
        ids=["none", "not implemented", "no-object", "another"],
    )
    def test_a_server_without_metadata_can_be_configured_by_hand(self, run, document, advised):
        """What to write instead; not where it describes another issuer than it was asked for."""
        with publishing({OAUTH: document}) as issuer:
            status, out, _ = run("doctor", issuer)
        ((_, found),) = findings(out)["issuer"]
        advice = "; if it publishes no metadata, write an entry by hand that names its "
        assert (1, advised) == (status, advice in found)
        assert advised == found.endswith("introspection_endpoint or jwks_uri")

    def test_an_issuer_that_is_down_is_an_outage(self, run):
        """Exit 3."""
        status, out, _ = run("doctor", f"http://127.0.0.1:{free_port()}")
        assert 3 == status
        assert "cannot be reached (connect_failed)" in findings(out)["issuer"][0][1]

    @pytest.mark.parametrize("url", ["http://as.example", "as.example", "https://u:p@as.example"])
    def test_a_url_that_must_not_be_called_is_wrong_usage(self, run, url):
        """Exit 2, and what to write."""
        status, out, err = run("doctor", url)
        assert (2, "") == (status, out)
        assert err.startswith("tokenward: The issuer ")

    @pytest.mark.parametrize(
        ("keys", "level", "text"),
        [
            ({"keys": []}, "FAIL", "has no key that can be used"),
            ({"keys": [{"kty": "oct", "k": "AAAA"}]}, "FAIL", "has no key that can be used ("),
            ({"no": "keys"}, "FAIL", "a JWK Set is an object"),
            (None, "FAIL", "answered 404"),
        ],
        ids=["empty", "symmetric", "no-set", "missing"],
    )
    def test_keys_that_cannot_be_used_are_a_failure(self, run, keys, level, text):
        """With the reason."""
        documents = {OAUTH: lambda issuer: minimal(jwks_uri=f"{issuer}/jwks")(issuer)}
        if keys is not None:
            documents["/jwks"] = keys
        with publishing(documents) as issuer:
            status, out, _ = run("doctor", issuer)
        ((found, said),) = findings(out)["jwks_uri"]
        assert (1, level) == (status, found)
        assert text in said

    def test_keys_that_cannot_be_fetched_are_an_outage(self, run):
        """Exit 3: everything else is there."""
        jwks_uri = f"http://127.0.0.1:{free_port()}/jwks"
        with publishing({OAUTH: minimal(jwks_uri=jwks_uri)}) as issuer:
            status, out, _ = run("doctor", issuer)
        assert 3 == status
        assert "cannot be reached" in findings(out)["jwks_uri"][0][1]

    def test_urls_that_must_not_be_called_are_warnings(self, run):
        """Nobody calls them; introspection is not among them."""
        more = {"revocation_endpoint": "http://as.example/revoke", "jwks_uri": "file:///keys"}
        with publishing({OAUTH: minimal(**more)}) as issuer:
            status, out, _ = run("doctor", issuer)
        levels = [findings(out)[name][0][0] for name in more]
        assert (0, ["warn", "warn"]) == (status, levels)

    def test_keys_are_counted_by_what_they_are_for(self, run):
        """Those that cannot be used are counted apart."""
        keys = [_jose.public_jwk(_jose.generate_key(alg)) for alg in ("ES256", "ES256", "EdDSA")]
        documents = {
            OAUTH: lambda issuer: minimal(jwks_uri=f"{issuer}/jwks")(issuer),
            "/jwks": {"keys": [*keys, {"kty": "oct", "k": "AAAA"}]},
        }
        with publishing(documents) as issuer:
            out = run("doctor", issuer)[1]
        assert [
            ("ok", f"{issuer}/jwks has keys: 2 for ES256, 1 for EdDSA; 1 more cannot be used")
        ] == findings(out)["jwks_uri"]


class TestDoctor:
    def test_a_discovered_endpoint_is_found_and_asked(self, run, config, server):
        """Where the document is, where introspection is, and that it takes our credentials."""
        status, out, _ = run("doctor", "--config", config())
        assert 0 == status
        assert [
            ("ok", f"describes itself at {server.issuer}{OAUTH}"),
            ("ok", f"introspects at {server.introspection_endpoint}"),
            ("ok", "answers, takes our credentials, knows no made-up token"),
        ] == findings(out)["credentials[0].issuer"]

    def test_a_server_that_is_down_is_an_outage(self, run, config):
        """Exit 3, about the setting that is written."""
        status, out, _ = run("doctor", "--config", config(issuer=f"http://127.0.0.1:{free_port()}"))
        assert 3 == status
        assert "cannot be reached" in findings(out)["credentials[0].issuer"][-1][1]

    @pytest.mark.parametrize(
        ("documents", "text"),
        [
            ({}, "there is no metadata"),
            ({OAUTH: {"issuer": "https://other.example"}}, "expected the issuer"),
            ({OAUTH: lambda issuer: {"issuer": issuer}}, "has no introspection_endpoint"),
        ],
        ids=["none", "another", "no-endpoint"],
    )
    def test_an_issuer_that_cannot_be_discovered_is_a_failure(self, run, config, documents, text):
        """Exit 1, and the endpoint may be written by hand."""
        with publishing(documents) as issuer:
            status, out, _ = run("doctor", "--config", config(issuer=issuer))
        level, said = findings(out)["credentials[0].issuer"][-1]
        assert (1, "FAIL") == (status, level)
        assert text in said
        assert "or write credentials[0].introspection_endpoint beside it" in said

    def test_a_method_that_is_not_offered_is_a_failure(self, run, config):
        """Exit 1: what the server takes, and what is written."""
        more = {"introspection_endpoint_auth_methods_supported": ["private_key_jwt"]}
        with publishing({OAUTH: minimal(**more)}) as issuer:
            status, out, _ = run("doctor", "--config", config(issuer=issuer))
        ((level, said),) = findings(out)["credentials[0].client_auth.method"]
        assert (1, "FAIL") == (status, level)
        assert "private_key_jwt" in said
        assert "client_secret_basic" in said

    def test_a_method_that_the_token_endpoint_does_not_take_is_a_warning(self, run, config):
        """It is asked all the same: what introspection takes, the server does not say."""
        more = {"token_endpoint_auth_methods_supported": ["private_key_jwt", "none"]}
        with publishing({OAUTH: minimal(**more)}) as issuer:
            _, out, _ = run("doctor", "--config", config(issuer=issuer))
        ((level, said),) = findings(out)["credentials[0].client_auth.method"]
        assert "warn" == level
        assert "its token endpoint takes private_key_jwt, none" in said
        assert ("ok", f"introspects at {issuer}/i") in findings(out)["credentials[0].issuer"]

    def test_a_server_that_refuses_us_is_a_failure(self, run, config):
        """Exit 1, and the settings that are to be changed."""
        auth = 'method = "client_secret_post", client_id = "resource-server", client_secret = "no"'
        status, out, _ = run("doctor", "--config", config(auth=auth))
        ((level, said),) = findings(out)["credentials[0].client_auth"]
        assert (1, "FAIL") == (status, level)
        assert "credentials[0].client_auth.client_id and .client_secret" in said

    def test_a_token_of_our_own_that_is_refused_is_a_failure(self, run, config):
        """It is the token that has to be another one."""
        auth = f'method = "bearer", token = "{SECRET}"'
        status, out, _ = run("doctor", "--config", config(auth=auth))
        ((level, said),) = findings(out)["credentials[0].client_auth"]
        assert (1, "FAIL") == (status, level)
        assert "make credentials[0].client_auth.token one that may introspect" in said

    @pytest.mark.parametrize(
        "refusal",
        [
            ("/token", 400, b'{"error": "invalid_scope"}', "check scope"),
            ("/token", 401, b'{"error": "invalid_client"}', "client_auth.client_auth"),
            ("/introspect", 403, b"", "ask for a scope that may introspect"),
        ],
        ids=["scope", "client", "token"],
    )
    def test_a_token_that_cannot_be_fetched_is_a_failure(self, run, config, server, refusal):
        """At the token endpoint, or where it is shown: exit 1, and where to look."""
        path, refused, body, text = refusal
        server.fail(path, status=refused, body=body)
        auth = f'method = "client_credentials", issuer = "{server.issuer}", scope = "s", '
        status, out, _ = run(
            "doctor", "--config", config(auth=f"{auth}client_auth = {{ {BASIC} }}")
        )
        ((level, said),) = findings(out)["credentials[0].client_auth"]
        assert (1, "FAIL") == (status, level)
        assert text in said

    def test_a_server_that_nobody_verifies_is_a_warning(self, run, config):
        """Even on this machine, where it is allowed."""
        status, out, _ = run("doctor", "--config", config("verify_tls = false"))
        assert 0 == status
        assert [("warn", "nobody checks who answers; write true")] == findings(out)[
            "credentials[0].verify_tls"
        ]

    def test_signed_answers_are_demanded(self, run, config):
        """A server that signs passes, and one that does not is a failure."""
        with FakeAuthorizationServer(client_secret=SECRET, signed_introspection=True) as signing:
            path = config('signed_response_alg = "ES256"', issuer=signing.issuer)
            status, out, _ = run("doctor", "--config", path)
            offered = run("doctor", "--config", config(issuer=signing.issuer))[1]
        assert 0 == status
        assert "with a signature that is good" in findings(out)["credentials[0].issuer"][-1][1]
        assert [
            ("ok", "could demand signed answers (RFC 9701): the server lists ES256")
        ] == findings(offered)["credentials[0].signed_response_alg"]

    def test_a_plain_answer_is_a_failure_where_a_signed_one_is_demanded(self, run, config):
        """Exit 1, and what to register or to leave out."""
        status, out, _ = run("doctor", "--config", config('signed_response_alg = "ES256"'))
        level, said = findings(out)["credentials[0].issuer"][-1]
        assert (1, "FAIL") == (status, level)
        assert "introspection_signed_response_alg" in said


class TestCertificates:
    @pytest.fixture
    def pair(self, tmp_path):
        """Make a certificate that ends in so many days, and its key."""

        def make(days):
            key = ec.generate_private_key(ec.SECP256R1())
            name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "orders")])
            now = dt.datetime.now(dt.UTC)
            certificate = (
                x509.CertificateBuilder()
                .subject_name(name)
                .issuer_name(name)
                .public_key(key.public_key())
                .serial_number(x509.random_serial_number())
                .not_valid_before(now - dt.timedelta(days=400))
                .not_valid_after(now + dt.timedelta(days=days, hours=1))
                .sign(key, hashes.SHA256())
            )
            cert_path, key_path = tmp_path / "client.crt", tmp_path / "client.key"
            cert_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
            key_path.write_bytes(
                key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
            )
            key_path.chmod(0o600)
            return cert_path, key_path

        return make

    @pytest.mark.parametrize(
        ("days", "expected"),
        [
            (400, (3, "ok", "is good until ")),
            (12, (3, "warn", ", in 12 days; have it renewed")),
            (-1, (1, "FAIL", "ended on ")),
        ],
    )
    def test_a_certificate_that_ends(self, run, config, pair, days, expected):
        """Long before, soon and too late."""
        issuer = f"https://127.0.0.1:{free_port()}"
        auth = mutual_tls(*pair(days))
        status, out, _ = run("doctor", "--config", config(issuer=issuer, auth=auth))
        ((level, said),) = findings(out)["credentials[0].client_auth.cert"]
        assert expected[:2] == (status, level)
        assert expected[2] in said

    def test_a_certificate_for_the_token_endpoint_is_looked_at_too(self, run, config, pair):
        """By its own path."""
        issuer = f"https://127.0.0.1:{free_port()}"
        inner = mutual_tls(*pair(12))
        auth = f'method = "client_credentials", issuer = "{issuer}", client_auth = {{ {inner} }}'
        out = run("doctor", "--config", config(issuer=issuer, auth=auth))[1]
        ((level, _),) = findings(out)["credentials[0].client_auth.client_auth.cert"]
        assert "warn" == level

    def test_a_key_that_others_can_read_is_refused(self, run, config, pair):
        """As at start; what to run stands beside it."""
        cert, key = pair(400)
        key.chmod(0o644)
        issuer = f"https://127.0.0.1:{free_port()}"
        path = config(issuer=issuer, auth=mutual_tls(cert, key))
        status, out, err = run("doctor", "--config", path)
        assert 0 != status
        assert "credentials[0].client_auth.key: " in out + err
        assert f"run: chmod 600 {key}" in out + err

    @pytest.mark.parametrize("content", ["", "no certificate", None])
    def test_a_certificate_that_is_none_is_a_failure(self, tmp_path, content):
        """Such as one that was replaced after the start, and not well."""
        cert = tmp_path / "client.crt"
        if content is not None:
            cert.write_text(content)
        section = MutualTLSSection(method="tls_client_auth", client_id="o", cert=str(cert), key="k")
        (finding,) = of_certificate(section, "client_auth")
        assert ("FAIL", "client_auth.cert") == (finding.level, finding.setting)


class TestVerify:
    def explain(self, run, path, token):
        status, out, _ = run("verify", "-", "--explain", "--config", path, stdin=token)
        assert token not in out
        return status, out

    def test_it_asks_once(self, run, config, server):
        """What is shown is what was decided upon."""
        status, out = self.explain(run, config(), server.token())
        assert 0 == status
        assert f"ok       iss: expected '{server.issuer}', got {server.issuer}" in out
        assert 1 == len(server.requests("/introspect"))

    def test_a_refusal_shows_what_the_server_said(self, run, config, server):
        """Asked once, too."""
        status, out = self.explain(run, config(), server.token(aud="billing"))
        assert 1 == status
        assert "failed   aud: expected 'api', got billing" in out
        assert 1 == len(server.requests("/introspect"))

    def test_it_says_whom_it_asked(self, run, config, server):
        """The issuer that is written, and no cache."""
        out = self.explain(run, config(), server.token())[1]
        assert (
            f"verified by introspection of {server.issuer}, past all caches" == out.splitlines()[0]
        )

    @pytest.mark.parametrize(
        ("token", "said"),
        [
            ("Bearer good", ("11 characters, among them a space", "without Bearer before it")),
            ("bearer  good", ("12 characters, among them a space", "without Bearer before it")),
            ("go od", ("5 characters, among them a space", "or holds a space")),
            ("gööd", ("4 characters, among them one that is not visible ASCII", "not visible")),
            ("x" * 16_385, ("16385 characters", "longer than 16384 bytes")),
        ],
        ids=["scheme", "two spaces", "space", "umlaut", "long"],
    )
    def test_what_is_no_token_is_named_and_not_sent(self, run, config, server, token, said):
        """Exit 1, with what is wrong about its characters; nobody is asked."""
        got, advice = said
        status, out = self.explain(run, config(), token)
        _, syntax, *_, last = out.splitlines()
        assert (1, True) == (status, syntax.startswith("failed   syntax: "))
        assert syntax.endswith(f", got {got}")
        assert advice in last
        assert [] == server.requests("/introspect")

    def test_nothing_at_all_is_said_to_be_nothing(self, run, config, server):
        """An empty file, or a pipe from what failed."""
        status, out, _ = run("verify", "-", "--explain", "--config", config(), stdin="")
        assert 1 == status
        assert out.splitlines()[-1].endswith("; nothing came on standard input")
        assert [] == server.requests("/introspect")

    def test_an_opaque_token_is_nothing_to_advise_on(self, run, config, server):
        """Refused by its issuer, it says what the server said and no more."""
        status, out = self.explain(run, config(), "opaque")
        assert (1, "refused: inactive: ") == (status, out.splitlines()[-1][:19])
        assert "; " not in out.splitlines()[-1]

    def test_a_shared_cache_is_not_looked_at(self, run, config, server):
        """Nobody connects to it, neither before the answer nor with it."""
        with socket.create_server(("127.0.0.1", 0)) as redis:
            url = f"redis://127.0.0.1:{redis.getsockname()[1]}"
            shared = ["[shared_cache]", f'url = "{url}"', f'secrets = ["{SECRET}"]']
            status, out = self.explain(run, config(*shared), server.token())
            redis.settimeout(0)
            with pytest.raises(BlockingIOError):
                redis.accept()
        assert 0 == status
        assert "past all caches" in out

    def test_an_answer_that_names_no_issuer(self, run, config, server):
        """A written issuer has to be named."""
        status, out = self.explain(run, config(), server.token(iss=None))
        assert 1 == status
        assert "failed   iss: " in out
        assert "got absent" in out

    def test_signed_answers(self, run, config):
        """What has to come is said; that it came plain is why nobody can decide."""
        demanded = 'signed_response_alg = ["ES256", "PS256"]'
        with FakeAuthorizationServer(client_secret=SECRET, signed_introspection=True) as signing:
            path = config(demanded, issuer=signing.issuer)
            status, out = self.explain(run, path, signing.token())
        assert 0 == status
        assert "expected an answer as in RFC 7662, signed as in RFC 9701 (ES256, PS256)" in out

    def test_discovery_that_fails_is_undecided(self, run, config, server):
        """Exit 3, at the call."""
        path = config(issuer=f"http://127.0.0.1:{free_port()}")
        status, out = self.explain(run, path, server.token())
        assert 3 == status
        assert "failed   call: " in out

    @pytest.mark.parametrize(
        ("issuer", "expected"), [(None, (0, "ok", 1)), ("https://other.example", (1, "failed", 1))]
    )
    def test_an_entry_that_names_no_issuer_beside_another(
        self, run, config, server, issuer, expected
    ):
        """It is asked as any other, and may not name the issuer of the other."""
        path = config(
            "[[credentials]]",
            'type = "introspection"',
            'issuer = "https://other.example"',
            'audience = "api"',
            'source = "cookie:other"',
            f'client_auth = {{ method = "bearer", token = "{SECRET}" }}',
        )
        text = path.read_text().replace(
            f'issuer = "{server.issuer}"',
            f'introspection_endpoint = "{server.introspection_endpoint}"',
        )
        path.write_text(text)
        token = server.token(iss=issuer)
        status, out = self.explain(run, path, token)
        (iss,) = [line[:8].strip() for line in out.splitlines() if line[9:].startswith("iss")]
        assert expected == (status, iss, len(server.requests("/introspect")))


def test_introspect_prints_what_the_discovered_endpoint_says(run, config, server):
    """The answer as it came, asked for just now."""
    token = server.token(sub="ada")
    status, out, _ = run("introspect", "-", "--config", config(), stdin=token)
    assert (0, "ada") == (status, json.loads(out)["sub"])


def test_what_the_configuration_names_is_found_in_the_current_folder(
    run, config, server, tmp_path, monkeypatch
):
    """As the application's own server finds it."""
    (tmp_path / "shop_events.py").write_text("def record(event): print('told', event.kind)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder])
    path = config()
    path.write_text('on_event = "shop_events:record"\n' + path.read_text())
    status, _, err = run("check-config", path)
    assert (0, "") == (status, err)
    # Last: what is installed is found first.
    assert str(tmp_path) == sys.path[-1]
