"""`doctor`, `verify` and `introspect` against a running auth service, and against none."""

import json
import socketserver
import threading
import time
from contextlib import contextmanager

import pytest
from benchmarks.ports import free_port

from tokenward import wsgi
from tokenward.cli import main
from tokenward.cli.serve import Server, listen
from tokenward.clients import Client
from tokenward.keys import KeyRing
from tokenward.repositories import open_repositories
from tokenward.schemas import LoginRequest
from tokenward.service import AuthService

PASSWORD = "correct horse battery"
SECRET = "9f8a-77e1-quartz-lantern"
OTHER_SECRET = "another-9f8a-77e1-quartz"
CONFIG = """
[[credentials]]
type = "introspection"
introspection_endpoint = "{endpoint}"
audience = {audience}
timeout = 60
retries = 0
client_auth = {{ method = "{method}", client_id = "orders", client_secret = "{secret}" }}
"""


@pytest.fixture(scope="module")
def service():
    stores = open_repositories("memory://", bcrypt_cost=4)
    listener = listen("127.0.0.1", 0)
    issuer = f"http://127.0.0.1:{listener.getsockname()[1]}"
    service = AuthService(
        stores.users,
        keys=KeyRing.generate(),
        tokens=stores.tokens,
        issuer=issuer,
        audience="orders",
        clients=[Client("orders", SECRET)],
    )
    service.create_user("alice", email="a@example.com", password=PASSWORD)
    server = Server(wsgi.auth_service_app(service), listener, threads=2)
    thread = threading.Thread(target=server.run)
    thread.start()
    yield service
    server.stop()
    thread.join()


@pytest.fixture
def token(service):
    return service.login_user(LoginRequest(username="alice", password=PASSWORD)).access_token


@pytest.fixture
def config(tmp_path, service):
    """Write a configuration that asks the service; some of it may differ."""

    def write(**changes):
        path = tmp_path / "tokenward.toml"
        options = {
            "endpoint": f"{service.issuer}/introspect",
            "audience": '"orders"',
            "method": "client_secret_basic",
            "secret": SECRET,
        }
        path.write_text(CONFIG.format(**options | changes), "utf-8")
        path.chmod(0o600)
        return path

    return write


@pytest.fixture
def run(capsys, monkeypatch):
    """Run one command; return its exit status and standard output."""

    def run(*argv, stdin=""):
        monkeypatch.setattr("getpass.getpass", lambda _prompt: stdin)
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        status = main([str(argument) for argument in argv])
        return status, capsys.readouterr().out

    return run


def levels(out):
    return {line[5:].partition(": ")[0]: line[:4].strip() for line in out.splitlines()}


@contextmanager
def answering(answer):
    """A server that gives every request the same answer."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            while self.rfile.readline().strip():
                pass
            self.wfile.write(answer)

    class Answering(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Answering(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/introspect"
        server.shutdown()
        thread.join()


def json_answer(text, *headers):
    body = json.dumps(text)
    head = ["HTTP/1.1 200 OK", "Content-Type: application/json", "Connection: close", *headers]
    return "\r\n".join([*head, f"Content-Length: {len(body)}", "", body]).encode()


class TestDoctor:
    def test_a_service_that_takes_our_credentials_is_ok(self, run, config):
        """It knows no made-up token, and its clock agrees with ours."""
        status, out = run("doctor", "--config", config())
        assert 0 == status
        assert "ok" == levels(out)["credentials[0].introspection_endpoint"]
        assert "ok" == levels(out)["credentials[0].leeway"]
        assert "warn" == levels(out)["credentials[0].client_auth.client_secret"]

    def test_a_service_that_refuses_us_is_a_failure(self, run, config):
        """Exit 1, and the settings that are to be changed."""
        status, out = run("doctor", "--config", config(secret=OTHER_SECRET))
        assert 1 == status
        assert "FAIL" == levels(out)["credentials[0].client_auth"]
        assert "credentials[0].client_auth.client_id" in out
        assert OTHER_SECRET not in out

    def test_an_endpoint_that_is_none_is_a_failure(self, run, config, service):
        """404: exit 1, and the setting to change."""
        status, out = run("doctor", "--config", config(endpoint=f"{service.issuer}/nothing"))
        assert 1 == status
        assert "FAIL" == levels(out)["credentials[0].introspection_endpoint"]
        assert "404" in out

    def test_a_server_that_is_down_is_an_outage(self, run, config):
        """Nobody listens: exit 3."""
        endpoint = f"http://127.0.0.1:{free_port()}/x"
        status, out = run("doctor", "--config", config(endpoint=endpoint))
        assert 3 == status
        assert "FAIL credentials[0].introspection_endpoint: cannot be reached" in out

    def test_a_server_that_takes_every_token_is_a_failure(self, run, config):
        """It calls active what was made up: exit 1."""
        with answering(json_answer({"active": True})) as endpoint:
            status, out = run("doctor", "--config", config(endpoint=endpoint))
        assert 1 == status
        assert "made up" in out

    def test_a_clock_that_is_off_is_a_warning(self, run, config):
        """By the server's Date."""
        date = "Date: Thu, 01 Jan 2015 00:00:00 GMT"
        with answering(json_answer({"active": False}, date)) as endpoint:
            status, out = run("doctor", "--config", config(endpoint=endpoint))
        assert 0 == status
        assert "warn credentials[0].leeway: this clock is " in out
        assert "ahead of" in out

    @pytest.mark.usefixtures("far_from_utc")
    def test_a_date_that_names_no_zone_is_utc(self, run, config):
        """As asctime writes it (RFC 9110, section 5.6.7)."""
        date = f"Date: {time.asctime(time.gmtime())}"
        with answering(json_answer({"active": False}, date)) as endpoint:
            _, out = run("doctor", "--config", config(endpoint=endpoint))
        assert "ok   credentials[0].leeway: the server's clock and this one agree" in out

    def test_tokens_for_anybody_are_a_warning(self, run, config):
        """No audience, written out."""
        status, out = run("doctor", "--config", config(audience="false"))
        assert 0 == status
        assert "warn" == levels(out)["credentials[0].audience"]


