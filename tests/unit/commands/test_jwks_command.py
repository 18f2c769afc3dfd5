"""`tokenward jwks URL`: the keys that are published, and what becomes of each."""

import base64
import datetime as dt
import email.utils
import json
import re
import time

import pytest
from benchmarks.ports import free_port
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tokenward import _jose
from tokenward.testing._loopback import Answer

OAUTH = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"


def public(algorithm, **members):
    """Return a public key as a JWK; a value of ``...`` leaves a member out."""
    jwk = _jose.public_jwk(_jose.generate_key(algorithm)) | members
    return {name: value for name, value in jwk.items() if value is not ...}


def certified(begins, ends):
    """Return a public key as a JWK with a certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "keys.example")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begins)
        .not_valid_after(ends)
        .sign(key, hashes.SHA256())
    )
    der = certificate.public_bytes(serialization.Encoding.DER)
    return public("ES256", x5c=[base64.b64encode(der).decode()])


def private_jwk():
    numbers = ec.generate_private_key(ec.SECP256R1()).private_numbers()
    octets = {
        "d": numbers.private_value,
        "x": numbers.public_numbers.x,
        "y": numbers.public_numbers.y,
    }
    encoded = {name: _jose.encode(number.to_bytes(32)) for name, number in octets.items()}
    return {"kty": "EC", "crv": "P-256", "kid": "leaked", **encoded}


def keys_in(out):
    """Return the state and text of each key by its position."""
    found = re.findall(r"^(\w+) +keys\[(\d+)\] (.*)$", out, re.MULTILINE)
    return {int(position): (state, text) for state, position, text in found}


def line(out, word):
    (found,) = [text[9:] for text in out.splitlines() if text.startswith(f"{word:8} ")]
    return found


def closed_port():
    """Return a port that nobody is given, and so nobody listens on."""
    return free_port()


class TestPlace:
    def test_a_key_sets_url_is_asked_once(self, run, server):
        """What it answers says what it is."""
        status, out, err = run("jwks", server.jwks_uri)

        assert (0, "") == (status, err)
        assert ["taken for a JWK Set", f"keys at {server.jwks_uri}"] == out.splitlines()[:2]
        assert [server.jwks_uri] == [server.issuer + r.path for r in server.requests()]

    def test_an_issuer_is_discovered(self, run, server):
        """It has no keys of its own to show, and says where they are."""
        status, out, err = run("jwks", server.issuer)

        expected = f"taken for an issuer: {server.issuer}, described at {server.issuer}{OAUTH}"
        assert (0, "", expected) == (status, err, out.splitlines()[0])
        assert f"keys at {server.jwks_uri}" == out.splitlines()[1]

    def test_an_issuer_is_discovered_as_openid_connect_has_it_too(self, run, publishing):
        """Where RFC 8414's place is empty; with a path, and JSON at the issuer itself."""
        documents = {
            "/realms/x": {"realm": "x", "public_key": "…"},
            f"/realms/x{OPENID}": lambda root: {
                "issuer": f"{root}/realms/x",
                "jwks_uri": f"{root}/certs",
            },
            "/certs": {"keys": [public("RS256")]},
        }
        with publishing(documents) as root:
            status, out, _ = run("jwks", f"{root}/realms/x")
        expected = f"taken for an issuer: {root}/realms/x, described at {root}/realms/x{OPENID}"
        assert (0, expected) == (status, out.splitlines()[0])

    @pytest.mark.parametrize("path", [OPENID, OAUTH])
    def test_metadata_leads_to_the_keys(self, run, server, path):
        """A discovery URL, whose issuer is what stands before it."""
        status, out, _ = run("jwks", server.issuer + path)
        described = f"{server.issuer}, described at {server.issuer}{path}"
        assert (0, f"taken for an issuer's metadata: {described}") == (status, out.splitlines()[0])

    def test_metadata_elsewhere_is_known_by_what_it_says(self, run, publishing):
        """There is no issuer in such a URL to compare with."""
        documents = {
            "/config": lambda root: {"issuer": f"{root}/x", "jwks_uri": f"{root}/certs"},
            "/certs": {"keys": [public("RS256")]},
        }
        with publishing(documents) as root:
            status, out, _ = run("jwks", f"{root}/config")
        expected = f"taken for an issuer's metadata: {root}/x, described at {root}/config"
        assert (0, expected) == (status, out.splitlines()[0])

    @pytest.mark.parametrize("issuer", [None, 5, "http://as.example"])
    def test_metadata_elsewhere_has_to_name_an_issuer(self, run, publishing, issuer):
        """Exit 1, and what is wrong about it."""
        with publishing({"/config": {"issuer": issuer, "jwks_uri": "https://x.example"}}) as root:
            status, out, err = run("jwks", f"{root}/config")
        assert (1, "") == (status, out)
        assert "answered with metadata that names no issuer. The issuer in it" in err

    def test_metadata_of_another_issuer_is_refused(self, run, publishing):
        """Exit 1: the issuer that was asked, and the one that answered."""
        with publishing({OAUTH: {"issuer": "https://other.example"}}) as root:
            status, out, err = run("jwks", root)
        assert (1, "") == (status, out)
        assert f"expected the issuer {root}" in err
        assert "https://other.example" in err
        assert err.rstrip().endswith("[issuer_mismatch]")

    def test_what_is_neither_says_what_was_tried(self, run, server):
        """The URL itself, and each place where an issuer describes itself."""
        url = f"{server.issuer}/nothing"
        status, out, err = run("jwks", url)
        assert (1, "") == (status, out)
        assert f"there is no JWK Set: {url} answered 404; and for an issuer there is no" in err
        for place in (f"{OAUTH}/nothing", f"/nothing{OPENID}"):
            assert f"{server.issuer}{place} answered 404" in err

    def test_a_query_is_no_issuers(self, run, server):
        """Nobody describes itself there; what is secret in it is not repeated."""
        status, _, err = run("jwks", f"{server.issuer}/certs?p=hush")
        assert 1 == status
        assert f"there is no JWK Set: {server.issuer}/certs answered 404 [bad_response]" in err
        assert "hush" not in err

    @pytest.mark.parametrize(
        "url",
        ["http://as.example/jwks", "as.example", "file:///etc/passwd", "https://u:p@x.example"],
    )
    def test_a_url_that_must_not_be_called_is_wrong_usage(self, run, url):
        """Exit 2, and what to write."""
        status, out, err = run("jwks", url)
        assert (2, "") == (status, out)
        assert err.startswith("tokenward: The URL ")

    def test_a_server_that_is_down_is_an_outage(self, run):
        """Exit 3."""
        status, out, err = run("jwks", f"http://127.0.0.1:{closed_port()}/jwks")
        assert (3, "") == (status, out)
        assert err.rstrip().endswith("[connect_failed]")

    @pytest.mark.parametrize(("status", "expected"), [(503, 3), (429, 3), (500, 3), (403, 1)])
    def test_a_status_says_whether_it_may_pass(self, run, server, status, expected):
        """Exit 3 for an overload, exit 1 where somebody has to change something."""
        server.fail(server.jwks_uri, status, times=2)
        assert expected == run("jwks", server.issuer)[0]

    def test_a_query_is_not_shown(self, run, publishing):
        """It may hold a key: neither where the keys are, nor in what doctor says of them."""
        documents = {
            OAUTH: lambda root: {"issuer": root, "jwks_uri": f"{root}/certs?key=hush"},
            "/certs": {"keys": [public("ES256")]},
        }
        with publishing(documents) as root:
            for command in ("jwks", "doctor"):
                status, out, err = run(command, root)
                assert (0, True) == (status, f"{root}/certs" in out)
                assert "hush" not in out + err

    def test_a_redirect_is_not_followed(self, run, server):
        """Exit 1, and that the final URL is wanted."""
        server.fail(server.jwks_uri, 302, headers={"Location": "https://elsewhere.example/"})
        status, _, err = run("jwks", server.issuer)
        assert 1 == status
        assert "answered 302 (redirects are not followed: configure the final URL)" in err

    def test_keys_of_another_content_type_are_refused(self, run, publishing):
        """Exit 1, with the type that came and those that are taken."""
        body = json.dumps({"keys": [public("RS256")]}).encode()
        with publishing({"/jwks": Answer(200, body, {"Content-Type": "text/plain"})}) as root:
            status, _, err = run("jwks", f"{root}/jwks")
        assert 1 == status
        assert "the content type text/plain, not application/json" in err
        assert "for an issuer" not in err

    def test_keys_that_are_too_many_bytes_are_refused(self, run, publishing):
        """Exit 1: a mebibyte is the most that is read."""
        with publishing({"/jwks": {"keys": ["x" * 1_100_000]}}) as root:
            status, _, err = run("jwks", f"{root}/jwks")
        assert 1 == status
        assert err.rstrip().endswith("[too_large]")

    def test_a_large_set_is_read(self, run, publishing):
        """As large as a verifier reads it."""
        with publishing(
            {"/jwks": {"keys": [public("ES256", x="y" * 200_000), public("ES256")]}}
        ) as root:
            assert 0 == run("jwks", f"{root}/jwks")[0]

    @pytest.mark.parametrize("keys", [{"a": 1}, "x", None])
    def test_what_is_no_list_of_keys_is_refused(self, run, publishing, keys):
        """Exit 1."""
        with publishing({"/jwks": {"keys": keys}}) as root:
            status, _, err = run("jwks", f"{root}/jwks")
        assert 1 == status
        assert "a JWK Set is an object with a list of keys" in err


