"""schemathesis against a running service, with nothing but its address: every check it has.

What it sends is made from /openapi.json, both what that allows and what it does not, in every one
of its phases; the same in every run.
"""

import subprocess
import sys

import pytest
import requests
from relying.running import SCRIPTS, Service
from unmeasured import unmeasured

PASSWORD = "correct horse battery"
SECRET = "51c0-lantern-harbour-9ab2"
TIMEOUT = 240

# What it is told beside the address: who it may be, and which refusals a well-formed request may
# meet. A token, a session or a scope that there is not is refused with 400 (RFC 6749, section 5.2),
# and so is a client that authenticates itself in two ways at once.
CONFIG = f"""
seed = 1
workers = 1
continue-on-failure = true
request-timeout = 90

[generation]
deterministic = true
database = "none"
max-examples = 30

[phases.stateful]
max-steps = 4
[phases.stateful.generation]
max-examples = 25

[auth.dynamic.openapi.bearer]
path = "/login"
payload = {{ username = "alice", password = "{PASSWORD}" }}
extract_selector = "/access_token"
retry_on = [401]

[auth.openapi.client]
username = "orders"
password = "{SECRET}"

# Names that there are; among those that it makes up there would be none.
[dictionaries.name]
values = ["alice"]
[dictionaries.password]
values = ["{PASSWORD}"]
[dictionaries.scope]
values = ["orders:read"]
[dictionaries.audience]
values = ["https://orders.example"]
[parameters]
"body.scope" = {{ dictionary = "scope", probability = 0.8 }}
"body.resource" = {{ dictionary = "audience", probability = 0.8 }}
"body.audience" = {{ dictionary = "audience", probability = 0.8 }}

[checks]
negative_data_rejection.expected-statuses = [400, 401, 403, 405, 409, 413, 415]

[[operations]]
include-operation-id = ["login"]
parameters."body.username" = {{ dictionary = "name", probability = 0.5 }}
parameters."body.password" = {{ dictionary = "password", probability = 0.8 }}

[[operations]]
include-operation-id = ["register"]
# Beyond ASCII, a schema cannot say which characters a name may not hold.
generation.codec = "ascii"

[[operations]]
include-operation-id = [
    "refresh", "token", "introspect", "revoke", "email_verify", "password_reset", "sessions_end",
]
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401]
"""


@pytest.fixture(params=["sqlite", "mongo"])
def url(request, tmp_path):
    """A service on each store, open to all and with nothing counted, and one person in it."""
    store = f"sqlite:///{tmp_path}/store.db"
    if request.param == "mongo":
        store = request.getfixturevalue("mongo").new_url()
    service = Service(
        tmp_path,
        store,
        audience="https://orders.example",
        registration="open",
        throttle=False,
        password={"bcrypt_cost": 4, "common": True},
        clients=[
            {
                "client_id": "orders",
                "client_secret": SECRET,
                "scopes": ["orders:read"],
                "grants": ["client_credentials", "refresh_token"],
            }
        ],
    )
    with service:
        account = {"username": "alice", "email": "alice@example.net", "password": PASSWORD}
        response = requests.post(f"{service.issuer}/register", json=account, timeout=90)
        assert 201 == response.status_code, response.text
        yield service.issuer
        assert "Traceback" not in service.log.read_text("utf-8")


@pytest.mark.timeout(TIMEOUT + 60)
def test_schemathesis_finds_nothing(url, tmp_path):
    """All of its checks over all of our endpoints."""
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG, "utf-8")
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", config]
    # How fast it makes what it sends is this machine's business.
    command += ["run", "--suppress-health-check", "too_slow", "--checks", "all", "--no-color"]
    done = subprocess.run(
        [*command, f"{url}/openapi.json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
        env={**unmeasured(), "SCHEMATHESIS_HOOKS": str(SCRIPTS / "links.py")},
    )
    assert 0 == done.returncode, done.stdout + done.stderr
