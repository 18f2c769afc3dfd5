"""A real authorization server, npm's oidc-provider, on free loopback ports.

A test may hold its answers back, break them, kill it, start it again and exchange its keys.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from urllib.parse import quote_plus

import jwt
import requests
from benchmarks.ports import free_port
from oidc_keys import as_jwk, certificate_jwk, distinct, new_jwks, new_keys, pem

SCRIPT = Path(__file__).with_name("oidc_provider") / "server.mjs"
PEERS = Path(__file__).parents[2] / "build" / "peers"
INSTALLED = PEERS / "npm"
NODE = PEERS / "bin" / "node"
PATIENCE = 90.0

AUDIENCE = "https://orders.example"
"""Tokens for it are opaque."""

SIGNED = AUDIENCE + "/signed"
"""Tokens for it are JWTs; those for it with ``/`` and an algorithm at the end are signed so."""

SIGNING = ("RS256", "PS256", "ES256", "EdDSA")
"""With what it can sign an answer, and check a client's assertion."""

ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
"""With what it can sign an access token."""

JWKS = "/jwks"
"""The path of its keys."""

JSON = "application/json"
SIGNED_ANSWER = "application/token-introspection+jwt"

SECRETS = {
    # Needs every kind of escaping that application/x-www-form-urlencoded has.
    "orders": "basic secret:+%/&",
    "orders-post": "post secret:+%/&",
    "orders-plus": "50+50",
    # Needs no escaping.
    "caller": "caller-secret",
    "hasty": "hasty-secret",
    **{f"signed-{alg}": "signed-secret" for alg in SIGNING},
}
LIVES = {"hasty": 2}
"""How many seconds a client's tokens live; those of the others 600, or a day if they are JWTs."""


