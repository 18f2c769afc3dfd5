"""Signing in and out on the pages of both examples."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, urlsplit

import pytest

ADMIN = "demo"
EDITOR = "editor"
PASSWORD = "demo-password"
WRONG = "The name or the password is wrong."


def focused(page):
    """Return what has the focus, its label or its text, once something has it."""
    # The browser gives it by itself a moment after a page is loaded.
    page.wait_for_function("() => document.activeElement !== document.body")
    return page.evaluate(
        "() => { const e = document.activeElement; return e.labels?.[0]?.innerText ?? e.innerText }"
    )


def shows_focus(page):
    """Tell whether a person sees what has the focus."""
    return page.evaluate(
        "() => { const s = getComputedStyle(document.activeElement);"
        " return s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2 }"
    )


def test_signing_in_leads_to_the_profile(site, page):
    """Name, e-mail address, roles, and until when."""
    page.goto(site.url)
    page.get_by_role("link", name="Your profile").click()
    page.wait_for_url(lambda url: url == f"{site.url}/sign-in?next=/profile")
    assert page.title().startswith("Sign in ·")
    site.sign_in(page, EDITOR)
    assert f"{site.url}/profile" == page.url
    assert EDITOR == page.get_by_role("heading").inner_text()
    facts = page.locator("dd").all_inner_texts()
    assert ["editor@example.com", "editor"] == facts[:2]
    assert "UTC" in facts[2]
    assert page.locator("time").get_attribute("datetime").startswith("20")


def test_the_cookie_is_out_of_reach(site, page):
    """Of scripts and of other sites; and it ends with the token."""
    site.sign_in(page)
    cookie = site.cookie_in(page)
    assert (True, "Lax", "/", "127.0.0.1") == tuple(
        cookie[name] for name in ("httpOnly", "sameSite", "path", "domain")
    )
    lifetime = {"flask": 900, "django": 28_800}[site.name]
    left = cookie["expires"] - page.evaluate("Date.now() / 1000")
    assert lifetime - 120 < left <= lifetime
    assert cookie["value"] not in page.evaluate("document.cookie")


def test_a_wrong_password_is_said_beside_the_form(site, page):
    """The name stays, the password goes, and the focus is where one goes on."""
    response = site.sign_in(page, password="wrong")
    assert 403 == response.status
    assert WRONG == page.get_by_role("alert").inner_text()
    assert page.title().startswith("Problem: ")
    assert ADMIN == page.get_by_label("Name").input_value()
    assert "" == page.get_by_label("Password").input_value()
    assert "Password" == focused(page)
    described = page.get_by_label("Password").get_attribute("aria-describedby")
    assert WRONG == page.locator(f"#{described}").inner_text()
    assert site.cookie_in(page) is None
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{site.url}/profile")


def test_an_unknown_name_is_said_in_the_same_words(site, page):
    """What is typed comes back as text."""
    name = "<b>nobody</b>"
    response = site.sign_in(page, name, "wrong")
    assert 403 == response.status
    assert WRONG == page.get_by_role("alert").inner_text()
    assert name == page.get_by_label("Name").input_value()


def test_what_no_service_would_take_is_wrong_too(site, page):
    """A password of more bytes than there may be."""
    response = site.sign_in(page, password="ä" * 600)
    assert 403 == response.status
    assert WRONG == page.get_by_role("alert").inner_text()


def test_the_way_back_never_leads_to_another_site(site, page):
    """It ends on the profile; what is asked for elsewhere would fail the test."""
    targets = [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example/",
        "%2F%2Fevil.example",
        "/%5Cevil.example",
    ]
    for target in targets:
        site.sign_in(page, path=f"/sign-in?next={quote(target, safe='')}")
        assert (target, f"{site.url}/profile") == (target, page.url)


def test_the_way_back_leads_to_where_one_was(site, page):
    """With the query it had."""
    site.sign_in(page, path="/sign-in?next=%2Fprofile%3Ftab%3Da%2526b")
    assert f"{site.url}/profile?tab=a%26b" == page.url


def test_signing_out_closes_the_profile(site, page):
    """The cookie is gone, and its token is good for nobody."""
    site.sign_in(page)
    token = site.cookie_in(page)["value"]
    assert 200 == site.ask("GET", "/api/profile", token=token)[0]
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{site.url}/")
    assert site.cookie_in(page) is None
    assert 401 == site.ask("GET", "/api/profile", token=token)[0]
    page.goto(f"{site.url}/profile")
    assert f"{site.url}/sign-in?next=/profile" == page.url


def test_back_shows_nothing_after_signing_out(site, page):
    """The profile was kept by nobody: one is asked to sign in again."""
    site.sign_in(page)
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{site.url}/")
    page.go_back()
    assert f"{site.url}/sign-in?next=/profile" == page.url
    assert "demo@example.com" not in page.content()


def test_signing_out_by_a_link_does_nothing(site, page):
    """405; one stays signed in."""
    site.enter(page)
    # Not opened as a page: what has no body, Chromium shows as an error of its own.
    assert 405 == page.request.get(f"{site.url}/sign-out").status
    assert site.cookie_in(page) is not None
    assert 200 == page.goto(f"{site.url}/profile").status


def test_a_cookie_that_has_ended_is_no_obstacle(sites, site, page):
    """One redirect to the sign-in page; after signing in, everything works again."""
    site.sign_in(page)
    sites.auth.ask("POST", "/logout", token=site.cookie_in(page)["value"])
    asked = []

    def note(request):
        asked.append(urlsplit(request.url).path)

    page.on("request", note)
    page.goto(f"{site.url}/profile")
    page.remove_listener("request", note)
    assert ["/profile", "/sign-in"] == asked[:2]
    assert 1 == asked.count("/sign-in")
    assert site.cookie_in(page) is None
    site.sign_in(page, path="/sign-in?next=/profile")
    assert f"{site.url}/profile" == page.url


def test_an_old_cookie_does_not_close_the_sign_in_page(site, page):
    """Neither to look at nor to use."""
    page.context.add_cookies([{"name": site.cookie, "value": "old", "url": site.url}])
    assert 200 == page.goto(f"{site.url}/sign-in").status
    site.sign_in(page)
    assert f"{site.url}/profile" == page.url


def test_everything_goes_without_a_mouse(site, page):
    """Tab and Enter, and one sees where one is."""
    page.goto(f"{site.url}/profile")
    assert "Name" == focused(page)
    assert shows_focus(page)
    page.keyboard.type(ADMIN)
    page.keyboard.press("Tab")
    assert "Password" == focused(page)
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Tab")
    assert "Sign in" == focused(page)
    assert shows_focus(page)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{site.url}/profile")
    reached = []
    while "Sign out" not in reached:
        page.keyboard.press("Tab")
        reached.append(focused(page))
        assert shows_focus(page)
        assert len(reached) < 10
    page.keyboard.press("Enter")
    page.wait_for_url(f"{site.url}/")


def test_each_site_has_its_own_cookie(sites, page):
    """A browser keeps them together, whatever the port: neither is in the other's way."""
    for site in (sites.flask, sites.django):
        site.sign_in(page)
    for site in (sites.flask, sites.django):
        assert 200 == page.goto(f"{site.url}/profile").status


