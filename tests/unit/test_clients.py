"""Clients, and how they authenticate to our endpoints."""

import base64
import hmac
import json
import logging
import pickle
from dataclasses import replace

import pytest
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from tokenward import _jose
from tokenward.clients import Client, Clients
from tokenward.errors import (
    AuthServiceUnavailable,
    ConfigurationError,
    InvalidClient,
    InvalidRequest,
)

SECRET = "9f8a-77e1-quartz-lantern"
ODD_SECRETS = [
    SECRET,
    "per%20cent-9f8a77e1quartz",
    "plus+plus-9f8a77e1quartz",
    "colon:colon-9f8a77e1quartz",
    "spaces in 9f8a77e1quartz",
    "malformed%zz%ff-9f8a77e1quartz",
    "ünï-9f8a77e1quartz",
]


def basic(client_id, secret):
    """Return Basic credentials as many clients send them: raw."""
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


def encoded(text):
    """Form-encode as in RFC 6749, appendix B, every character that may be."""
    return "".join(f"%{byte:02X}" if byte != 0x20 else "+" for byte in text.encode())


def jwks_of(*keys):
    """Return a JWK Set of public keys."""
    return {"keys": [_jose.public_jwk(key) for key in keys]}


@pytest.fixture
def clients():
    return Clients([Client("orders", SECRET), Client("stock", "another-0quartz-77e1-lamp")])


