"""The auth service that a fleet's users sign in at."""

import collections
import http.client
import socket
import threading

from fleet.guarded import CLIENT_ID, SECRETS
from werkzeug.serving import WSGIRequestHandler, make_server

from tokenward.clients import Client
from tokenward.keys import KeyRing
from tokenward.redis_cache import RedisRevocationBus, RedisSharedCache
from tokenward.repositories import open_repositories
from tokenward.schemas import LoginRequest
from tokenward.service import AuthService
from tokenward.wsgi import auth_service_app

PASSWORD = "correct horse battery"
CLIENT_SECRET = "9f8a-77e1-quartz-lantern"
PATIENCE = 90


class Issuer:
    """An auth service in this process, on a loopback port, that counts what it is asked.

    Args:
        redis_url: Where it says who is revoked, and keeps answers.
        keys: What it signs with; default: a new ring.
    """

    def __init__(self, redis_url, *, keys=None):
        self.asked = collections.Counter()
        self._lock = threading.Lock()
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        stores = open_repositories("memory://", bcrypt_cost=4)
        options = {
            "keys": keys or KeyRing.generate(),
            "tokens": stores.tokens,
            "issuer": self.url,
            "audience": CLIENT_ID,
            "clients": [Client(CLIENT_ID, CLIENT_SECRET)],
            "access_token_lifetime": 3_600,
        }
        self.quiet = AuthService(stores.users, **options)
        self.service = AuthService(
            stores.users,
            shared_cache=RedisSharedCache(redis_url, secrets=SECRETS, timeout=PATIENCE),
            revocation_bus=RedisRevocationBus(redis_url, secrets=SECRETS, timeout=PATIENCE),
            **options,
        )
        self._app = auth_service_app(self.service)
        self._server = make_server(
            "127.0.0.1",
            0,
            self._count,
            threaded=True,
            fd=listener.detach(),
            request_handler=Silent,
        )
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join(PATIENCE)
        self._server.server_close()

    def _count(self, environ, start_response):
        with self._lock:
            self.asked[environ["PATH_INFO"]] += 1
        return self._app(environ, start_response)

    def sign_in(self, name):
        """Return a new user's token, and the user's identifier."""
        user = self.service.create_user(name, email=f"{name}@example.com", password=PASSWORD)
        request = LoginRequest(username=name, password=PASSWORD)
        return self.service.login_user(request).access_token, user.id

    def log_out(self, token):
        """POST to the issuer's own endpoint, as a program would."""
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=PATIENCE)
        try:
            headers = {"Authorization": f"Bearer {token}"}
            connection.request("POST", "/logout", headers=headers)
            assert 200 == connection.getresponse().status
        finally:
            connection.close()


class Silent(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, *_):
        """Say nothing: standard error belongs to the test run."""
