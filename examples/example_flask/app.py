"""A Flask application: pages for people who sign in, and an API for programs with bearer tokens.

It keeps no passwords, no keys and no sessions; the auth service beside it does. `make demo` starts
both. By itself, beside a running `tokenward serve`:

    AUTH_URL=http://127.0.0.1:8000 AUTH_SECRET_FILE=.demo/example-flask.secret \
        python examples/example_flask/app.py --bind 127.0.0.1:8001
"""

import argparse
import math
import os
from datetime import UTC, datetime
from pathlib import Path

from flask import Flask, Response, make_response, redirect, render_template, request, url_for
from waitress.server import create_server

from tokenward.bearer import error_response
from tokenward.client_auth import ClientSecretBasic
from tokenward.errors import (
    AuthError,
    AuthServiceUnavailable,
    CrossSiteRequest,
    InvalidCredentials,
    InvalidRequest,
    TooManyAttempts,
)
from tokenward.flask import (
    Tokenward,
    clear_login,
    current_principal,
    login_required,
    roles_required,
    safe_next,
    set_login,
)
from tokenward.schemas import LoginRequest, read_members
from tokenward.service_client import AuthServiceClient

AUTH_URL = os.environ.get("AUTH_URL", "http://127.0.0.1:8000")
AUTH_SECRET_FILE = os.environ.get("AUTH_SECRET_FILE", ".demo/example-flask.secret")
# Ask every time, so that a logout shows at once. The default of tokenward keeps an answer for 60
# seconds: far fewer questions, and a logout shows up to a minute later.
AUTH_TTL = float(os.environ.get("AUTH_TTL", "0"))
AUTH_CACHE_ENTRIES = int(os.environ.get("AUTH_CACHE_ENTRIES", "10000"))
CLIENT_ID = "example-flask"

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src data:; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

DOWN = {
    "title": "Try again soon",
    "text": "Who you are cannot be checked right now. You have not been signed out.",
}
REFUSED = {
    "title": "Refused",
    "text": "Another site sent this form, or a browser that does not say which site did. "
    "Nothing was changed.",
}

app = Flask(__name__, static_folder="../static")
app.config["MAX_CONTENT_LENGTH"] = 65_536  # bytes; nobody has a form to send that is larger
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
                "client_id": CLIENT_ID,
                "client_secret": {"file": AUTH_SECRET_FILE},
            },
            # ... and take only tokens that are meant for this application.
            "audience": "example",
            # For so many seconds an answer is kept, and so many of them in each process.
            "ttl": AUTH_TTL,
            "max_entries": AUTH_CACHE_ENTRIES,
        }
    ],
    "pages": {
        # Who signs in has the token in this cookie. Browsers keep cookies by host, whatever the
        # port, so each application on a host needs a name of its own.
        "cookie": "example_flask",
        # Where a browser is sent that has to sign in. A program gets a 401 as ever.
        "login_view": "sign_in",
        # This demo speaks plain http, over which not every browser keeps a secure cookie, not even
        # of your own machine. Leave the line out elsewhere: cookies are secure unless you say no.
        "secure": os.environ.get("HTTPS") == "1",
    },
}
if "REDIS_URL" in os.environ:
    # Several processes share what the auth service said, and hear of a logout when it happens, so
    # that answers can be kept for long. The auth service has the same section.
    app.config["TOKENWARD"]["shared_cache"] = {
        "url": {"env": "REDIS_URL"},
        "secrets": [{"file": os.environ["REDIS_SECRET_FILE"]}],
    }
Tokenward(app)

# Passwords go from the sign-in page to the auth service, and nowhere else.
auth_service = AuthServiceClient(
    AUTH_URL,
    client_auth=ClientSecretBasic(CLIENT_ID, Path(AUTH_SECRET_FILE).read_text("utf-8").strip()),
)


@app.get("/")
def home() -> str:
    """Open to everybody: nothing here asks who comes."""
    return render_template("home.html")


@app.get("/profile")
@login_required
def profile() -> str:
    """Open to who is signed in; everybody else is sent to the sign-in page, and then back here."""
    until = datetime.fromtimestamp(current_principal.expires_at or 0, UTC)
    return render_template("profile.html", until=until)


@app.get("/sign-in")
def sign_in() -> Response:
    """Ask for a name and a password."""
    return sign_in_page()


@app.post("/sign-in")
def check_password() -> Response:
    """Have the auth service check them; whoever is let in has the token in a cookie from now on."""
    asked = {name: request.form.get(name, "") for name in ("username", "password")}
    try:
        login = auth_service.login_user(read_members(LoginRequest, asked))
    except (InvalidCredentials, InvalidRequest):
        # Not a 401, which would have to name a scheme to authenticate with (RFC 9110, 15.5.2).
        return sign_in_page("The name or the password is wrong.", 403)
    except TooManyAttempts as error:
        wait = math.ceil(error.retry_after)
        return sign_in_page(f"Too many attempts. Wait {wait} seconds.", 429, wait=wait)
    except AuthServiceUnavailable:
        # Nobody knows whether the password is right, so nobody says that it is wrong.
        problem = "Signing in is not possible right now. Try again in a minute."
        return sign_in_page(problem, 503, wait=60)
    # `next` came with the request, and anybody may have written it: to another site it never leads.
    target = safe_next(request.args.get("next"), default=url_for("profile"))
    # Refused unless a form of this application sent it (403): nobody is signed in by another site.
    return set_login(make_response(redirect(target)), login)


@app.post("/sign-out")
def sign_out() -> Response:
    """End the token and take the cookie back; by POST alone, as a link could be anybody's."""
    response = make_response(redirect(url_for("home")))
    return clear_login(response, end=auth_service.logout_user)


@app.get("/api/profile")
@login_required
def api_profile() -> dict[str, object]:
    """Open to whoever bears a good token; everybody else is told how to get in (401)."""
    return {"username": current_principal.username, "roles": sorted(current_principal.roles)}


@app.get("/api/admin")
@roles_required("admin")
def api_admin() -> dict[str, str]:
    """Open to administrators; others, though known, are refused (403)."""
    return {"message": f"Welcome, {current_principal.username}."}


@app.get("/health")
def health() -> dict[str, str]:
    """Open to whoever watches over this application."""
    return {"status": "up"}


def sign_in_page(problem: str = "", status: int = 200, *, wait: int = 0) -> Response:
    """Return the form; after a problem with the name still in it, and the password never."""
    username = request.form.get("username", "")
    page = render_template("sign_in.html", problem=problem, username=username)
    return make_response(page, status, {"Retry-After": str(wait)} if wait else {})


@app.errorhandler(AuthServiceUnavailable)
@app.errorhandler(CrossSiteRequest)
def explain(error: AuthError) -> Response:
    """Say in words what happened, for whoever looks at a page; a program gets JSON as ever."""
    answer = error_response(error)
    response = Response(answer.body, answer.status, list(answer.headers))
    if not request.path.startswith("/api/"):
        words = DOWN if answer.status == 503 else REFUSED
        response.data = render_template("message.html", **words)
        response.mimetype = "text/html"
    return response


@app.after_request
def harden(response: Response) -> Response:
    """Let pages hold what is ours alone, and let nobody else's page hold one of them."""
    response.headers.update(SECURITY_HEADERS)
    return response


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="An application that tokenward protects.")
    parser.add_argument("--bind", default="127.0.0.1:8001", metavar="HOST:PORT")
    bind = parser.parse_args().bind
    server = create_server(app, listen=bind)
    print(f"Serving on http://{bind}", flush=True)
    server.run()
