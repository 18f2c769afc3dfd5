"""docs/service/auth-service.md, tried as it is written."""

import re
import shutil
import subprocess
import sys
import threading
from types import ModuleType

import pytest
import waitress.server
from doc_pages import Page
from waitress import wasyncore

from tokenward.endpoints import ENDPOINTS
from tokenward.wsgi import service_app

PAGE = Page("service/auth-service.md")
SECRETS = {
    "SHOP_SECRET": "9f8a/77e1+quartz=lantern",
    "ORDERS_SECRET": "another-0quartz-77e1-lamp",
}


@pytest.fixture
def port(tmp_path, monkeypatch):
    """Serve what the page configures, in a folder of its own, on a free port."""
    monkeypatch.chdir(tmp_path)
    for name, secret in SECRETS.items():
        monkeypatch.setenv(name, secret)
    mail = ModuleType("auth_mail")
    vars(mail).update(PAGE.run(PAGE.block("def deliver"), {}))
    monkeypatch.setitem(sys.modules, "auth_mail", mail)
    (settings,) = PAGE.tomls()
    settings["service"] |= {"store": "memory://", "password": {"bcrypt_cost": 4}}
    served = {}
    server = waitress.server.create_server(
        service_app(settings), map=served, host="127.0.0.1", port=0, threads=2
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    yield server.effective_port
    server.trigger.pull_trigger(lambda: wasyncore.close_all(served))
    thread.join()
    server.task_dispatcher.shutdown()


def test_lines_work(port, tmp_path):
    """From the first to the last, in one shell, against one service."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.text, re.DOTALL)
    script = "set -euo pipefail\n" + "\n".join(blocks).replace(":8080", f":{port}")
    bash = shutil.which("bash")
    ran = subprocess.run(
        [bash, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=180, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    said = ran.stdout
    assert '"username":"ann"' in said
    assert '"current":true' in said
    assert '"sub":"shop"' in said
    assert '{"active":false}' in said
    assert said.endswith('{"status":"ready"}')


def test_every_endpoint_is_named():
    """With its method; and none that is not there."""
    named = set()
    for line in PAGE.text.splitlines():
        if line.startswith("| `"):
            cell = line.split(" | ")[0]
            named |= {tuple(m) for m in re.findall(r"`(GET|POST) ([^`]+)`", cell)}
    there = {(row.method, row.path) for row in ENDPOINTS if row.name != "openid_metadata"}
    assert named == there


def test_every_status_is_named():
    """Where an endpoint says how it refuses, it leaves out only what any of them may say."""
    everywhere = {413, 415, 500, 503}
    rows = {
        (m[1], m[2]): line
        for line in PAGE.text.splitlines()
        if (m := re.match(r"\| `(GET|POST) ([^`]+)` \| .* \| .* \| .* \|$", line))
    }
    for row in ENDPOINTS:
        if (row.method, row.path) not in rows:
            continue
        refusals = rows[row.method, row.path].split(" | ")[-1]
        said = {int(status) for status in re.findall(r"\b([45]\d\d)\b", refusals)}
        expected = set(row.refusals) - everywhere
        # A malformed header is a 400 wherever a token or a client is read.
        assert said | {400} == expected | {400}, row.path
