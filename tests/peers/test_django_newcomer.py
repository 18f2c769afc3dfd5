"""A project made with ``startproject``, the README's Django section, and nothing else."""

import http.client
import json
import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest
from benchmarks.ports import free_port

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
SECTION = re.search(r"\n## Django\n(.*?)\n## ", README, re.DOTALL)[1]
SETTINGS, VIEWS = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
PASSWORD = "correct horse battery"
SECRET = "9f8a-77e1-quartz-lantern"
CONFIG = """
[service]
issuer = "http://127.0.0.1:{port}"
audience = "orders"
store = "sqlite:///{folder}/store.db"
password = {{ bcrypt_cost = 4 }}

[[service.clients]]
client_id = "orders"
client_secret = "9f8a-77e1-quartz-lantern"
"""
URLS = """
from django.contrib import admin
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.urls import path
from site1.views import orders

urlpatterns = [
    path("admin/", admin.site.urls),
    path("orders", orders),
    path("name", login_required(lambda request: HttpResponse(request.user.get_username()))),
]
"""


def run(*command, cwd=None, **environment):
    done = subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
        env=without_our_project() | environment,
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout


def without_our_project():
    return {k: v for k, v in os.environ.items() if not k.startswith("DJANGO_")}


@contextmanager
def server(folder, name, *command, ready, **environment):
    log = folder / f"{name}.log"
    with log.open("wb") as writing:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder,
            stdout=writing,
            stderr=subprocess.STDOUT,
            env=without_our_project() | environment,
        )
    try:
        found = None
        while found is None:
            assert process.poll() is None, log.read_text("utf-8")
            found = re.search(ready, log.read_bytes())
            time.sleep(0.02)
        yield int(found[1])
    finally:
        process.terminate()
        process.wait(90)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The ports of the auth service and of the project that asks it."""
    folder = tmp_path_factory.mktemp("newcomer")
    config = folder / "tokenward.toml"
    config.write_text(CONFIG.format(folder=folder, port=9), "utf-8")
    run("-m", "tokenward", "store", "init", "--config", config)
    password = folder / "password"
    password.write_text(PASSWORD, "utf-8")
    for name, role in (("root", ["--role", "admin"]), ("ann", [])):
        add = ["users", "add", name, "--email", f"{name}@example.com", *role]
        run("-m", "tokenward", *add, "--password-file", password, "--config", config)
    # Named in the issuer before the service is there.
    auth_port = free_port()
    config.write_text(CONFIG.format(folder=folder, port=auth_port), "utf-8")
    run("-m", "django", "startproject", "site1", folder)
    settings = folder / "site1" / "settings.py"
    ours = SETTINGS.replace("https://as.example", f"http://127.0.0.1:{auth_port}")
    settings.write_text(f"{settings.read_text('utf-8')}\n{ours}", "utf-8")
    (folder / "site1" / "views.py").write_text(VIEWS, "utf-8")
    (folder / "site1" / "urls.py").write_text(URLS, "utf-8")
    run("manage.py", "migrate", cwd=folder, AS_SECRET=SECRET)
    assert "no issues" in run("manage.py", "check", cwd=folder, AS_SECRET=SECRET)
    bind = f"127.0.0.1:{auth_port}"
    serve = ["tokenward", "serve", "--config", str(config), "--bind", bind]
    gunicorn = ["gunicorn", "site1.wsgi", "--bind", "127.0.0.1:0", "--threads", "4"]
    gunicorn += ["--timeout", "600"]
    with (
        server(folder, "auth", *serve, ready=rb"at http://127\.0\.0\.1:(\d+)\n") as auth,
        server(
            folder,
            "site",
            *gunicorn,
            ready=rb"(?s)at: http://127\.0\.0\.1:(\d+).*Booting worker",
            AS_SECRET=SECRET,
        ) as port,
    ):
        yield auth, port


def ask(port, method, path, body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=90)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode("utf-8")
    finally:
        connection.close()


def log_in(auth, name):
    account = json.dumps({"username": name, "password": PASSWORD})
    status, _, body = ask(auth, "POST", "/login", account, Content_Type="application/json")
    assert 200 == status
    return json.loads(body)["access_token"]


def test_the_view_is_protected(site):
    """Nobody, nonsense and too little scope are each refused as RFC 6750 has it."""
    auth, port = site
    status, headers, _ = ask(port, "GET", "/orders")
    assert (401, 'Bearer realm="api"') == (status, headers["WWW-Authenticate"])
    status, headers, _ = ask(port, "GET", "/orders", Authorization="Bearer nonsense")
    assert 401 == status
    assert 'error="invalid_token"' in headers["WWW-Authenticate"]
    bearer = f"Bearer {log_in(auth, 'ann')}"
    status, headers, _ = ask(port, "GET", "/orders", Authorization=bearer)
    assert 403 == status
    assert 'scope="orders:read"' in headers["WWW-Authenticate"]


def test_the_user_of_the_token_is_the_user_of_the_request(site):
    """Django's own login_required lets in who bears a token, by the name the service knows."""
    auth, port = site
    bearer = f"Bearer {log_in(auth, 'ann')}"
    status, headers, body = ask(port, "GET", "/name", Authorization=bearer)
    assert (200, "ann") == (status, body)
    assert headers["Set-Cookie"] is None


def sign_in_at_the_admin(port, name, password):
    """Fill in the admin's own form as a browser does; return what the admin's index answers."""
    path = "/admin/login/?next=/admin/"
    status, headers, page = ask(port, "GET", path)
    assert 200 == status, page
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)[1]
    cookies = headers["Set-Cookie"].partition(";")[0]
    form = {"csrfmiddlewaretoken": token, "username": name, "password": password}
    status, headers, page = ask(
        port,
        "POST",
        path,
        urlencode(form),
        Cookie=cookies,
        Content_Type="application/x-www-form-urlencoded",
    )
    if status != 302:
        return status, page
    cookies = "; ".join(
        value.partition(";")[0] for name, value in headers.items() if name == "Set-Cookie"
    )
    status, _, page = ask(port, "GET", headers["Location"], Cookie=cookies)
    return status, page


def test_the_admin_opens_for_a_role_mapped_to_staff(site):
    """The person exists on the auth service only."""
    status, page = sign_in_at_the_admin(site[1], "root", PASSWORD)
    assert 200 == status
    assert "Site administration" in page


@pytest.mark.parametrize(("name", "password"), [("ann", PASSWORD), ("root", "wrong-password")])
def test_the_admin_stays_closed_to_others(site, name, password):
    """Without the role, or with a wrong password, the form comes back with a sentence."""
    status, page = sign_in_at_the_admin(site[1], name, password)
    assert 200 == status
    assert "Please enter the correct username and password for a staff account" in page
