"""A Cloudflare team: its keys, its assertions, and its domain on a loopback port."""

import secrets
import threading
import time

from tokenward import _jose
from tokenward.testing._loopback import Answer, LoopbackServer

CERTS = "/cdn-cgi/access/certs"
IDENTITY = "/cdn-cgi/access/get-identity"
ACME = "https://acme.cloudflareaccess.com"
TAG = "4f1c9e0d"

# Making keys takes longer than all the rest; a team may share them with the one before.
_KEYS = {"ES256": _jose.generate_key("ES256")}


class Team:
    """Signs assertions as Cloudflare Access does."""

    def __init__(self, issuer=ACME, *, clock=time.time, algorithm="ES256"):
        self.issuer = issuer
        self.clock = clock
        self.key = _KEYS.setdefault(algorithm, _jose.generate_key(algorithm))

    @property
    def certs(self):
        """What the domain publishes: the keys, and beside them the same as certificates."""
        public = _jose.public_jwk(self.key)
        return {"keys": [public], "public_cert": {"kid": public["kid"], "cert": "…"}}

    def assertion(self, *, typ="JWT", expires_in=600, **claims):
        """Return an assertion; ``None`` leaves a claim out."""
        now = int(self.clock())
        said = {
            "aud": [TAG],
            "iss": self.issuer,
            "iat": now,
            "nbf": now,
            "exp": now + expires_in,
            "type": "app",
            "identity_nonce": secrets.token_hex(4),
        } | claims
        said = {name: value for name, value in said.items() if value is not None}
        return _jose.sign(said, self.key, typ=typ)

    def person(self, name="alice", **claims):
        """Return the assertion of a person."""
        said = {"sub": f"uuid-of-{name}", "email": f"{name}@acme.example", "country": "NL"}
        return self.assertion(**said | claims)

    def service(self, name="robot.access", **claims):
        """Return the assertion of a service token."""
        said = {"sub": "", "common_name": name, "identity_nonce": None, "aud": TAG}
        return self.assertion(**said | claims)


class TeamServer:
    """The team's domain on a loopback port: keys, identities, and what a test puts there."""

    def __init__(self):
        self.pages = {}
        self.requests = []
        self._lock = threading.Lock()

    def __enter__(self):
        self._server = LoopbackServer(self._answer)
        self._server.start()
        self.issuer = f"http://127.0.0.1:{self._server.server_port}"
        self.team = Team(self.issuer)
        self.pages[CERTS] = Answer.json(200, self.team.certs)
        return self

    def __exit__(self, *_error):
        self._server.stop()

    def asked(self, path):
        """Return the requests for a path."""
        return [request for request in self.requests if request.path == path]

    def _answer(self, request):
        with self._lock:
            self.requests.append(request)
        page = self.pages.get(request.path, Answer(404))
        return page(request) if callable(page) else page
