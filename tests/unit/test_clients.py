"""Clients, and how they authenticate to our endpoints."""

import base64
import hmac
import json
import logging
import pickle

import pytest

from tokenward.clients import Client, Clients
from tokenward.errors import ConfigurationError, InvalidClient, InvalidRequest

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

    @pytest.mark.parametrize("name", ["scopes", "grants", "audiences"])
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

    def test_two_clients_of_one_name_stop_start_up(self):
        """Which secret counts must not depend on their order."""
        with pytest.raises(ConfigurationError):
            Clients([Client("orders", SECRET), Client("orders", SECRET + "2")])