class TestVerify:
    def explain(self, run, path, token):
        status, out = run("verify", "-", "--explain", "--config", path, stdin=token)
        assert token not in out
        checks = out.splitlines()[1:-1]
        return status, {line[9:].partition(":")[0]: line[:8].rstrip() for line in checks}, out

    def test_a_good_token_is_accepted(self, run, config, token, service):
        """Every check is ok, and the verdict names who it speaks for."""
        status, checks, out = self.explain(run, config(), token)
        assert (0, {"ok"}) == (status, set(checks.values()))
        assert f"of {service.issuer}" in out
        assert (0, out.splitlines()[-1] + "\n") == run(
            "verify", "-", "--config", config(), stdin=token
        )

    def test_a_token_that_was_logged_out_is_inactive(self, run, config, token, service):
        """The server says no: exit 1."""
        service.logout_user(token)
        status, checks, out = self.explain(run, config(), token)
        assert (1, "failed") == (status, checks["active"])
        assert "ok" == checks["call"]
        assert "refused: inactive" in out

    def test_a_token_for_somebody_else_fails_at_its_audience(self, run, config, token):
        """What was expected, and what came."""
        status, checks, out = self.explain(run, config(audience='"billing"'), token)
        assert (1, "failed") == (status, checks["aud"])
        assert "expected 'billing', got orders" in out

    def test_what_is_no_token_is_not_sent(self, run, config):
        """It fails before the call."""
        status, checks, _ = self.explain(run, config(), "no token")
        assert (1, "failed", "not made") == (status, checks["syntax"], checks["call"])

    @pytest.mark.parametrize("explain", [[], ["--explain"]])
    def test_nobody_can_decide_while_the_server_is_down(self, run, config, token, explain):
        """Exit 3, which is neither accepted nor refused."""
        endpoint = f"http://127.0.0.1:{free_port()}/introspect"
        path = config(endpoint=endpoint)
        status, out = run("verify", "-", *explain, "--config", path, stdin=token)
        assert 3 == status
        assert out.splitlines()[-1].startswith("undecided: connect_failed")
        if explain:
            assert "failed   call: expected an answer as in RFC 7662, got " in out
            assert endpoint.rpartition("/")[0] in out.splitlines()[2]

    def test_nobody_can_decide_while_we_are_refused(self, run, config, token):
        """Our credentials are wrong, which says nothing of the token."""
        status, checks, out = self.explain(run, config(secret=OTHER_SECRET), token)
        assert (3, "failed") == (status, checks["call"])
        assert "undecided: client_refused" in out


class TestIntrospect:
    def test_it_prints_what_the_server_says(self, run, config, token, service):
        """The answer as it came."""
        status, out = run("introspect", "-", "--config", config(), stdin=token)
        assert 0 == status
        assert service.introspect_token(token).model_dump(mode="json") == json.loads(out)

    def test_it_is_unavailable_while_the_server_is_down(self, run, config, token):
        """Exit 3, one line."""
        endpoint = f"http://127.0.0.1:{free_port()}/introspect"
        status, out = run("introspect", "-", "--config", config(endpoint=endpoint), stdin=token)
        assert (3, "") == (status, out)