class TestAuthenticate:
    @pytest.mark.parametrize("secret", ODD_SECRETS)
    def test_basic_is_taken_raw(self, secret):
        """Many clients do not form-encode, whatever the RFC says."""
        clients = Clients([Client("orders", secret)])
        headers = {"Authorization": basic("orders", secret)}
        assert clients.authenticate(headers, {}).client_id == "orders"

    @pytest.mark.parametrize("secret", ODD_SECRETS)
    def test_basic_is_taken_form_encoded(self, secret):
        """RFC 6749, section 2.3.1: id and secret are form-encoded before base64."""
        clients = Clients([Client("my orders", secret)])
        headers = {"Authorization": basic(encoded("my orders"), encoded(secret))}
        assert clients.authenticate(headers, {}).client_id == "my orders"

    def test_post(self, clients):
        """client_secret_post reads both from the form."""
        form = {"client_id": "orders", "client_secret": SECRET}
        assert clients.authenticate({}, form).client_id == "orders"

    def test_scheme_is_matched_in_any_case(self, clients):
        """RFC 9110, section 11.1."""
        headers = {"Authorization": basic("orders", SECRET).replace("Basic", "bASIC")}
        assert clients.authenticate(headers, {}).client_id == "orders"

    @pytest.mark.parametrize(
        ("headers", "form"),
        [
            ({}, {}),
            ({}, {"client_id": "orders"}),
            ({}, {"client_secret": SECRET}),
            ({}, {"client_assertion": "e30.e30.AA", "client_id": "orders"}),
        ],
    )
    def test_no_authentication_is_invalid_client(self, clients, headers, form):
        """RFC 6749, section 5.2: no client authentication included, or an unsupported method."""
        with pytest.raises(InvalidClient) as refused:
            clients.authenticate(headers, form)
        assert refused.value.reason == "client_not_authenticated"

    @pytest.mark.parametrize(
        "authorization",
        [
            basic("orders", "wrong"),
            basic("nobody", SECRET),
            basic("stock", SECRET),
            basic("ORDERS", SECRET),
            basic("", ""),
            "Basic",
            "Basic ",
            "Basic !!!",
            "Basic b3JkZXJz",
            "Basic b3JkZX=z",
            "Basic /w==",
            "Basic " + base64.b64encode(b"\xff\xfe:\xff").decode(),
            "Bearer abc",
            "Digest username=orders",
        ],
    )
    def test_bad_credentials_are_invalid_client(self, clients, authorization):
        """Whatever is wrong with the header, the answer is the same."""
        with pytest.raises(InvalidClient) as refused:
            clients.authenticate({"Authorization": authorization}, {})
        assert refused.value.reason == "client_refused"

    @pytest.mark.parametrize(
        "form",
        [
            {"client_id": "orders", "client_secret": SECRET},
            {"client_secret": SECRET},
            {"client_assertion": "e30.e30.AA"},
        ],
    )
    @pytest.mark.parametrize("authorization", [basic("orders", SECRET), "Bearer abc"])
    def test_two_methods_are_a_malformed_request(self, clients, authorization, form):
        """RFC 6749, section 2.3: at most one method in each request."""
        with pytest.raises(InvalidRequest) as refused:
            clients.authenticate({"Authorization": authorization}, form)
        assert refused.value.reason == "two_client_authentications"

    def test_two_secrets_in_the_form_are_a_malformed_request(self, clients):
        """A secret and an assertion are two methods as well."""
        form = {"client_id": "orders", "client_secret": SECRET, "client_assertion": "e30.e30.AA"}
        with pytest.raises(InvalidRequest):
            clients.authenticate({}, form)

    def test_same_client_id_beside_basic_is_allowed(self, clients):
        """Some clients name themselves in the form too; that authenticates nothing."""
        headers = {"Authorization": basic("orders", SECRET)}
        assert clients.authenticate(headers, {"client_id": "orders"}).client_id == "orders"

    def test_another_client_id_beside_basic_is_refused(self, clients):
        """One request is from one client."""
        headers = {"Authorization": basic("orders", SECRET)}
        with pytest.raises(InvalidRequest) as refused:
            clients.authenticate(headers, {"client_id": "stock"})
        assert refused.value.reason == "two_client_ids"

    def test_doubled_header_is_a_malformed_request(self, clients):
        """Servers join repeated headers by a comma; which one counts must not be a guess."""
        header = basic("orders", SECRET)
        with pytest.raises(InvalidRequest) as refused:
            clients.authenticate({"Authorization": f"{header}, {header}"}, {})
        assert refused.value.reason == "repeated_authorization"

    def test_unknown_client_costs_what_a_wrong_secret_costs(self, clients, monkeypatch):
        """Both compare digests as often, in constant time, and end in equal errors."""
        compared = []
        compare = hmac.compare_digest
        monkeypatch.setattr(
            hmac, "compare_digest", lambda a, b: compared.append(1) or compare(a, b)
        )
        refusals = []
        for client_id in ("orders", "nobody"):
            with pytest.raises(InvalidClient) as refused:
                clients.authenticate({"Authorization": basic(client_id, "wrong")}, {})
            refusals.append((len(compared), refused.value.status_code, refused.value.error))
            compared.clear()
        assert refusals == [(1, 401, "invalid_client")] * 2

    def test_refusal_is_audited_without_the_secret(self, clients, caplog):
        """One JSON line says who claimed to be whom, and from where."""
        caplog.set_level(logging.INFO, "tokenward.audit")
        with pytest.raises(InvalidClient):
            clients.authenticate(
                {"Authorization": basic("or\nders", "wr0ng-secret")}, {}, peer="192.0.2.7"
            )
        line = json.loads(caplog.messages[0])
        assert line.pop("time") > 0
        assert line == {
            "event": "client_auth_failed",
            "client_id": "or\\x0aders",
            "peer": "192.0.2.7",
        }
        assert "wr0ng" not in caplog.text


ISSUER = "https://auth.example"
TOKEN_ENDPOINT = f"{ISSUER}/token"
ASKED = f"{ISSUER}/introspect"
NOW = 1_800_000_000
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
# Made once: RSA keys take their time.
KEYS = {alg: _jose.generate_key(alg) for alg in ("ES256", "RS256", "PS256", "EdDSA")}
STRANGERS = {alg: _jose.generate_key(alg) for alg in ("ES256", "RS256")}


class Once:
    """What `TokenRepository.use_once` promises, in a set."""

    def __init__(self):
        self.used = {}

    def __call__(self, key, expires_at):
        is_new = key not in self.used
        self.used[key] = expires_at
        return is_new