@pytest.fixture
def elsewhere():
    """A function that serves a page of another origin which sends a form when it is opened."""
    servers = []

    def elsewhere(action, fields, *, host):
        inputs = "".join(f'<input name="{n}" value="{v}">' for n, v in fields.items())
        html = f'<form method="post" action="{action}">{inputs}<button>Win</button></form>'

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(html.encode())

            def log_message(self, *_):
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        return f"http://{host}:{server.server_port}/"

    yield elsewhere
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


# Another site, and another application on the same host, which is the same site to a browser.
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
class TestAnotherOrigin:
    """A form of somebody else's page signs nobody in or out."""

    def test_signs_nobody_in(self, site, page, elsewhere, host):
        """Not even with a right password: it would be the attacker's."""
        fields = {"username": EDITOR, "password": PASSWORD}
        page.goto(elsewhere(f"{site.url}/sign-in", fields, host=host))
        with page.expect_navigation() as sent:
            page.get_by_role("button").click()
        assert 403 == sent.value.status
        assert site.cookie_in(page) is None

    def test_signs_nobody_out(self, site, page, elsewhere, host):
        """The cookie is still there, and still good."""
        site.enter(page)
        before = site.cookie_in(page)
        page.goto(elsewhere(f"{site.url}/sign-out", {}, host=host))
        with page.expect_navigation() as sent:
            page.get_by_role("button").click()
        assert 403 == sent.value.status
        assert before == site.cookie_in(page)
        assert 200 == page.goto(f"{site.url}/profile").status
