"""The root: exactly the public names, each where it lives, and none of them loaded before use."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from fresh_interpreter import loaded_by
from unmeasured import unmeasured

import tokenward

ROOT = Path(tokenward.__file__)

# Section 1 of the public contract, as far as it is built.
CONTRACT = {
    *("ANONYMOUS", "Authentication", "Authenticator", "ClaimsPolicy", "Credential", "Principal"),
    *("error_response", "TokenVerifier", "IntrospectionClient", "IntrospectionVerifier"),
    *("LocalVerifier", "JWKSVerifier", "ByIssuer", "CloudflareAccess"),
    *("ClientSecretBasic", "ClientSecretPost", "BearerAuth", "PrivateKeyJWT", "MutualTLS"),
    "ClientCredentials",
    *("AuthService", "AuthServiceClient", "KeyRing", "UserRepository", "TokenRepository"),
    *("RegisterRequest", "LoginRequest", "LoginResponse", "LogoutResponse", "PublicUser"),
    *("IntrospectRequest", "IntrospectResponse", "TokenPayload", "User"),
    *("configure", "register_user", "login_user", "logout_user", "get_logged_in_user"),
    *("introspect_token", "authenticate_request"),
}

# Coverage's own start in a subprocess imports some of what is looked for here.

# What a program that uses one part must not pay for, or must not need to have installed.
FOREIGN = {
    *("flask", "werkzeug", "click", "jinja2", "django", "rest_framework", "waitress", "pytest"),
    *("pydantic", "pydantic_core", "email_validator", "requests", "urllib3", "jwt", "cryptography"),
    *("bcrypt", "sqlite3", "pymongo", "redis", "limits", "prometheus_client", "asyncio"),
}


def for_type_checkers():
    """Return the names that the block for type checkers imports, by module."""
    tree = ast.parse(ROOT.read_text("utf-8"))
    (block,) = [
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    imports = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom), ast.unparse(node)
        for alias in node.names:
            # "X as X" is what makes it a public name (PEP 484, stub files).
            assert alias.name == alias.asname, ast.unparse(node)
            imports.setdefault(node.module, set()).add(alias.name)
    return imports


def test_all_is_the_contract():
    """`__all__` holds the names of the contract and every error, sorted, each once."""
    from tokenward import errors

    raised = {
        n
        for n, v in vars(errors).items()
        if isinstance(v, type) and v.__module__ == errors.__name__
    }

    assert sorted(CONTRACT | raised) == tokenward.__all__


@pytest.mark.parametrize("name", tokenward.__all__)
def test_each_name_resolves_to_its_home(name):
    """The root hands out the very object of the room that owns it, and remembers it."""
    home = importlib.import_module(tokenward._HOME_OF[name])
    value = getattr(tokenward, name)

    assert getattr(home, name) is value
    assert vars(tokenward)[name] is value


def test_homes_and_type_checkers_agree():
    """What is resolved when run is what a type checker reads, from the same modules."""
    homes = {module: set(names.split()) for module, names in tokenward._HOMES.items()}

    assert homes == for_type_checkers()
    assert tokenward.__all__ == sorted(name for names in homes.values() for name in names)


def test_star_import():
    """``from tokenward import *`` brings exactly these names."""
    namespace = {}
    exec("from tokenward import *", namespace)  # noqa: S102 - the statement is what is tried

    assert {*tokenward.__all__} == namespace.keys() - {"__builtins__"}


def test_dir_shows_each_name_once():
    """Completion shows what there is."""
    shown = dir(tokenward)

    assert {*tokenward.__all__} <= {*shown}
    assert len(shown) == len({*shown})


@pytest.mark.parametrize("name", ["nothing", "_private", "Flask", "JSONError"])
def test_other_names(name):
    """A name that is not exported is an AttributeError, so that ``hasattr`` works."""
    assert not hasattr(tokenward, name)
    with pytest.raises(ImportError):
        exec(f"from tokenward import {name}", {})  # noqa: S102 - the statement is what is tried


def test_types_are_shipped():
    """The package says that it is typed (PEP 561)."""
    assert (ROOT.parent / "py.typed").is_file()


def test_importing_the_root_loads_nothing():
    """`import tokenward` loads no framework, no driver and no room of its own."""
    own = (
        "import tokenward, sys; print(sorted(m for m in sys.modules if m.startswith('tokenward')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", own],
        capture_output=True,
        text=True,
        check=True,
        env=unmeasured(),
    )

    assert set() == loaded_by("import tokenward") & FOREIGN
    assert "['tokenward']\n" == done.stdout


@pytest.mark.parametrize(
    ("names", "needs"),
    [
        ("Principal, ANONYMOUS, ClaimsPolicy, AuthError, TokenVerifier", set()),
        ("Authenticator, Credential, Authentication, error_response", set()),
        ("ClientSecretBasic, ClientSecretPost, BearerAuth", set()),
        ("MutualTLS", set()),
        ("PrivateKeyJWT", {"jwt", "cryptography"}),
        ("ClientCredentials", {"requests", "urllib3"}),
        ("PublicUser, LoginRequest", {"pydantic", "pydantic_core", "email_validator"}),
        ("IntrospectionClient, IntrospectionVerifier", {"requests", "urllib3"}),
        ("ByIssuer", {"jwt", "cryptography"}),
        ("LocalVerifier", {"jwt", "cryptography"}),
        ("JWKSVerifier", {"jwt", "cryptography", "requests", "urllib3"}),
        ("CloudflareAccess", {"jwt", "cryptography", "requests", "urllib3"}),
    ],
    ids=lambda v: v.partition(",")[0] if isinstance(v, str) else "",
)
def test_each_part_loads_what_it_needs(names, needs):
    """A part brings its own third party; a verifier no pydantic, and nothing a framework."""
    loaded = loaded_by(f"from tokenward import {names}") & FOREIGN
    # Where bcrypt is installed, cryptography loads it by itself, for OpenSSH's keys.
    by_others = {"bcrypt"} if "cryptography" in needs else set()

    assert needs == loaded - by_others


def test_no_verifier_loads_pydantic_before_it_makes_a_user():
    """Verifying a token at a resource server takes no pydantic at all (the stores apart)."""
    script = """
import json, sys, time
from tokenward import ClientSecretBasic, IntrospectionClient, IntrospectionVerifier
from tokenward.protocols import Response

class Transport:
    def send(self, request, *, deadline):
        said = {"active": True, "sub": "u1", "aud": "api", "exp": int(time.time()) + 60}
        return Response(200, {"content-type": "application/json"}, json.dumps(said).encode())

client = IntrospectionClient(
    "https://as.example/introspect", client_auth=ClientSecretBasic("a", "b"), transport=Transport()
)
who = IntrospectionVerifier(client, audience="api").verify("token")
who.to_dict(), repr(who), who.has_scopes("a")
assert "pydantic" not in sys.modules
from tokenward import PublicUser
PublicUser(username=who.subject)
"""

    assert "pydantic" in loaded_by(script)