class TestPrivateKeyJWT:
    """RFC 7523, sections 2.2 and 3; RULES 39."""

    @pytest.fixture
    def once(self):
        return Once()

    @pytest.fixture
    def clients(self):
        known = [Client(alg.lower(), jwks=jwks_of(key)) for alg, key in KEYS.items()]
        return Clients([*known, Client("orders", SECRET)], clock=lambda: NOW)

    @pytest.fixture
    def ask(self, clients, once):
        """Return a function that sends an assertion and returns the id of the client it is from."""

        def send(assertion, **form):
            form = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion} | form
            sent = {name: value for name, value in form.items() if value is not None}
            audiences = (ISSUER, TOKEN_ENDPOINT, ASKED)
            found = clients.authenticate({}, sent, audiences=audiences, use_once=once)
            return found.client_id

        return send

    def make(self, *, key=KEYS["ES256"], typ="JWT", **claims):
        base = {
            "iss": "es256",
            "sub": "es256",
            "aud": ISSUER,
            "jti": "first",
            "iat": NOW,
            "exp": NOW + 60,
        }
        members = {name: value for name, value in (base | claims).items() if value is not None}
        return _jose.sign(members, key, typ=typ)

    @pytest.mark.parametrize("alg", KEYS)
    def test_asymmetric_algorithms(self, ask, alg):
        """Each with the key that its client registered."""
        name = alg.lower()
        assert ask(self.make(key=KEYS[alg], iss=name, sub=name)) == name

    @pytest.mark.parametrize("aud", [ISSUER, TOKEN_ENDPOINT, ASKED, [ASKED]])
    def test_made_out_to_us(self, ask, aud):
        """Section 3: by the issuer, the token endpoint, or the endpoint that is asked."""
        assert ask(self.make(aud=aud)) == "es256"

    @pytest.mark.parametrize("typ", ["JWT", "jwt", "application/jwt", "client-authentication+jwt"])
    def test_type_is_that_of_an_assertion(self, ask, typ):
        """Plain, or the one that is meant for it."""
        assert ask(self.make(typ=typ)) == "es256"

    @pytest.mark.parametrize(
        "claims",
        [
            {"iat": None, "exp": NOW + 300},
            {"exp": NOW + 300},
            {"iat": NOW + 29, "exp": NOW + 329},
            {"exp": NOW - 29, "iat": NOW - 60},
            {"nbf": NOW},
        ],
    )
    def test_five_minutes_are_the_longest_life(self, ask, claims):
        """RULES 39; thirty seconds are left to the clocks."""
        assert ask(self.make(**claims)) == "es256"

    def test_null_iat_is_none(self, ask):
        """An assertion that does not say when it was made was made now."""
        claims = {"iss": "es256", "sub": "es256", "aud": ISSUER, "jti": "x", "iat": None}
        with pytest.raises(InvalidClient):
            ask(_jose.sign(claims | {"exp": NOW + 301}, KEYS["ES256"], typ="JWT"))
        assert ask(_jose.sign(claims | {"exp": NOW + 300}, KEYS["ES256"], typ="JWT")) == "es256"

    @pytest.mark.parametrize(
        "claims",
        [
            {"aud": "https://other.example"},
            {"aud": f"{ISSUER}/"},
            {"aud": f"{ISSUER}/revoke"},
            {"aud": []},
            {"aud": [ASKED, 1]},
            {"aud": ["https://x.example", ASKED]},
            {"aud": [ISSUER, ASKED]},
            {"aud": None},
            {"iss": None},
            {"iss": "orders"},
            {"sub": None},
            {"sub": 1, "iss": 1},
            {"sub": "orders", "iss": "orders"},
            {"sub": "nobody", "iss": "nobody"},
            {"sub": "rs256", "iss": "rs256"},
            {"sub": "rs256"},
            {"jti": None},
            {"jti": ""},
            {"jti": 1},
            {"jti": "x" * 1_025},
            {"exp": None},
            {"exp": str(NOW + 60)},
            {"exp": NOW - 31},
            {"exp": NOW + 301},
            {"exp": NOW + 301, "iat": None},
            {"exp": 10**400},
            {"iat": NOW - 241},
            {"iat": NOW + 31},
            {"iat": True},
            {"nbf": NOW + 31},
            {"cnf": {"jkt": "x"}},
            {"typ": "at+jwt"},
            {"typ": "x"},
            {"key": _jose.generate_key("ES256")},
        ],
    )
    def test_everything_else_is_refused(self, ask, once, claims):
        """One error for all of it, and no jti is used up by what is refused."""
        with pytest.raises(InvalidClient) as refused:
            ask(self.make(**claims))
        assert refused.value.reason == "client_refused"
        assert once.used == {}

    @pytest.mark.parametrize(
        "assertion",
        ["", "x", "a.b.c", "e30.e30.", "e30.e30.AA", "ü", "a" * 20_000, "a.b.c.d.e"],
    )
    def test_what_is_no_token_is_refused(self, ask, assertion):
        """Whatever it is."""
        with pytest.raises(InvalidClient):
            ask(assertion)

    def test_secret_signs_no_assertion(self, ask):
        """RULES 39: client_secret_jwt is no method here, with whatever for a secret."""
        head = _jose.encode(b'{"alg":"HS256","typ":"JWT"}')
        claims = {"iss": "orders", "sub": "orders", "aud": ISSUER, "jti": "x", "exp": NOW + 60}
        text = f"{head}.{_jose.encode(json.dumps(claims).encode())}"
        mac = hmac.digest(SECRET.encode(), text.encode(), "sha256")
        with pytest.raises(InvalidClient):
            ask(f"{text}.{_jose.encode(mac)}")

    def test_is_good_for_one_request(self, ask, once):
        """Section 3: the jti is used up, until nobody takes the assertion anyway."""
        assertion = self.make()
        assert ask(assertion) == "es256"
        with pytest.raises(InvalidClient):
            ask(assertion)
        (key,) = once.used
        assert once.used[key] == NOW + 60 + 31
        assert len(key) < 200

    def test_jti_is_the_clients_own(self, ask, once):
        """What one client used up, another may still use."""
        assert ask(self.make()) == "es256"
        assert ask(self.make(key=KEYS["RS256"], iss="rs256", sub="rs256")) == "rs256"
        assert len(once.used) == 2

    def test_outage_of_the_store_is_not_a_refusal(self, clients):
        """Nor is it a way in."""

        def down(_key, _expires_at):
            raise AuthServiceUnavailable("down")

        form = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": self.make()}
        with pytest.raises(AuthServiceUnavailable):
            clients.authenticate({}, form, audiences=(ISSUER,), use_once=down)

    @pytest.mark.parametrize("client_id", ["es256", None])
    def test_client_id_may_say_the_same(self, ask, client_id):
        """RFC 7521, section 4.2: unnecessary, and the same if it is sent."""
        assert ask(self.make(), client_id=client_id) == "es256"

    def test_another_client_id_is_refused(self, ask):
        """One request is from one client."""
        with pytest.raises(InvalidClient):
            ask(self.make(), client_id="rs256")

    @pytest.mark.parametrize(
        "form",
        [
            {"client_assertion_type": None},
            {"client_assertion_type": ASSERTION_TYPE.upper()},
            {"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"},
            {"client_assertion": None},
        ],
    )
    def test_type_of_assertion_is_exact(self, ask, form):
        """Section 2.2."""
        with pytest.raises(InvalidClient) as refused:
            ask(**{"assertion": self.make()} | form)
        assert refused.value.reason == "client_not_authenticated"

    def test_secret_beside_an_assertion_is_malformed(self, ask):
        """RFC 6749, section 2.3: at most one method in each request."""
        with pytest.raises(InvalidRequest) as refused:
            ask(self.make(), client_id="es256", client_secret=SECRET)
        assert refused.value.reason == "two_client_authentications"

    def test_key_without_a_secret_opens_no_other_door(self, clients):
        """A client of a key alone is refused by every secret, the empty one too."""
        for secret in ("", "None", SECRET):
            with pytest.raises(InvalidClient):
                clients.authenticate({"Authorization": basic("es256", secret)}, {})

    @pytest.mark.parametrize("kid", [None, "another"])
    @pytest.mark.parametrize("alg", ["ES256", "RS256"])
    def test_unknown_client_costs_what_a_wrong_signature_costs(self, ask, monkeypatch, kid, alg):
        """One signature is checked, whoever is named, by whichever key; and one error comes out."""
        checked = []
        kind = ECAlgorithm if alg == "ES256" else RSAAlgorithm
        verify = kind.verify

        def counted(*arguments):
            checked.append(alg)
            return verify(*arguments)

        monkeypatch.setattr(kind, "verify", counted)
        stranger = replace(STRANGERS[alg], kid=kid)
        refusals = []
        for name in (alg.lower(), "eddsa", "nobody", "orders"):
            with pytest.raises(InvalidClient) as refused:
                ask(self.make(key=stranger, iss=name, sub=name))
            refusals.append((len(checked), refused.value.error, refused.value.reason))
            checked.clear()
        assert refusals == [(1, "invalid_client", "client_refused")] * 4

    def test_key_that_is_not_the_clients_is_none_of_its(self, ask):
        """Not even that which the work is done with where no key fits."""
        key = replace(KEYS["ES256"], kid="another")
        for name in ("es256", "rs256", "nobody"):
            with pytest.raises(InvalidClient):
                ask(self.make(key=key, iss=name, sub=name))

    def test_unknown_client_with_a_known_ones_key_is_nobody(self, ask):
        """The signature it is compared by for the time it takes makes it no client."""
        with pytest.raises(InvalidClient):
            ask(self.make(iss="nobody", sub="nobody"))

    def test_refusal_is_audited_without_the_assertion(self, ask, caplog):
        """Named as the form names it; what the assertion says, nobody has vouched for."""
        caplog.set_level(logging.DEBUG)
        assertion = self.make(exp=NOW - 100)
        with pytest.raises(InvalidClient) as refused:
            ask(assertion, client_id="es256")
        assert json.loads(caplog.messages[0])["client_id"] == "es256"
        assert "expired" in refused.value.hint
        assert refused.value.__context__ is None
        for part in assertion.split("."):
            assert part not in caplog.text + refused.value.hint

    def test_is_not_taken_where_nothing_remembers_it(self, clients):
        """Without a store for the jti an assertion would be good twice."""
        form = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": self.make()}
        with pytest.raises(InvalidClient) as refused:
            clients.authenticate({}, form, audiences=(ISSUER,))
        assert refused.value.reason == "client_not_authenticated"