class TestKeys:
    def shown(self, run, publishing, *keys, headers=None):
        body = json.dumps({"keys": keys}).encode()
        typed = {"Content-Type": "application/jwk-set+json"} | (headers or {})
        with publishing({"/jwks": Answer(200, body, typed)}) as root:
            return run("jwks", f"{root}/jwks")

    def test_a_key_is_shown_as_it_is_used(self, run, publishing):
        """Its kid, kind, size, algorithms, use, and its thumbprint (RFC 7638)."""
        keys = [
            public("RS256", kid="one", alg=...),
            public("ES384", kid="two", use=...),
            public("EdDSA", kid=...),
        ]
        status, out, err = self.shown(run, publishing, *keys)
        prints = [_jose.thumbprint(key) for key in keys]
        no_use = "no use, which is as good as sig"
        rsa_algorithms = "PS256/PS384/PS512/RS256/RS384/RS512"
        assert (0, "") == (status, err)
        assert {
            0: (
                "used",
                f"kid one: RSA 2048 bits for {rsa_algorithms}, use sig, thumbprint {prints[0]}",
            ),
            1: (
                "used",
                f"kid two: EC P-384 for ES384, {no_use}, thumbprint {prints[1]}",
            ),
            2: ("used", f"no kid: OKP Ed25519 for EdDSA, use sig, thumbprint {prints[2]}"),
        } == keys_in(out)

    def test_what_says_how_old_a_key_is_is_shown(self, run, publishing):
        """A certificate's dates, and the members iat, nbf and exp."""
        begins, ends = (
            dt.datetime(2024, 5, 1, tzinfo=dt.UTC),
            dt.datetime(2034, 6, 2, tzinfo=dt.UTC),
        )
        seconds = {"iat": int(begins.timestamp()), "nbf": 0, "exp": ends.timestamp()}
        out = self.shown(run, publishing, certified(begins, ends), public("ES256", **seconds))[1]
        assert keys_in(out)[0][1].endswith(", certificate 2024-05-01 to 2034-06-02")
        dated = "made 2024-05-01, good from 1970-01-01, good until 2034-06-02"
        assert keys_in(out)[1][1].endswith(f", {dated}")

    @pytest.mark.parametrize("moment", [True, "5", -1, 1e300, None, []])
    def test_what_is_no_moment_is_not_shown(self, run, publishing, moment):
        """A set from elsewhere may hold anything there."""
        status, out, _ = self.shown(run, publishing, public("ES256", iat=moment))
        assert 0 == status
        assert "made" not in out

    @pytest.mark.parametrize("chain", [["AAAA"], ["é"], [5], [{}], ["x" * 100_000]])
    def test_a_certificate_that_cannot_be_read_is_said_to_be(self, run, publishing, chain):
        """The key is used all the same."""
        status, out, _ = self.shown(run, publishing, public("ES256", x5c=chain))
        assert (0, "used") == (status, keys_in(out)[0][0])
        assert keys_in(out)[0][1].endswith("an x5c that cannot be read (nothing here needs it)")

    def test_what_is_not_used_is_shown_with_its_reason(self, run, publishing):
        """Each on its own line; the others are used."""
        small = rsa.generate_private_key(65537, 1024).public_key().public_numbers()  # noqa: S505 - weak
        weak = {
            "kty": "RSA",
            "kid": "weak",
            "n": _jose.encode(small.n.to_bytes(128)),
            "e": "AQAB",
        }
        encrypts = public("RS256", use="enc", alg="RSA-OAEP", kid="enc")
        status, out, _ = self.shown(
            run, publishing, encrypts, weak, "no object", {"kty": "XY"}, public("ES256", kid="ok")
        )
        found = keys_in(out)
        assert (0, "used") == (status, found[4][0])
        assert {
            0: ("skipped", "kid enc: RSA 2048 bits: use is enc, not sig"),
            1: ("skipped", "kid weak: RSA 1024 bits: n has 1024 bits; 2048 to 8192 are accepted"),
            2: ("skipped", "no kid: no kty: not an object"),
            3: ("skipped", "no kid: XY: kty XY is not one of EC, OKP, RSA, oct"),
        } == {at: found[at] for at in range(4)}

    def test_a_kid_is_escaped_and_cut(self, run, publishing):
        """It is whatever somebody chose."""
        out = self.shown(run, publishing, public("ES256", kid="a\n\x1b[31m" + "é" * 500))[1]
        shown = keys_in(out)[0][1].partition(": ")[0]
        assert "kid a\\x0a\\x1b[31m" + "\\xe9" * 57 + "…" == shown

    def test_keys_of_one_name_are_pointed_out(self, run, publishing):
        """Neither is taken for a token that both would fit."""
        keys = [public("ES256", kid="x"), public("ES256", kid="x"), public("EdDSA", kid="x")]
        found = keys_in(self.shown(run, publishing, *keys)[1])
        doubled = "another key has this kid too"
        assert [True, True, False] == [doubled in found[at][1] for at in range(3)]

    @pytest.mark.parametrize("kid", ["leaked", None])
    def test_a_private_key_is_said_loudly_and_not_shown(self, run, publishing, kid):
        """Exit 1, for whoever read it can make tokens."""
        key = private_jwk() | {"kid": kid}
        status, out, err = self.shown(run, publishing, key, public("ES256"))
        state, text = keys_in(out)[0]
        assert (1, "EXPOSED", "used") == (status, state, keys_in(out)[1][0])
        assert "the private half of a key (EC P-256) is published" in text
        assert "1 of these keys must be replaced at once" in err
        assert key["d"] not in out + err

    def test_a_secret_is_said_loudly_and_not_shown(self, run, publishing):
        """Neither it nor its thumbprint, which one could guess it by."""
        key = {"kty": "oct", "kid": "s", "k": _jose.encode(b"correct horse battery staple 123")}
        status, out, err = self.shown(run, publishing, key, public("ES256"))
        assert (1, "EXPOSED") == (status, keys_in(out)[0][0])
        assert "a secret that signs tokens (kty oct) is published" in keys_in(out)[0][1]
        assert key["k"] not in out + err
        assert _jose.thumbprint(key) not in out + err

    @pytest.mark.parametrize("keys", [[], [{"kty": "XY"}]])
    def test_a_set_without_a_key_to_use_is_a_failure(self, run, publishing, keys):
        """Exit 1."""
        status, _, err = self.shown(run, publishing, *keys)
        assert 1 == status
        assert "none of these keys verifies a token" in err

    def test_a_set_of_very_many_entries_is_cut(self, run, publishing):
        """Whoever published it may have put anything into it."""
        status, out, _ = self.shown(run, publishing, public("ES256"), *[{}] * 300)
        assert (0, 200) == (status, len(keys_in(out)))
        assert "101 more entries" == line(out, "…")

    @pytest.mark.parametrize(
        ("headers", "expected"),
        [
            ({}, "900 s, which is ttl; the server does not say (no Cache-Control)"),
            (
                {"Cache-Control": "public"},
                "900 s, which is ttl; the server does not say (Cache-Control: public)",
            ),
            (
                {"Cache-Control": "max-age=300", "Age": "12"},
                "288 s, as the server says (Cache-Control: max-age=300; Age: 12)",
            ),
            (
                {"Cache-Control": "max-age=86400"},
                "900 s, which is ttl; the server says 86400 s (Cache-Control: max-age=86400)",
            ),
            (
                {"Cache-Control": "no-store"},
                "30 s, which is cooldown; the server says 0 s (Cache-Control: no-store)",
            ),
        ],
        ids=["nothing", "no-age", "between", "long", "short"],
    )
    def test_how_long_the_keys_are_kept_is_said(self, run, publishing, headers, expected):
        """What the server says, and what becomes of it between cooldown and ttl."""
        out = self.shown(run, publishing, public("ES256"), headers=headers)[1]
        assert expected == line(out, "kept")

    def test_a_clock_that_is_off_is_said(self, run, at_a_time):
        """By how much; what others kept the answer for is no difference."""
        documents = {"/jwks": lambda _: {"keys": [public("ES256")]}}
        past = email.utils.formatdate(time.time() - 3_600, usegmt=True)
        with at_a_time(past, documents) as root:
            out = run("jwks", f"{root}/jwks")[1]
        assert re.match(r"this clock is 36\d\d s ahead of the server's", line(out, "clock"))

        with at_a_time(past, documents, Age="3600") as root:
            out = run("jwks", f"{root}/jwks")[1]
        assert "clock " not in out

    @pytest.mark.parametrize("date", ["yesterday", "Thu, 01 Jan 1970", "", "a, b, c"])
    def test_what_is_no_date_says_nothing_of_clocks(self, run, at_a_time, date):
        """A server may write anything there."""
        with at_a_time(date, {"/jwks": lambda _: {"keys": [public("ES256")]}}) as root:
            status, out, _ = run("jwks", f"{root}/jwks")
        assert (0, False) == (status, "clock " in out)
