"""`tokenward verify - --explain` for tokens that are checked by their signature."""

import json
import re
import time

import pytest

from tokenward import _jose
from tokenward._jose.algorithms import ALGORITHMS
from tokenward.testing import FakeAuthorizationServer

SECRET = "correct-horse-battery-staple-9-of-many"
OPENID = "/.well-known/openid-configuration"
ORDER = [
    "syntax",
    "alg",
    "crit",
    "typ",
    "kind",
    "exp",
    "nbf",
    "iat",
    "iss",
    "aud",
    "required",
    "cnf",
    "keys",
    "kid",
    "signature",
    "subject",
    "denied",
]


@pytest.fixture
def jwks(server, config):
    """Write a configuration that trusts the server; lines may be added or changed."""

    def write(*lines, issuer=None, audience='"api"'):
        issuer = server.issuer if issuer is None else issuer
        entry = [
            "[[credentials]]",
            'type = "jwks"',
            f'issuer = "{issuer}"' if issuer else "issuer = false",
            f"audience = {audience}",
            "retries = 0",
        ]
        return config("\n".join([*entry, *lines]))

    return write


@pytest.fixture
def explain(run):
    """Explain a token; return the exit status, the outcome and text of each check, the output."""

    def explain(path, token):
        status, out, err = run("verify", "-", "--explain", "--config", path, stdin=token)
        # Neither the token nor what of it could be used.
        for secret in (token, token.rpartition(".")[2]):
            assert not secret or len(secret) < 20 or secret not in out + err
        checks = {}
        for line in out.splitlines()[1:-1]:
            name, _, text = line[9:].partition(": ")
            checks[name] = (line[:8].rstrip(), text)
        return status, checks, out

    return explain


def outcomes(checks):
    return {name: outcome for name, (outcome, _) in checks.items()}


def stopped_at(name, order=ORDER):
    """Return the outcomes of checks of which one failed."""
    at = order.index(name)
    passed, rest = dict.fromkeys(order[:at], "ok"), dict.fromkeys(order[at + 1 :], "not made")
    return passed | {name: "failed"} | rest


def signed(claims, key, **header):
    """Return a JWT with this header, whatever it says."""
    segments = [_jose.encode(json.dumps(part).encode()) for part in (header, claims)]
    signing_input = ".".join(segments)
    signature = ALGORITHMS[key.algorithm].sign(signing_input.encode(), key.private)
    return f"{signing_input}.{_jose.encode(signature)}"


def hmac_key(alg="HS256"):
    jwk = {"kty": "oct", "k": _jose.encode(SECRET.encode()), "alg": alg}
    return _jose.key_from_jwk(jwk, allow_symmetric=True)


