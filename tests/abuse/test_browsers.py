"""What other sites, and a browser that they use, can do here: nothing."""

import pytest
from service_callers import FORM, JSON

from tokenward.endpoints import ENDPOINTS

POSTS = [row for row in ENDPOINTS if row.method == "POST"]
ELSEWHERE = "https://evil.example/"


@pytest.fixture(scope="module")
def token(attacker):
    return attacker.login(attacker.newcomer())["access_token"]


@pytest.mark.parametrize("row", ENDPOINTS, ids=lambda row: row.name)
def test_nothing_redirects(attacker, token, row):
    """Whatever is asked for, in the query or in a header: no Location, and no link elsewhere."""
    names = ("next", "redirect_uri", "post_logout_redirect_uri", "return_to", "url", "continue")
    query = "&".join(f"{name}={ELSEWHERE}" for name in names)
    sent = {
        "host": "evil.example",
        "x_forwarded_host": "evil.example",
        "x_forwarded_proto": "http",
        "x_original_url": ELSEWHERE,
        "referer": ELSEWHERE,
        "origin": "https://evil.example",
    }
    for content_type in (JSON, FORM):
        for authorization in (None, f"Bearer {token}"):
            if row.name == "logout" and authorization:
                continue  # that would be one
            answer = attacker.send(
                row.method,
                row.path,
                query=query,
                authorization=authorization,
                content_type=content_type,
                **sent,
            )
            assert not 300 <= answer.status < 400
            assert "location" not in answer.headers
            assert "refresh" not in answer.headers
            assert b"evil.example" not in answer.body + repr(answer.headers).encode()


@pytest.mark.parametrize("row", POSTS, ids=lambda row: row.name)
@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "text/json",
        "application/json+x",
        "application/problem+json",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/json, text/plain",
        "application/json; charset=utf-16",
        "*/*",
    ],
)
def test_wrong_type_is_a_415(attacker, token, row, content_type):
    """Of whatever a page can have a browser send, nothing is read."""
    authorization = f"Bearer {token}" if row.authentication == "bearer" else None
    body = b'{"username":"x","password":"x"}'
    answer = attacker.send(
        "POST", row.path, body, content_type=content_type, authorization=authorization
    )
    assert answer.error == (415, "unsupported_media_type")


@pytest.mark.parametrize("row", POSTS, ids=lambda row: row.name)
def test_cookies_and_urls_are_no_credentials(attacker, token, row):
    """RULES 26, 29: a token that a browser attaches by itself authenticates nobody."""
    if row.authentication not in {"bearer", "client"}:
        return
    cookies = "; ".join(f"{name}={token}" for name in ("tokenward", "access_token", "session"))
    content_type = JSON if row.authentication == "bearer" else FORM
    answer = attacker.send(
        "POST",
        row.path,
        b"{}" if content_type == JSON else b"grant_type=client_credentials",
        content_type=content_type,
        cookie=cookies,
        query=f"jwt={token}&bearer={token}",
    )
    assert answer.status == 401
    assert "set-cookie" not in answer.headers
    assert attacker.get("/me", token).status == 200


@pytest.mark.parametrize("row", ENDPOINTS, ids=lambda row: row.name)
def test_no_other_site_may_read_an_answer(attacker, token, row):
    """No CORS header is ever sent, to a preflight least of all."""
    for method in (row.method, "OPTIONS"):
        answer = attacker.send(
            method,
            row.path,
            origin="https://evil.example",
            access_control_request_method=row.method,
            access_control_request_headers="authorization, content-type",
        )
        assert not [name for name in answer.headers if name.startswith("access-control-")]