class OidcProvider:
    """Runs oidc-provider; a context manager.

    Its clients: those of `SECRETS`; ``keyed`` with the private keys in ``keys``, by algorithm;
    ``certified``, ``self-certified`` and ``bound`` with the certificates in ``certificates``. No
    client has the private keys in ``other_keys``.
    It knows its tokens again after it was killed.

    Args:
        folder: Where it keeps its log, keys and tokens.
        authority: Who signs the certificates.
    """

    def __init__(self, folder, authority):
        self.folder = Path(folder)
        self.authority = authority
        self.certificates = {
            "certified": authority.issue("certified.example"),
            "bound": authority.issue("bound.example"),
            "self-certified": authority.self_signed("self-certified.example"),
        }
        keys = new_keys()
        self.keys = {alg: pem(keys[alg]) for alg in SIGNING}
        self.other_keys = {alg: pem(key) for alg, key in new_keys().items()}
        self._client_keys = [as_jwk(key, private=False) for key in distinct(keys)]
        self._keys = new_jwks()
        self._next = []
        self._server_cert = authority.issue("localhost", addresses=["127.0.0.1"])
        (self.folder / "records").mkdir()
        self._ports = {name: free_port() for name in ("port", "tls_port", "control_port")}
        self._session = requests.Session()
        self._session.trust_env = False
        self._process = self._lifeline = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()
        self._session.close()

    # --- where it is

    @property
    def issuer(self):
        return f"http://127.0.0.1:{self._ports['port']}"

    @property
    def tenant(self):
        """An issuer with a path, which takes HTTP Basic alone and knows the same Basic clients."""
        return f"{self.issuer}/tenant"

    @property
    def tls(self):
        """Where the same server asks for client certificates."""
        return f"https://127.0.0.1:{self._ports['tls_port']}"

    @property
    def introspection_endpoint(self):
        """Its answers forbid to be stored."""
        return f"{self.issuer}/token/introspection"

    @property
    def storing_endpoint(self):
        """The same behind a proxy that drops what forbids to store an answer."""
        return f"{self.issuer}/storing/token/introspection"

    @property
    def token_endpoint(self):
        return f"{self.issuer}/token"

    @property
    def jwks_uri(self):
        return self.issuer + JWKS

    @property
    def is_running(self):
        return self._process is not None and self._process.poll() is None

    # --- its life

    def ensure_started(self):
        if not self.is_running:
            self.restart()

    def start(self):
        """Start it, on the same ports as before, and wait until it listens."""
        installed = (INSTALLED / "node_modules" / "oidc-provider").is_dir()
        assert installed, "these tests need oidc-provider: run tools/install_peers.sh"
        end, self._lifeline = os.pipe()
        settings = self.folder / "settings.json"
        settings.write_text(json.dumps(self._settings(end)))
        log = self.folder / "server.log"
        with SCRIPT.open("rb") as script, log.open("wb") as output:
            self._process = subprocess.Popen(
                [NODE, "--input-type=module", "-", str(settings)],
                cwd=INSTALLED,
                stdin=script,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[end],
            )
        os.close(end)
        deadline = time.monotonic() + PATIENCE
        while "\nready " not in (said := "\n" + log.read_text("utf-8", "replace")):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"oidc-provider did not start:\n{said}")
            time.sleep(0.02)
        self._ports = json.loads(said.partition("\nready ")[2].partition("\n")[0])

    def kill(self):
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            os.close(self._lifeline)
            self._process = self._lifeline = None

    def restart(self):
        self.kill()
        self.start()

    def publish_next(self):
        """Publish the keys that the next `rotate` will sign with, and sign as before."""
        self._next = new_jwks()
        self._take_keys()

    def rotate(self, *, keep):
        """Sign with other keys from now on; with ``keep`` it still publishes the earlier ones.

        It goes on running, or begins with them when it is started.
        """
        self._keys = (self._next or new_jwks()) + (self._keys if keep else [])
        self._next = []
        self._take_keys()

    def _take_keys(self):
        self._write_keys()
        if self.is_running:
            self._control("keys")

    # --- what a test does to it

    def asked(self, path="/token/introspection"):
        """Return how many requests for ``path`` have come since the last `reset`."""
        return self._control("counts").get(path, 0)

    def fail(self, path, *, times=1, status=503, headers=None, body="", hold=False):
        """Answer the next requests for ``path`` with this instead; with ``hold`` on `release`."""
        fault = {"status": status, "headers": headers or {}, "body": body, "hold": hold}
        self._control("fault", path=path, times=times, **fault)

    def hang_up(self, path, *, times=1):
        """Hang up on the next requests for ``path``, unread: over TCP with a reset."""
        self._control("fault", path=path, times=times, reset=True)

    def lose(self, path, *, times=1):
        """Do what the next requests for ``path`` say, and hang up instead of answering."""
        self._control("fault", path=path, times=times, lose=True)

    def hold(self, path, *, times=1):
        """Leave the next requests for ``path`` without an answer until `release`."""
        self._control("fault", path=path, times=times, hold=True)

    def release(self):
        """Hold nothing any more, and answer what was held."""
        self._control("release")

    def reset(self):
        """Forget faults and counts, and answer what was held."""
        self._control("reset")

    def issue(self, client_id="caller", *, audience=AUDIENCE, scope="read", root=None):
        """Return a new access token of a client's, gotten without the library."""
        form = {"grant_type": "client_credentials", "resource": audience, "scope": scope}
        return self._post(f"{root or self.issuer}/token", form, client_id).json()["access_token"]

    def issue_bound(self, *, audience=AUDIENCE):
        """Return an access token that is good with a certificate only (RFC 8705, section 3)."""
        form = {"grant_type": "client_credentials", "client_id": "bound", "resource": audience}
        certificate = self.certificates["bound"]
        response = self._session.post(
            f"{self.tls}/token",
            form,
            cert=certificate,
            verify=self.authority.path,
            timeout=PATIENCE,
        )
        response.raise_for_status()
        return response.json()["access_token"]

    def issue_id_token(self, client_id="caller", *, use="idtoken"):
        """Return what it tells a client of who signed in, or with ``use="logout"`` of a logout.

        Args:
            client_id: The client, who is its audience.
            use: ``idtoken`` (OpenID Connect Core, section 2) or ``logout`` (Back-Channel Logout,
                section 2.4).
        """
        return self._control("id-token", client=client_id, use=use)

    def revoke(self, token, client_id="caller"):
        """Revoke a client's access token (RFC 7009)."""
        self._post(f"{self.issuer}/token/revocation", {"token": token}, client_id)

    def is_active(self, token):
        """Ask the server itself, without the library."""
        return json.loads(self.answer(token, "caller", accept=JSON))["active"]

    def answer(self, token, client_id, *, accept=SIGNED_ANSWER, root=None):
        """Return what the server says of a token to a client; a JWT unless asked for JSON."""
        url = f"{root or self.issuer}/token/introspection"
        return self._post(url, {"token": token}, client_id, accept=accept).text

    def sign(self, claims, *, typ):
        """Return a JWT that it never made, signed with its ES256 key."""
        jwk = next(key for key in self._keys if key["kty"] == "EC")
        key = jwt.PyJWK(jwk, "ES256")
        return jwt.encode(claims, key, "ES256", headers={"typ": typ, "kid": jwk["kid"]})

    def read(self, path):
        """Return what the server shows everybody."""
        return self._session.get(self.issuer + path, timeout=PATIENCE).text

    def _post(self, url, form, client_id, *, accept="*/*"):
        auth = quote_plus(client_id), quote_plus(SECRETS[client_id])
        headers = {"Accept": accept}
        response = self._session.post(url, form, auth=auth, headers=headers, timeout=PATIENCE)
        response.raise_for_status()
        return response

    def _control(self, what, **arguments):
        url = f"http://127.0.0.1:{self._ports['control_port']}/{what}"
        return self._session.post(url, json=arguments, timeout=PATIENCE).json()

    def _settings(self, lifeline):
        self._write_keys()
        cert, key = self._server_cert
        return {
            **self._ports,
            "audience": AUDIENCE,
            "clients": self._clients(),
            "jwks": str(self._jwks),
            "lifeline": lifeline,
            "lives": LIVES,
            "records": str(self.folder / "records"),
            "tls": {"cert": cert, "key": key, "ca": self.authority.path},
        }

    @property
    def _jwks(self):
        return self.folder / "jwks.json"

    def _write_keys(self):
        # It signs with the first that fits.
        self._jwks.write_text(json.dumps({"keys": self._keys + self._next}))

    def _clients(self):
        clients = [
            _client(client_id, "client_secret_basic", client_secret=secret)
            for client_id, secret in SECRETS.items()
        ]
        for client in clients:
            if client["client_id"] == "orders-post":
                client["token_endpoint_auth_method"] = "client_secret_post"
            if client["client_id"].startswith("signed-"):
                alg = client["client_id"].removeprefix("signed-")
                client["introspection_signed_response_alg"] = alg
        certified = {"tls_client_auth_subject_dn": "CN=certified.example"}
        bound = {"tls_client_auth_subject_dn": "CN=bound.example"}
        bound["tls_client_certificate_bound_access_tokens"] = True
        self_signed = [certificate_jwk(self.certificates["self-certified"][0])]
        return [
            *clients,
            _client("keyed", "private_key_jwt", jwks={"keys": self._client_keys}),
            _client("certified", "tls_client_auth", **certified),
            _client("bound", "tls_client_auth", **bound),
            _client("self-certified", "self_signed_tls_client_auth", jwks={"keys": self_signed}),
        ]


def _client(client_id, method, **metadata):
    return {
        "client_id": client_id,
        "token_endpoint_auth_method": method,
        "grant_types": ["client_credentials"],
        "redirect_uris": [],
        "response_types": [],
        "scope": "read",
        **metadata,
    }
