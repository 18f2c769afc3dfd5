"""RFC 8705, OAuth 2.0 Mutual-TLS Client Authentication, as a client.

Tests are named after the sections they hold. The handshakes are in
`tests/faults/test_client_auth_tls.py`.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from authority import Authority

from tokenward.client_auth import (
    ClientCredentials,
    ClientSecretBasic,
    MutualTLS,
    authenticated,
    check_endpoint,
)
from tokenward.errors import AuthServiceUnavailable, ConfigurationError
from tokenward.protocols import Request

ENDPOINT = "https://auth.example.com/introspect"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """An authority that has certified two clients."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def pair(authority):
    """The certificate and the key of the client."""
    return authority.issue("orders")


def test_2_the_request_names_the_client_and_its_certificate(pair):
    """`client_id` is in the form, so that the server finds the registration to compare with."""
    sent = MutualTLS("orders", *pair).apply(Request("POST", ENDPOINT, form={"token": "a-token"}))

    assert {"token": "a-token", "client_id": "orders"} == sent.form
    assert pair == sent.cert
    assert {} == sent.headers


def test_2_a_request_without_a_form_gets_one(pair):
    """The parameter is required of every request."""
    sent = MutualTLS("orders", *pair).apply(Request("POST", ENDPOINT))

    assert {"client_id": "orders"} == sent.form


def test_2_1_2_2_it_is_either_method():
    """Which of the two it is stands in the registration at the server."""
    assert ("tls_client_auth", "self_signed_tls_client_auth") == MutualTLS.methods


def test_2_2_a_certificate_may_sign_itself(authority):
    """Nobody has to vouch for it: the server knows it."""
    MutualTLS("orders", *authority.self_signed("orders"))


@pytest.mark.parametrize("kind", [str, Path])
def test_paths_are_strings_or_paths(pair, kind):
    """Whatever they were, what is sent along are strings."""
    sent = MutualTLS("orders", *map(kind, pair)).apply(Request("POST", ENDPOINT))

    assert pair == sent.cert


def test_one_file_may_hold_both(pair, tmp_path):
    """A key and its certificate are often kept together."""
    both = tmp_path / "both.pem"
    both.write_text("".join(Path(path).read_text() for path in pair))
    sent = MutualTLS("orders", both, both).apply(Request("POST", ENDPOINT))

    assert (str(both), str(both)) == sent.cert


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/introspect", "HTTP://localhost/"])
def test_over_http_it_is_refused(pair, url):
    """No certificate would be shown, and the client_id alone proves nothing."""
    auth = MutualTLS("orders", *pair)
    with pytest.raises(AuthServiceUnavailable) as caught:
        authenticated(Request("POST", url), auth)
    with pytest.raises(ConfigurationError, match="https"):
        check_endpoint(auth, url)
    with pytest.raises(ConfigurationError, match="https"):
        ClientCredentials(url.lower(), client_auth=auth)

    assert "client_auth" == caught.value.reason
    assert "https" in caught.value.hint


def test_other_ways_may_use_http(pair):
    """On this machine a secret may travel over http, and over https a certificate."""
    check_endpoint(ClientSecretBasic("orders", "s"), "http://127.0.0.1/token")
    check_endpoint(MutualTLS("orders", *pair), ENDPOINT)


@pytest.mark.parametrize("missing", ["cert", "key"])
@pytest.mark.parametrize("path", ["/nowhere/at/all.pem", "/", "", "a\x00b", None, 7, b"a.pem"])
def test_a_file_that_cannot_be_read_stops_start_up(pair, missing, path):
    """The error names the argument."""
    files = dict(zip(("cert", "key"), pair, strict=True)) | {missing: path}

    with pytest.raises(ConfigurationError, match=f"^{missing} is the path"):
        MutualTLS("orders", **files)


def test_a_key_of_another_certificate_stops_start_up(authority, pair):
    """Both can be read, and make no pair."""
    other = authority.issue("other")

    with pytest.raises(ConfigurationError, match="used together"):
        MutualTLS("orders", pair[0], other[1])


@pytest.fixture(scope="module")
def locked_key(pair, tmp_path_factory):
    """The path of the client's key under a passphrase."""
    from cryptography.hazmat.primitives import serialization as s

    private = s.load_pem_private_key(Path(pair[1]).read_bytes(), password=None)
    locked = tmp_path_factory.mktemp("locked") / "locked.key"
    locked.write_bytes(
        private.private_bytes(
            s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(b"hunter2")
        )
    )

    return str(locked)


def test_a_key_with_a_passphrase_stops_start_up(pair, locked_key):
    """There is no place to write it."""
    with pytest.raises(ConfigurationError, match="passphrase"):
        MutualTLS("orders", pair[0], locked_key)


def test_nobody_is_asked_for_a_passphrase(locked_key, pair):
    """A program started on a terminal does not wait for somebody to type."""
    script = f"from tokenward import MutualTLS; MutualTLS('orders', {pair[0]!r}, {locked_key!r})"
    # In a process of its own, since this one has threads: it forks a child with a terminal.
    spawn = f"import pty; pty.spawn([{sys.executable!r}, '-c', {script!r}])"
    done = subprocess.run(
        [sys.executable, "-c", spawn],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=120,
    )

    assert b"ConfigurationError" in done.stdout
    assert b"pass phrase:" not in done.stdout


def test_what_is_no_pem_stops_start_up(pair, tmp_path):
    """The error repeats nothing of the file."""
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("hunter2")

    with pytest.raises(ConfigurationError, match="PEM") as caught:
        MutualTLS("orders", pair[0], garbage)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("client_id", ["", None, 7, "a\n"])
def test_an_unusable_identifier_stops_start_up(pair, client_id):
    """As with every other way."""
    with pytest.raises(ConfigurationError, match="client_id"):
        MutualTLS(client_id, *pair)
