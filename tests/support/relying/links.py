"""What schemathesis is told of our endpoints beside their description.

What leads to what: an expression inside a request body is an extension of schemathesis's own, so
these links are not in the document itself. And addresses of a domain that may exist: of those that
it makes up, many are of one that is reserved for tests.
"""

import schemathesis
from hypothesis import strategies as st

LINKS = {
    ("/register", "201"): {
        "login": {"username": "$request.body#/username", "password": "$request.body#/password"},
    },
    ("/login", "200"): {"refresh": {"refresh_token": "$response.body#/refresh_token"}},
    ("/refresh", "200"): {"refresh": {"refresh_token": "$response.body#/refresh_token"}},
    ("/token", "200"): {
        "introspect": {"token": "$response.body#/access_token"},
        "revoke": {"token": "$response.body#/access_token"},
    },
    ("/sessions", "200"): {"sessions_end": {"sid": "$response.body#/sessions/0/sid"}},
}


_LOCAL = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+/=?^_`{|}~-"
schemathesis.openapi.format(
    "email", st.text(_LOCAL, min_size=1, max_size=64).map(lambda name: f"{name}@example.net")
)


@schemathesis.hook
def before_load_schema(context, schema):
    """Add the links."""
    for component in schema["components"]["schemas"].values():
        # It looks for an address of exactly that length for more than a minute.
        component.get("properties", {}).get("email", {}).pop("maxLength", None)
    for (path, status), links in LINKS.items():
        (operation,) = schema["paths"][path].values()
        operation["responses"][status]["links"] = {
            target: {"operationId": target, "requestBody": body} for target, body in links.items()
        }