class TestAuthenticateIfPresented:
    @pytest.mark.parametrize("authorization", [None, "", "Bearer abc", "Basically nothing"])
    def test_absent_is_nobody(self, clients, authorization):
        """No Basic credentials: nobody, and no error."""
        headers = {} if authorization is None else {"Authorization": authorization}
        assert clients.authenticate_if_presented(headers) is None

    def test_right_credentials_are_the_client(self, clients):
        """Presented and right."""
        headers = {"Authorization": basic("stock", "another-0quartz-77e1-lamp")}
        assert clients.authenticate_if_presented(headers).client_id == "stock"

    @pytest.mark.parametrize("authorization", [basic("orders", "wrong"), "Basic", "basic ???"])
    def test_wrong_credentials_are_refused(self, clients, authorization):
        """Presented and wrong is never the same as absent."""
        with pytest.raises(InvalidClient):
            clients.authenticate_if_presented({"Authorization": authorization})


class TestClient:
    def test_secret_is_in_no_repr(self):
        """A repr lands in logs."""
        assert SECRET not in repr(Client("orders", SECRET))

    def test_is_not_pickled(self):
        """A pickle would carry the secret."""
        with pytest.raises(TypeError):
            pickle.dumps(Client("orders", SECRET))

    @pytest.mark.parametrize("secret", ["", "tiny", "a" * 40, "changeme-changeme"])
    def test_guessable_secret_is_refused(self, secret):
        """Short, uniform and placeholder secrets stop start-up; the message shows none."""
        with pytest.raises(ConfigurationError) as refused:
            Client("orders", secret)
        assert not secret or secret not in str(refused.value)

    @pytest.mark.parametrize("client_id", ["", "örders", "or\nders"])
    def test_client_id_is_printable_ascii(self, client_id):
        """RFC 6749, appendix A.1."""
        with pytest.raises(ConfigurationError):
            Client(client_id, SECRET)

    @pytest.mark.parametrize("name", ["scopes", "grants", "audiences", "token_audiences"])
    def test_one_string_is_not_a_collection(self, name):
        """The string "orders" as a collection would be six audiences of one letter."""
        with pytest.raises(ConfigurationError):
            Client("orders", SECRET, **{name: "orders"})

    @pytest.mark.parametrize("lifetime", [0, -1, 1.5, 900.0, True, "900", float("inf")])
    def test_lifetime_is_whole_seconds(self, lifetime):
        """What a token's ``expires_in`` could not say stops the start; None is the service's."""
        with pytest.raises(ConfigurationError, match="access_token_lifetime of 'orders'"):
            Client("orders", SECRET, access_token_lifetime=lifetime)

    def test_lifetime_is_the_services_unless_it_is_said(self):
        """One second is a lifetime."""
        lifetimes = [
            Client("orders", SECRET).access_token_lifetime,
            Client("orders", SECRET, access_token_lifetime=None).access_token_lifetime,
            Client("orders", SECRET, access_token_lifetime=1).access_token_lifetime,
        ]
        assert lifetimes == [None, None, 1]

    def test_collections_become_sets(self):
        """A list from a configuration file will do."""
        assert Client("orders", SECRET, audiences=["a", "b"]).audiences == frozenset("ab")

    def test_without_secret_and_key_is_refused(self):
        """It could authenticate itself by nothing, or by anything."""
        with pytest.raises(ConfigurationError, match="'orders' has nothing to authenticate with"):
            Client("orders")

    def test_unknown_grant_is_refused(self):
        """A grant that the token endpoint does not know would be refused for ever."""
        with pytest.raises(ConfigurationError, match="choose from client_credentials, refresh"):
            Client("orders", SECRET, grants=["client_credentials", "password"])

    @pytest.mark.parametrize("scope", ["", "read write", 'a"b', "ü"])
    def test_scope_is_one_scope_token(self, scope):
        """RFC 6749, section 3.3: what nobody could ask for stops start-up."""
        with pytest.raises(ConfigurationError, match="is not a scope"):
            Client("orders", SECRET, scopes=[scope])

    def test_keys_are_in_no_repr(self):
        """Public, and of no use in a log."""
        assert "kty" not in repr(Client("orders", jwks=jwks_of(_jose.generate_key("ES256"))))

    @pytest.mark.parametrize(
        ("entry", "why"),
        [
            ({"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlYw"}, "symmetric key"),
            ({"d": "AA"}, "private members"),
            ({"use": "enc"}, "use is enc"),
            ({"key_ops": ["sign"]}, "key_ops"),
            ({"crv": "secp256k1"}, "crv"),
            ({"x": "AA"}, "x has not"),
            ({"alg": "HS256"}, "alg"),
            ("x", "not an object"),
        ],
    )
    def test_jwks_holds_public_keys_only(self, entry, why):
        """RULES 39: asymmetric; a secret or a private key in there stops start-up, by its place."""
        good = jwks_of(_jose.generate_key("ES256"))["keys"][0]
        bad = good | entry if isinstance(entry, dict) else entry
        with pytest.raises(ConfigurationError) as refused:
            Client("orders", jwks={"keys": [good, bad]})
        assert str(refused.value).startswith("The jwks of the client 'orders': keys[1]: ")
        assert why in str(refused.value)
        assert "c2Vjcm" not in str(refused.value)

    @pytest.mark.parametrize("jwks", [{}, {"keys": []}, {"keys": "x"}, {"keys": {}}, "x"])
    def test_jwks_without_keys_is_refused(self, jwks):
        """It would look configured, and let nobody in."""
        with pytest.raises(ConfigurationError, match="The jwks of the client 'orders'"):
            Client("orders", jwks=jwks)

    def test_two_keys_of_one_name_are_refused(self):
        """An assertion that names it could mean either."""
        keys = [_jose.generate_key("ES256"), _jose.generate_key("ES256")]
        with pytest.raises(ConfigurationError, match="2 keys for ES256 with the kid 'k'"):
            Client("orders", jwks=jwks_of(*[replace(key, kid="k") for key in keys]))

    def test_two_clients_of_one_name_stop_start_up(self):
        """Which secret counts must not depend on their order."""
        with pytest.raises(ConfigurationError):
            Clients([Client("orders", SECRET), Client("orders", SECRET + "2")])
