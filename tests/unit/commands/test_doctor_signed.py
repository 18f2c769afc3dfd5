"""`tokenward doctor`: entries whose tokens are checked by keys, and issuers that publish some."""

import email.utils
import json
import re
import time
import tomllib

import pytest
from benchmarks.ports import free_port

from tokenward import _jose
from tokenward.config import Settings

OAUTH = "/.well-known/oauth-authorization-server"
SECRET = "correct-horse-battery-staple-9-of-many"
LOOPBACK = "names this machine only; write the https URL that others reach it by"


def public(algorithm, **members):
    return _jose.public_jwk(_jose.generate_key(algorithm)) | members


def closed_port():
    """Return a port that nobody is given, and so nobody listens on."""
    return free_port()


def findings(out):
    """Return the level and text of each finding, by its setting."""
    found = {}
    for line in out.splitlines():
        matched = re.fullmatch(r"(ok  |warn|FAIL) (\S+): (.*)", line)
        if matched:
            found.setdefault(matched[2], []).append((matched[1].strip(), matched[3]))
    return found


@pytest.fixture
def doctor(run, config):
    """Examine a configuration of one entry; return the exit status and the findings."""

    def doctor(kind, *lines, audience='"api"'):
        audience = [] if audience is None else [f"audience = {audience}"]
        text = "\n".join(["[[credentials]]", f'type = "{kind}"', *audience, *lines])
        status, out, err = run("doctor", "--config", config(text))
        # What is fetched may be logged; what is said of it is in the findings.
        assert "Traceback" not in err
        return status, findings(out)

    return doctor


def discovered(key_set, **metadata):
    """Return the documents of an issuer."""
    return {
        OAUTH: lambda root: {"issuer": root, "jwks_uri": f"{root}/certs"} | metadata,
        "/certs": {"keys": key_set},
    }


