"""A Flask application that only lets in who bears a token of the auth service beside it.

`make demo` starts both. By itself, beside a running `tokenward serve`:

    AUTH_URL=http://127.0.0.1:8000 AUTH_SECRET_FILE=.demo/client.secret \
        python examples/example_flask/app.py --bind 127.0.0.1:8001
"""

import argparse
import os

from flask import Flask
from waitress.server import create_server

from tokenward.flask import Tokenward, current_principal, login_required, roles_required

AUTH_URL = os.environ.get("AUTH_URL", "http://127.0.0.1:8000")
AUTH_SECRET_FILE = os.environ.get("AUTH_SECRET_FILE", ".demo/client.secret")

app = Flask(__name__)
app.config["TOKENWARD"] = {
    "realm": "example",
    "credentials": [
        {
            # Ask the auth service about each token (RFC 7662) ...
            "type": "introspection",
            "introspection_endpoint": f"{AUTH_URL}/introspect",
            # ... as a client that it knows, ...
            "client_auth": {
                "method": "client_secret_basic",
                "client_id": "example-flask",
                "client_secret": {"file": AUTH_SECRET_FILE},
            },
            # ... and take only tokens that are meant for this application.
            "audience": "example",
            # Ask every time, so that a logout shows at once. The default keeps an answer for 60
            # seconds: far fewer questions, and a logout shows up to a minute later.
            "ttl": 0,
        }
    ],
}
Tokenward(app)


@app.get("/health")
def health() -> dict[str, str]:
    """Open to everybody: nothing here asks for a token."""
    return {"status": "up"}


@app.get("/profile")
@login_required
def profile() -> dict[str, object]:
    """Open to whoever bears a good token; everybody else is told how to get in (401)."""
    return {"username": current_principal.username, "roles": sorted(current_principal.roles)}


@app.get("/admin")
@roles_required("admin")
def admin() -> dict[str, str]:
    """Open to administrators; others, though known, are refused (403)."""
    return {"message": f"Welcome, {current_principal.username}."}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="An application that tokenward protects.")
    parser.add_argument("--bind", default="127.0.0.1:8001", metavar="HOST:PORT")
    bind = parser.parse_args().bind
    server = create_server(app, listen=bind)
    print(f"Serving on http://{bind}", flush=True)
    server.run()