class TestChecks:
    def test_an_accepted_token_passes_every_check_in_order(self, explain, jwks, server):
        """With what was expected, what came, and where the keys are from."""
        status, checks, out = explain(jwks(), server.token())

        assert (0, dict.fromkeys(ORDER, "ok")) == (status, outcomes(checks))
        assert ORDER == list(checks)
        assert f"verified by the keys of {server.issuer}, found by discovery" in out
        expected = re.escape(f"1 key for signatures, from {server.jwks_uri}, asked ")
        assert int(re.search(rf"{expected}(\d+) s ago", checks["keys"][1])[1]) < 90
        kid = _keys_of(server)[0]["kid"]
        assert f"expected {kid}, got {kid}" == checks["kid"][1]
        assert f"accepted: user user-1 of {server.issuer}" == out.splitlines()[-1]

    def test_nothing_is_fetched_for_a_token_that_fails_before(self, explain, jwks, server):
        """As the verifier has it."""
        status, checks, _ = explain(jwks(), server.token(aud="billing"))
        assert (1, stopped_at("aud"), []) == (status, outcomes(checks), server.requests())
        assert "expected 'api', got billing" == checks["aud"][1]

    @pytest.mark.parametrize(
        ("claims", "failed"),
        [
            ({"exp": None}, "required"),
            ({"exp": "tomorrow"}, "exp"),
            ({"expires_in": -31}, "exp"),
            ({"nbf": 9_999_999_999}, "nbf"),
            ({"iat": 9_999_999_999}, "iat"),
            ({"iss": "https://other.example"}, "iss"),
            ({"cnf": {"jkt": "x"}}, "cnf"),
            ({"typ": "JWE"}, "typ"),
            ({"typ": "JWT", "token_use": "id"}, "kind"),
            ({"sub": None, "client_id": None}, "subject"),
        ],
    )
    def test_the_check_that_failed_is_the_first_one_not_ok(
        self, explain, jwks, server, claims, failed
    ):
        """Those before it passed, those after it were not made."""
        status, checks, _ = explain(jwks(), server.token(**claims))
        assert (1, stopped_at(failed)) == (status, outcomes(checks))

    def test_a_token_of_another_client_is_told_by_its_client(self, explain, jwks, server):
        """A check that is made only where clients are named."""
        path = jwks('clients = ["web", "app"]')
        order = [*ORDER[: ORDER.index("required")], "client_id", *ORDER[ORDER.index("required") :]]

        status, checks, _ = explain(path, server.token(azp="web", client_id=None))
        assert (0, order) == (status, list(checks))
        status, checks, _ = explain(path, server.token(client_id="other"))
        assert (1, stopped_at("client_id", order)) == (status, outcomes(checks))
        assert "expected 'web' or 'app', got other" == checks["client_id"][1]

    def test_what_stands_in_a_header_fails_by_its_name(self, explain, jwks, server):
        """An algorithm nobody may use, an extension, a header type."""
        key = hmac_key()
        claims = {"iss": server.issuer}
        for header, failed in (
            ({"alg": "none"}, "alg"),
            ({"alg": "RS256", "crit": ["b64"], "b64": False}, "crit"),
            ({"alg": "RS256", "typ": "dpop+jwt"}, "typ"),
            ({"alg": "RS256", "kid": 5}, "syntax"),
        ):
            status, checks, _ = explain(jwks(), signed(claims, key, **header))
            assert (1, stopped_at(failed)) == (status, outcomes(checks))
        assert (
            "expected RS256 or ES256, got none"
            == explain(jwks(), signed(claims, key, alg="none"))[1]["alg"][1]
        )

    def test_a_token_that_is_too_large_is_not_read(self, explain, jwks, server):
        """Its size, and the limit."""
        status, checks, _ = explain(jwks("max_token_bytes = 300"), server.token())
        assert (1, stopped_at("syntax")) == (status, outcomes(checks))
        assert checks["syntax"][1].startswith("expected a JWT of up to 300 bytes, got ")

    @pytest.mark.parametrize("byte", ["A", "B"])
    def test_a_changed_signature_fails_as_such(self, explain, jwks, server, byte):
        """After the keys were fetched and the kid was found."""
        head, _, signature = server.token().rpartition(".")
        changed = byte + signature[1:] if signature[0] != byte else "C" + signature[1:]
        status, checks, out = explain(jwks(), f"{head}.{changed}")
        assert (1, stopped_at("signature")) == (status, outcomes(checks))
        assert "Graph" not in out

    def test_an_issuer_that_is_down_leaves_it_undecided(self, explain, jwks, server):
        """Exit 3, at the keys."""
        server.fail(OPENID.replace("openid-configuration", "oauth-authorization-server"), 503)
        status, checks, out = explain(jwks(), server.token())
        assert (3, stopped_at("keys")) == (status, outcomes(checks))
        assert "undecided: bad_response: " in out
        assert "answered 503" in checks["keys"][1]

    def test_keys_that_answer_with_something_else_leave_it_undecided(self, explain, jwks, server):
        """What came is no key set, and is not shown as one."""
        typed = {"Content-Type": "application/json"}
        server.fail(server.jwks_uri, 200, body=b"[]", headers=typed)
        server.fail(server.jwks_uri, 503, body=b'{"keys": []}', headers=typed)
        for said in ("a body that is refused", "answered 503"):
            status, checks, _ = explain(jwks(), server.token())
            assert (3, stopped_at("keys")) == (status, outcomes(checks))
            assert said in checks["keys"][1]

    def test_the_token_types_of_the_configuration_are_shown(self, explain, jwks, server):
        """RFC 9068 only."""
        status, checks, _ = explain(jwks('token_types = ["at+jwt"]'), server.token(typ="JWT"))
        assert (1, stopped_at("typ")) == (status, outcomes(checks))
        assert checks["typ"][1] == "expected at+jwt, got JWT"

    def test_id_tokens_are_taken_where_that_is_written(self, explain, jwks, server):
        """The kind that is expected says so."""
        token = server.token(typ="JWT", at_hash="x", nonce="y")
        status, checks, _ = explain(jwks("accept_id_tokens = true"), token)
        assert (0, "expected an access or ID token, got at_hash x") == (status, checks["kind"][1])

    def test_an_algorithm_that_the_key_is_not_for_fails_at_the_kid(self, explain, jwks, server):
        """It is in the allow-list; the key that the token names is for another one."""
        (entry,) = _keys_of(server)
        token = server.token()
        claims = json.loads(_jose.decode(token.split(".")[1].encode()))
        key = _jose.generate_key("RS256")
        forged = signed(claims, key, alg="RS256", kid=entry["kid"])
        status, checks, _ = explain(jwks(), forged)
        assert (1, stopped_at("kid")) == (status, outcomes(checks))

    def test_anybodys_tokens_may_be_taken(self, explain, jwks, server):
        """Keys at a URL, and no issuer: written out."""
        path = jwks(f'jwks_uri = "{server.jwks_uri}"', issuer=False)
        status, checks, out = explain(path, server.token(iss="https://other.example"))
        assert (0, "expected any, got https://other.example") == (status, checks["iss"][1])
        assert f"verified by the keys of anybody, from {server.jwks_uri}" == out.splitlines()[0]

    def test_how_old_the_keys_were_when_they_came_is_said(self, explain, config, at_a_time):
        """What other caches kept them for, by the Age of the answer."""
        key = _jose.generate_key("ES256")
        documents = {"/jwks": lambda _: {"keys": [_jose.public_jwk(key)]}}
        claims = {"iss": "i", "sub": "s", "exp": int(time.time()) + 60}
        with at_a_time("now", documents, Age="77") as root:
            path = config(
                '[[credentials]]\ntype = "jwks"\nissuer = "i"\naudience = false\n'
                f'jwks_uri = "{root}/jwks"'
            )
            checks = explain(path, _jose.sign(claims, key))[1]
        said = re.search(r"/jwks, asked (\d+) s ago, 77 s old when they came$", checks["keys"][1])
        assert int(said[1]) < 90

    def test_a_key_that_the_set_has_and_does_not_use_is_named(self, explain, config, publishing):
        """With its place in the set, and the reason; the others are counted."""
        key, other = _jose.generate_key("ES256"), _jose.generate_key("ES256")
        entry = _jose.public_jwk(key) | {"use": "enc"}
        claims = {"iss": "i", "sub": "s", "exp": int(time.time()) + 60}
        with publishing({"/jwks": {"keys": [_jose.public_jwk(other), entry]}}) as root:
            path = config(
                '[[credentials]]\ntype = "jwks"\nissuer = "i"\naudience = false\n'
                f'jwks_uri = "{root}/jwks"'
            )
            status, checks, out = explain(path, _jose.sign(claims, key))
        assert (1, stopped_at("kid")) == (status, outcomes(checks))
        assert "1 key for signatures and 1 not used, from " in checks["keys"][1]
        named = f"{key.kid}, which is keys[1] of the set and not used: EC P-256: use is enc"
        assert named in checks["kid"][1]
        assert "use is enc, not sig" in out.splitlines()[-1]

    def test_pinned_keys_are_looked_at_where_they_are(self, explain, jwks, server):
        """Nothing is asked."""
        keys = json.dumps({"keys": _keys_of(server)})
        asked = len(server.requests())
        status, checks, out = explain(jwks(f"jwks = '{keys}'"), server.token())
        assert (0, asked) == (status, len(server.requests()))
        assert checks["keys"][1].endswith("got those configured")
        assert f"verified by the keys in jwks, for tokens of {server.issuer}" in out


