"""An auth service, and a caller who speaks HTTP to it without a socket between."""

import base64
import io
import json as _json
from dataclasses import dataclass, field
from urllib.parse import urlencode
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

from tokenward.clients import Client
from tokenward.keys import KeyRing
from tokenward.repositories import open_repositories
from tokenward.service import AuthService
from tokenward.wsgi import auth_service_app

ISSUER = "https://auth.example"
AUDIENCE = "orders"
STOCK = "https://api.example/stock"
PASSWORD = "correct horse battery"
SECRET = "9f8a-77e1-quartz-lantern"
OTHER_SECRET = "another-0quartz-77e1-lamp"
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
GRANTS = ("client_credentials", "refresh_token")


def clients():
    """Return two: ``shop`` may do everything, ``orders`` may ask about tokens only."""
    shop = Client(
        "shop",
        SECRET,
        scopes=["read", "write"],
        grants=GRANTS,
        token_audiences=[AUDIENCE, STOCK],
    )
    return [shop, Client("orders", OTHER_SECRET)]


def make_service(stores=None, *, users=("alice",), **options):
    """Return a service over ``stores``, and in memory without."""
    stores = stores or open_repositories("memory://", bcrypt_cost=4)
    options = {
        "keys": KeyRing.generate(),
        "tokens": stores.tokens,
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "clients": clients(),
        "claims": lambda _user: {"scope": "read write"},
    } | options
    service = AuthService(stores.users, **options)
    for name in users:
        service.create_user(name, email=f"{name}@example.com", password=PASSWORD)
    return service


def basic(client_id="shop", secret=SECRET):
    """Return Basic credentials."""
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


SHOP, ORDERS = basic(), basic("orders", OTHER_SECRET)


@dataclass(frozen=True)
class Answer:
    """What came back; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)

    @property
    def json(self):
        return _json.loads(self.body)

    @property
    def error(self):
        """The status, and the code of the error."""
        return self.status, self.json["error"]


class Caller:
    """Sends requests to a service's WSGI application, under the standard library's validator."""

    def __init__(self, service, *, peer="192.0.2.7"):
        self.service = service
        self._peer = peer
        self._app = validator(auth_service_app(service))

    def send(self, method, path, body=b"", *, authorization=None, query="", **headers):
        environ = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REMOTE_ADDR": self._peer,
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
        }
        if authorization is not None:
            environ["HTTP_AUTHORIZATION"] = authorization
        for name, value in headers.items():
            key = name.upper()
            environ[key if key.startswith("CONTENT_") else f"HTTP_{key}"] = value
        setup_testing_defaults(environ)
        started = []

        def start_response(status, sent, exc_info=None):
            started.append((int(status.split()[0]), sent))
            return lambda data: None

        result = self._app(environ, start_response)
        content = b"".join(result)
        result.close()
        status, sent = started[0]
        return Answer(status, {name.lower(): value for name, value in sent}, content)

    def get(self, path, token=None, **more):
        return self.send("GET", path, authorization=token and f"Bearer {token}", **more)

    def post(self, path, members=None, *, token=None, authorization=None, **more):
        """Post JSON, as the bearer of a token if one is given."""
        body = b"" if members is None else _json.dumps(members).encode()
        authorization = f"Bearer {token}" if token else authorization
        more = {"content_type": JSON} | more
        return self.send("POST", path, body, authorization=authorization, **more)

    def form(self, path, fields=(), *, authorization=None, **more):
        """Post a form, as the client of the Basic credentials if they are given."""
        body = urlencode(fields).encode()
        more = {"content_type": FORM} | more
        return self.send("POST", path, body, authorization=authorization, **more)

    def token(self, authorization=SHOP, **fields):
        """Ask the token endpoint, as ``shop`` if nobody else is named."""
        return self.form("/token", fields, authorization=authorization)

    def refresh(self, refresh_token):
        """Trade a refresh token of our own login."""
        return self.post("/refresh", {"refresh_token": refresh_token})

    def login(self, name="alice", password=PASSWORD, *, authorization=None):
        """Log in and return what was granted."""
        members = {"username": name, "password": password}
        answer = self.post("/login", members, authorization=authorization)
        assert answer.status == 200, answer.json
        return answer.json

    def is_active(self, token, authorization=ORDERS):
        """Tell what introspection says, to ``orders`` if nobody else is named."""
        answer = self.form("/introspect", {"token": token}, authorization=authorization)
        return answer.json["active"]