class TestJWKS:
    def test_an_issuer_with_keys_is_ok(self, doctor, server):
        """Where it describes itself, its keys, its clock."""
        status, found = doctor("jwks", f'issuer = "{server.issuer}"')
        assert 0 == status
        assert [
            ("warn", LOOPBACK),
            ("ok", f"describes itself at {server.issuer}{OAUTH}"),
            ("ok", f"{server.jwks_uri} has keys: 1 for ES256"),
        ] == found["credentials[0].issuer"]
        clock = ("ok", "the server's clock and this one agree")
        assert [clock] == found["credentials[0].leeway"]

    @pytest.mark.parametrize(
        ("setting", "path"), [("discovery_url", OAUTH), ("jwks_uri", "/.well-known/jwks.json")]
    )
    def test_a_finding_is_about_what_is_written(self, doctor, server, setting, path):
        """The setting that says where the keys are."""
        lines = [f'issuer = "{server.issuer}"', f'{setting} = "{server.issuer}{path}"']
        status, found = doctor("jwks", *lines)
        last = found[f"credentials[0].{setting}"][-1]
        assert (0, ("ok", f"{server.jwks_uri} has keys: 1 for ES256")) == (status, last)
        assert "credentials[0].issuer" not in found

    def test_a_server_that_is_down_is_an_outage(self, doctor):
        """Exit 3."""
        status, found = doctor(
            "jwks", f'issuer = "http://127.0.0.1:{closed_port()}"', "retries = 0"
        )
        level, text = found["credentials[0].issuer"][-1]
        assert (3, "FAIL") == (status, level)
        assert text.startswith("cannot be reached (connect_failed)")

    @pytest.mark.parametrize(("answer", "status"), [(503, 3), (404, 1)])
    def test_keys_that_cannot_be_fetched_are_a_failure(self, doctor, server, answer, status):
        """Exit 3 where it may pass."""
        server.fail(server.jwks_uri, answer)
        found = doctor("jwks", f'issuer = "{server.issuer}"')
        level, text = found[1]["credentials[0].issuer"][-1]
        assert (status, "FAIL") == (found[0], level)
        assert f"{server.jwks_uri} answered {answer}" in text

    @pytest.mark.parametrize(
        ("documents", "text"),
        [
            ({}, "there is no metadata"),
            ({OAUTH: {"issuer": "https://other.example"}}, "expected the issuer"),
            (
                {OAUTH: lambda root: {"issuer": root}},
                "has no jwks_uri; configure it by hand; or write credentials[0].jwks_uri beside it",
            ),
        ],
        ids=["none", "another", "no-keys"],
    )
    def test_an_issuer_that_is_none_is_a_failure(self, doctor, publishing, documents, text):
        """Exit 1: waiting mends nothing."""
        with publishing(documents) as root:
            status, found = doctor("jwks", f'issuer = "{root}"')
        level, said = found["credentials[0].issuer"][-1]
        assert (1, "FAIL") == (status, level)
        assert text in said

    def test_keys_for_other_algorithms_are_a_failure(self, doctor, publishing):
        """Exit 1: what is configured, and what there is; the metadata says so too."""
        listed = {"id_token_signing_alg_values_supported": ["EdDSA", "none"]}
        with publishing(discovered([public("EdDSA"), public("ES384")], **listed)) as root:
            status, found = doctor("jwks", f'issuer = "{root}"')
        expected = (
            f"{root}/certs has no key for RS256, ES256: it has 1 for ES384, 1 for EdDSA; "
            "write the algorithms that the tokens have"
        )
        assert (1, ("FAIL", expected)) == (status, found["credentials[0].issuer"][-1])
        ((level, text),) = found["credentials[0].algorithms"]
        assert "warn" == level
        assert text.startswith("the server lists EdDSA, none for what it signs")

    def test_one_algorithm_in_common_is_enough(self, doctor, publishing):
        """Of those that the metadata lists, and of those of the keys."""
        listed = {"id_token_signing_alg_values_supported": ["EdDSA", "ES256"]}
        with publishing(discovered([public("EdDSA"), public("ES256")], **listed)) as root:
            status, found = doctor("jwks", f'issuer = "{root}"')
        assert (0, False) == (status, "credentials[0].algorithms" in found)

    def test_entries_that_are_not_used_are_shown(self, doctor, publishing):
        """With the reason; one that is secret is a warning, and is not shown itself."""
        secret = {"kty": "oct", "kid": "s", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQ"}
        keys = [public("ES256"), public("RS256", use="enc", kid="e"), secret]
        with publishing(discovered(keys)) as root:
            status, found = doctor("jwks", f'issuer = "{root}"')
        last = f"{root}/certs has keys: 1 for ES256; 2 more cannot be used"
        assert (0, ("ok", last)) == (status, found["credentials[0].issuer"][-1])
        assert [("ok", "e: not used: RSA 2048 bits: use is enc, not sig")] == found[
            "credentials[0].issuer.keys[1]"
        ]
        ((level, text),) = found["credentials[0].issuer.keys[2]"]
        assert "warn" == level
        assert text.startswith("s: a secret that signs tokens (kty oct) is published")
        assert secret["k"] not in str(found)

    @pytest.mark.parametrize(
        ("apart", "says"),
        [
            (-300, "ahead of the server's, and leeway is 30 s: tokens expire here before their"),
            (300, "behind the server's, and leeway is 30 s: new tokens are refused as issued in"),
            (-20, "ahead of the server's; set the one that is wrong"),
        ],
    )
    def test_a_clock_that_is_off_is_a_warning(self, doctor, at_a_time, apart, says):
        """By how many seconds, and what becomes of tokens."""

        def date():
            return email.utils.formatdate(time.time() + apart, usegmt=True)

        documents = discovered([])
        documents["/certs"] = lambda _: {"keys": [public("ES256")]}
        with at_a_time(date, documents) as root:
            status, found = doctor("jwks", f'issuer = "{root}"')
        ((level, text),) = found["credentials[0].leeway"]
        assert (0, "warn") == (status, level)
        seconds = re.match(r"this clock is (\d+) s ", text)
        assert abs(int(seconds[1]) - abs(apart)) < 15
        assert says in text

    def test_a_small_leeway_makes_a_small_difference_count(self, doctor, at_a_time):
        """Beyond what a Date can tell."""

        def date():
            return email.utils.formatdate(time.time() - 9, usegmt=True)

        documents = discovered([])
        documents["/certs"] = lambda _: {"keys": [public("ES256")]}
        with at_a_time(date, documents) as root:
            found = doctor("jwks", f'issuer = "{root}"', "leeway = 3")[1]
        assert "warn" == found["credentials[0].leeway"][0][0]

    def test_what_accepts_more_than_it_should_is_a_warning(self, doctor, server):
        """Any audience, any issuer, any server."""
        lines = ["issuer = false", f'jwks_uri = "{server.jwks_uri}"', "verify_tls = false"]
        status, found = doctor("jwks", *lines, audience="false")
        names = ("audience", "issuer", "verify_tls")
        assert 0 == status
        assert ["warn"] * 3 == [found[f"credentials[0].{name}"][0][0] for name in names]

    def test_pinned_keys_are_not_asked_for(self, doctor):
        """There is nobody to ask."""
        keys = json.dumps({"keys": [public("ES256")]})
        status, found = doctor("jwks", 'issuer = "https://x.example"', f"jwks = '{keys}'")
        assert (0, "ok") == (status, found["credentials[0].jwks"][0][0])

    def test_whoever_is_asked_live_is_asked_too(self, doctor, server):
        """As an introspection entry: the credentials are tried."""
        live = (
            'live = {{ client_auth = {{ method = "client_secret_basic", '
            'client_id = "resource-server", client_secret = "{}" }} }}'
        )
        lines = [f'issuer = "{server.issuer}"', live.format(server.client_secret)]
        status, found = doctor("jwks", *lines)
        asked = ("ok", "answers, takes our credentials, knows no made-up token")
        assert (0, asked) == (status, found["credentials[0].live.issuer"][-1])

        status, found = doctor("jwks", lines[0], live.format(SECRET))
        assert (1, "FAIL") == (status, found["credentials[0].live.client_auth"][0][0])


class TestOthers:
    def test_a_shared_secret_is_for_moving_over(self, doctor):
        """A warning that says what to do instead."""
        status, found = doctor(
            "shared_secret", 'issuer = "https://old.example"', f'secret = "{SECRET}"'
        )
        texts = [text for _level, text in found["credentials[0].secret"]]
        assert 0 == status
        assert any("it is there for moving over" in text for text in texts)
        assert SECRET not in str(found)

    def test_a_custom_verifier_can_be_made(self, doctor, tmp_path, monkeypatch):
        """More is not known."""
        (tmp_path / "examined_of_ours.py").write_text(
            "class Ours:\n"
            "    def verify(self, token, /, *, live=False):\n"
            "        raise SystemExit\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path))
        status, found = doctor("custom", 'factory = "examined_of_ours:Ours"', audience=None)
        text = "examined_of_ours:Ours makes a verifier; what it verifies with, it alone knows"
        assert (0, [("ok", text)]) == (status, found["credentials[0].factory"])

    def test_a_cloudflare_team_has_its_keys_looked_at(self, doctor, publishing):
        """On its own domain, where it has one."""
        with publishing({"/cdn-cgi/access/certs": {"keys": [public("RS256")]}}) as domain:
            status, found = doctor("cloudflare", 'team = "acme"', f'domain = "{domain}"')
        expected = f"{domain}/cdn-cgi/access/certs has keys: 1 for RS256"
        assert (0, [("ok", expected)]) == (status, found["credentials[0].domain"])
        assert "ok" == found["credentials[0].leeway"][0][0]

    def test_a_cloudflare_team_that_is_none_is_a_failure(self, doctor, publishing):
        """A domain without keys: exit 1."""
        with publishing({}) as domain:
            status, found = doctor("cloudflare", 'team = "acme"', f'domain = "{domain}"')
        assert (1, "FAIL") == (status, found["credentials[0].domain"][0][0])

    @pytest.mark.parametrize(
        ("environment", "says"),
        [
            (None, "is ignored: TOKENWARD_ENV is not development; take it out"),
            ("production", "is ignored: TOKENWARD_ENV is not development; take it out"),
            ("development", "stands in for everybody who asks on this machine"),
        ],
    )
    def test_somebody_who_stands_in_for_people_is_a_warning(
        self, doctor, publishing, monkeypatch, environment, says
    ):
        """Wherever that is: ignored, or dangerous where others reach it."""
        monkeypatch.delenv("TOKENWARD_ENV", raising=False)
        if environment is not None:
            monkeypatch.setenv("TOKENWARD_ENV", environment)
        with publishing({"/cdn-cgi/access/certs": {"keys": [public("RS256")]}}) as domain:
            lines = ['team = "acme"', f'domain = "{domain}"', 'dev_user = "a@example.com"']
            status, found = doctor("cloudflare", *lines, audience="false")
        ((level, text),) = found["credentials[0].dev_user"]
        assert (0, "warn", "warn") == (status, level, found["credentials[0].audience"][0][0])
        assert text.startswith(says)


class TestIssuer:
    @pytest.mark.parametrize(
        ("algorithm", "written"), [("RS256", ("RS256", "ES256")), ("EdDSA", ("EdDSA",))]
    )
    def test_one_with_keys_alone_is_verified_with_them(self, run, publishing, algorithm, written):
        """What it prints can be pasted, and names the algorithms where they are unusual."""
        with publishing(discovered([public(algorithm)])) as root:
            status, out, _ = run("doctor", root)
        (entry,) = Settings.model_validate(
            tomllib.loads(out[out.index("[[credentials]]") :])
        ).credentials
        assert (0, "jwks", root, written) == (status, entry.type, entry.issuer, entry.algorithms)
        none = [("ok", "none: its tokens are verified with its keys")]
        assert none == findings(out)["introspection_endpoint"]

    def test_one_whose_keys_cannot_be_used_is_a_failure(self, run, publishing):
        """Exit 1, and there is nothing to paste."""
        with publishing(discovered([])) as root:
            status, out, _ = run("doctor", root)
        assert (1, False) == (status, "[[credentials]]" in out)
        assert "FAIL" == findings(out)["introspection_endpoint"][0][0]