def _keys_of(server):
    import requests

    return requests.get(server.jwks_uri, timeout=90).json()["keys"]


class TestOtherEntries:
    def test_introspect_asks_whoever_is_asked_live(self, run, jwks, server):
        """The answer as it came."""
        auth = f'client_id = "resource-server", client_secret = "{server.client_secret}"'
        path = jwks(f'live = {{ client_auth = {{ method = "client_secret_basic", {auth} }} }}')
        token = server.token()
        status, out, _ = run("introspect", "-", "--config", path, stdin=token)
        assert (0, True, "user-1") == (status, json.loads(out)["active"], json.loads(out)["sub"])

        status, _, err = run("introspect", "-", "--config", jwks(), stdin=token)
        assert (2, True) == (status, "there is nobody to ask" in err)

    def test_a_shared_secret_is_looked_at_as_it_is(self, explain, config):
        """Every check, and nobody to ask; another secret's signature fails."""
        path = config(
            '[[credentials]]\ntype = "shared_secret"\nissuer = "https://old.example"\n'
            f'audience = "api"\nsecret = "{SECRET}"'
        )
        claims = {
            "iss": "https://old.example",
            "aud": "api",
            "sub": "s",
            "exp": int(time.time()) + 60,
        }
        status, checks, out = explain(path, _jose.sign(claims, hmac_key()))
        assert (0, dict.fromkeys(ORDER, "ok")) == (status, outcomes(checks))
        assert "verified by the secret shared with https://old.example" == out.splitlines()[0]
        assert SECRET not in out

        other = _jose.generate_key("HS256")
        status, checks, _ = explain(path, signed(claims, other, alg="HS256"))
        assert (1, stopped_at("signature")) == (status, outcomes(checks))

    def test_a_custom_verifier_has_one_check(self, explain, config, tmp_path, monkeypatch):
        """What it looks at, it alone knows; its hint is shown."""
        (tmp_path / "explained_by_us.py").write_text(
            "from tokenward import InvalidToken, Principal\n"
            "class Ours:\n"
            "    def verify(self, token, /, *, live=False):\n"
            "        if token != 'good':\n"
            "            raise InvalidToken('not the word', reason='wrong_word')\n"
            "        return Principal('u', issuer='ours')\n"
            "make = Ours\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path))
        path = config('[[credentials]]\ntype = "custom"\nfactory = "explained_by_us:make"')
        status, checks, out = explain(path, "good")
        assert (0, {"verify": "ok"}) == (status, outcomes(checks))
        assert "verified by explained_by_us:make, which keeps its checks to itself" in out

        status, checks, out = explain(path, "bad")
        assert (1, {"verify": "failed"}) == (status, outcomes(checks))
        assert "expected a principal, got not the word" == checks["verify"][1]
        assert "refused: wrong_word: not the word" == out.splitlines()[-1]


class TestRoute:
    @pytest.fixture
    def both(self, jwks, server):
        """Two issuers' keys and a shared secret, at one place."""
        with FakeAuthorizationServer() as other:
            path = jwks(
                "[[credentials]]",
                'type = "jwks"',
                f'issuer = "{other.issuer}"',
                'audience = "api"',
                "[[credentials]]",
                'type = "shared_secret"',
                'issuer = "https://old.example"',
                'audience = "api"',
                f'secret = "{SECRET}"',
            )
            yield path, other

    def test_the_issuer_in_a_token_picks_who_decides(self, explain, both, server):
        """And the route says which entry that is."""
        path, other = both
        claims = {"iss": "https://old.example", "aud": "api", "sub": "s"}
        old = _jose.sign(claims | {"exp": int(time.time()) + 60}, hmac_key())
        for token, entry, name in (
            (server.token(), "credentials[0] (jwks)", server.issuer),
            (other.token(), "credentials[1] (jwks)", other.issuer),
            (old, "credentials[2] (shared_secret)", "https://old.example"),
        ):
            status, checks, out = explain(path, token)
            assert (0, ["route", *ORDER]) == (status, list(checks))
            assert checks["route"][1].endswith(f"got one, for {entry}")
            assert name in out.splitlines()[0]

    def test_an_issuer_that_is_not_registered_fails_on_the_way(self, explain, both, server):
        """Every registered one is named."""
        path, other = both
        status, checks, out = explain(path, server.token(iss="https://new.example"))
        assert (1, {"route": "failed"}) == (status, outcomes(checks))
        for issuer in (server.issuer, other.issuer, "https://old.example"):
            assert repr(issuer) in checks["route"][1]
        assert "verified by ByIssuer" == out.splitlines()[0]

    def test_what_is_no_jwt_fails_on_the_way(self, explain, both):
        """With advice, as from the verifier itself."""
        status, checks, out = explain(both[0], "opaque-token")
        assert (1, {"route": "failed"}) == (status, outcomes(checks))
        assert "it is an opaque token" in out

    def test_what_is_no_jwt_is_asked_about_where_somebody_can_be(self, explain, jwks, server):
        """The entry of type introspection, whichever comes first."""
        with FakeAuthorizationServer() as other:
            path = jwks(
                "[[credentials]]",
                'type = "introspection"',
                f'introspection_endpoint = "{other.introspection_endpoint}"',
                'audience = "api"',
                'client_auth = { method = "client_secret_basic", client_id = "resource-server", '
                f'client_secret = "{other.client_secret}" }}',
            )
            status, checks, _ = explain(path, other.token(opaque=True))
            assert (0, "active") == (status, list(checks)[3])
            assert checks["route"][1].endswith("got one, for credentials[1] (introspection)")

            status, checks, _ = explain(path, server.token())
            assert (0, ["route", *ORDER]) == (status, list(checks))

    def test_a_token_of_an_issuer_at_another_place_is_read_there(self, explain, jwks, server):
        """The place is named; one whose issuer nobody knows is read at the first."""
        with FakeAuthorizationServer() as other:
            path = jwks(
                "[[credentials]]",
                'type = "jwks"',
                f'issuer = "{other.issuer}"',
                'audience = "api"',
                'source = "header:X-Partner"',
            )
            status, _, out = explain(path, other.token())
            assert 0 == status
            assert out.splitlines()[0].endswith(", found by discovery, in header:X-Partner")

            status, checks, out = explain(path, other.token(iss="https://new.example"))
            assert (1, "failed") == (status, checks["iss"][0])
            assert out.splitlines()[0].endswith(", found by discovery, in authorization")


class TestCloudflare:
    @pytest.fixture
    def team(self, config, publishing):
        """A team whose domain is on this machine, and its key."""
        key = _jose.generate_key("ES256")
        certs = {"keys": [_jose.public_jwk(key)], "public_cert": {}, "public_certs": []}
        with publishing({"/cdn-cgi/access/certs": certs}) as domain:

            def write(*lines):
                entry = [
                    "[[credentials]]",
                    'type = "cloudflare"',
                    'team = "acme"',
                    f'domain = "{domain}"',
                    'audience = "tag"',
                ]
                return config("\n".join([*entry, *lines]))

            def assertion(**changes):
                claims = {
                    "iss": domain,
                    "aud": ["tag"],
                    "type": "app",
                    "sub": "u",
                    "email": "a@example.com",
                    "iat": int(time.time()),
                    "exp": int(time.time()) + 60,
                }
                return _jose.sign(claims | changes, key)

            yield write, assertion, domain

    def test_an_assertion_is_looked_at_first(self, explain, team):
        """Then it goes on as with any signed token."""
        write, assertion, domain = team
        order = [*ORDER[:3], "assertion", *ORDER[3:]]
        status, checks, out = explain(write(), assertion())
        assert (0, order) == (status, list(checks))
        assert {"ok"} == set(outcomes(checks).values())
        assert f"from {domain}/cdn-cgi/access/certs" in checks["keys"][1]
        assert f"verified by the keys of {domain}" == out.splitlines()[0]

        for changes, failed in (
            ({"type": "org"}, "assertion"),
            ({"email": None}, "assertion"),
            ({"exp": None}, "required"),
            ({"aud": ["other"]}, "aud"),
        ):
            status, checks, _ = explain(write(), assertion(**changes))
            assert (1, stopped_at(failed, order)) == (status, outcomes(checks))

    def test_groups_that_cannot_be_asked_for_leave_it_undecided(self, explain, team):
        """Everything else is fine, and said to be."""
        write, assertion, _domain = team
        order = [*ORDER[:3], "assertion", *ORDER[3:], "groups"]
        status, checks, _ = explain(write("groups_as_roles = true"), assertion())
        assert (3, stopped_at("groups", order)) == (status, outcomes(checks))


class TestHints:
    def said(self, explain, path, token):
        status, _, out = explain(path, token)
        assert 1 == status
        return out.splitlines()[-1]

    @pytest.mark.parametrize("aud", ["account", None])
    def test_keycloak_without_an_audience_mapper(self, explain, config, publishing, aud):
        """The cause, and where to add one."""
        key = _jose.generate_key("ES256")
        with publishing({"/certs": {"keys": [_jose.public_jwk(key)]}}) as root:
            issuer = f"{root}/realms/shop"
            path = config(
                f'[[credentials]]\ntype = "jwks"\nissuer = "{issuer}"\naudience = "api"\n'
                f'jwks_uri = "{root}/certs"'
            )
            claims = {"iss": issuer, "sub": "s", "exp": int(time.time()) + 60, "typ": "Bearer"}
            if aud is not None:
                claims["aud"] = aud
            said = self.said(explain, path, _jose.sign(claims, key))
        assert said.startswith("refused: audience_mismatch: expected the audience 'api'")
        assert "Keycloak names an API only with an audience mapper: add one" in said

    @pytest.mark.parametrize("more", ["/", ""])
    def test_a_trailing_slash_in_the_issuer(self, explain, jwks, server, more):
        """Too much of it, or too little."""
        path = jwks(f'jwks_uri = "{server.jwks_uri}"', issuer=server.issuer + ("" if more else "/"))
        said = self.said(explain, path, server.token(iss=server.issuer + more))
        assert said.startswith("refused: unknown_issuer: ")
        assert "they differ in a trailing slash: write the issuer exactly as the token has" in said

    def test_a_clock_five_minutes_ahead(self, explain, jwks, server):
        """Ours is: what was issued just now has expired."""
        now = int(time.time())
        said = self.said(explain, jwks(), server.token(iat=now - 300, exp=now - 240))
        assert re.match(r"refused: expired: expired 2\d\d s ago by this clock", said)
        assert "compare the clocks of this machine and of the issuer" in said

    @pytest.mark.parametrize(("claim", "slug"), [("iat", "issued_in_future"), ("nbf", "not_yet")])
    def test_a_clock_five_minutes_behind(self, explain, jwks, server, claim, slug):
        """Ours is: what was issued just now is from the future."""
        said = self.said(explain, jwks(), server.token(**{claim: int(time.time()) + 300}))
        assert said.startswith(f"refused: {slug}")
        assert "compare the clocks" in said

    @pytest.mark.parametrize("mark", [{"at_hash": "x"}, {"typ": "ID"}, {"token_use": "id"}])
    def test_an_id_token_sent_by_mistake(self, explain, jwks, server, mark):
        """As OpenID Connect, Keycloak and Cognito mark them."""
        claims = {"iss": server.issuer, "aud": "api", "sub": "s", "exp": int(time.time()) + 60}
        said = self.said(explain, jwks(), signed(claims | mark, hmac_key(), alg="RS256"))
        assert said.startswith("refused: wrong_type: expected ")
        assert "send the access token" in said

    @pytest.mark.parametrize("mark", [{"typ": "Refresh"}, {"token_type": "refresh"}])
    def test_a_refresh_token(self, explain, jwks, server, mark):
        """As Keycloak and Django's simplejwt mark them."""
        claims = {"iss": server.issuer, "aud": "api", "sub": "s", "exp": int(time.time()) + 60}
        said = self.said(explain, jwks(), signed(claims | mark, hmac_key(), alg="RS256"))
        assert said.startswith("refused: wrong_type: expected ")
        assert "send the access token" in said

    def test_an_opaque_token(self, explain, jwks):
        """Who can read it, and how to get a JWT."""
        said = self.said(explain, jwks(), "v2.local-or-so_0123456789".replace(".", "_"))
        assert said.startswith("refused: malformed: ")
        assert "it is an opaque token, which only its issuer can read" in said
        assert "a credential of type introspection" in said

    def test_an_encrypted_token(self, explain, jwks):
        """What Auth0 sends where nobody asks for an API."""
        header = _jose.encode(b'{"alg":"dir","enc":"A256GCM"}')
        said = self.said(explain, jwks(), f"{header}..aXY.Y2lwaGVydGV4dA.dGFn")
        assert said.startswith("refused: malformed: an encrypted token")
        assert "have the client ask for a token for this API by name (Auth0: audience)" in said

    def test_a_token_of_microsoft_graph(self, explain, jwks, server):
        """Its header has a nonce, and its signature is over something else."""
        token = server.token(typ="JWT")
        claims = json.loads(_jose.decode(token.split(".")[1].encode()))
        (entry,) = _keys_of(server)
        stranger = _jose.generate_key("ES256")
        forged = signed(claims, stranger, alg="ES256", kid=entry["kid"], nonce="n", typ="JWT")
        said = self.said(explain, jwks(), forged)
        assert said.startswith("refused: bad_signature: ")
        assert "have the client ask for a scope of your own API" in said

    def test_a_token_that_is_signed_with_a_secret(self, explain, jwks, server):
        """What to set at the server."""
        said = self.said(explain, jwks(), _jose.sign({"iss": server.issuer}, hmac_key()))
        assert said.startswith("refused: algorithm: expected an alg of ES256, RS256, got HS256")
        assert "set the server's signing algorithm for this API to RS256 or ES256" in said

    def test_an_algorithm_that_is_not_written_yet(self, explain, jwks, server):
        """Where to write it."""
        said = self.said(explain, jwks('algorithms = ["RS256"]'), server.token())
        assert said.startswith("refused: algorithm: expected an alg of RS256, got ES256")
        assert "if the issuer is meant to sign so, write it in algorithms" in said

    def test_an_unknown_kid(self, explain, jwks, server):
        """What may be behind it, and how to see which keys there are."""
        earlier = server.token()
        server.rotate(keep=False)
        said = self.said(explain, jwks(), earlier)
        assert said.startswith("refused: unknown_key: ")
        assert "is it a token of another environment" in said
        assert "`tokenward jwks ISSUER`" in said

    def test_what_is_sent_with_its_scheme(self, explain, jwks, server):
        """Copied out of a header, Bearer and all."""
        said = self.said(explain, jwks(), f"Bearer {server.token()}")
        assert said.startswith("refused: malformed: ")
        assert "send the token alone" in said

    def test_nothing_at_all(self, explain, jwks):
        """An empty standard input."""
        assert "nothing came on standard input" in self.said(explain, jwks(), "")
