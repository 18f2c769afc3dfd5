"""Cookies as they are in earnest: `__Host-`, and Secure.

Chromium takes `http://127.0.0.1` for trustworthy, and keeps and sends them even without https.
"""

import pytest


@pytest.fixture(scope="module")
def sites(running):
    """The examples as they are behind https."""
    with running(secure=True) as sites:
        yield sites


def test_the_cookie_is_of_this_host_and_secure(site, page):
    """The browser takes it with that name, which it would not without all that goes with it."""
    site.sign_in(page)
    assert f"{site.url}/profile" == page.url
    cookie = site.cookie_in(page)
    assert f"__Host-example_{site.name}" == cookie["name"]
    assert (True, True, "Lax", "/") == tuple(
        cookie[name] for name in ("secure", "httpOnly", "sameSite", "path")
    )


def test_signing_out_takes_it_back(site, page):
    """A browser lets it be changed only by what would be let set it."""
    site.sign_in(page)
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{site.url}/")
    assert site.cookie_in(page) is None
    page.goto(f"{site.url}/profile")
    assert f"{site.url}/sign-in?next=/profile" == page.url


def test_one_that_has_ended_is_taken_back(site, page):
    """By the redirect to the sign-in page."""
    ended = {"name": site.cookie, "value": "ended", "secure": True, "httpOnly": True}
    page.context.add_cookies([{**ended, "url": site.url.replace("http:", "https:")}])
    page.goto(f"{site.url}/profile")
    assert f"{site.url}/sign-in?next=/profile" == page.url
    assert [] == [c for c in page.context.cookies() if c["name"] == site.cookie]


def test_djangos_own_cookies_are_secure_too(sites, page):
    """Those of the admin's session, and of its forms."""
    page.goto(f"{sites.django.url}/admin/")
    page.get_by_label("Username").fill("demo")
    page.get_by_label("Password").fill("demo-password")
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{sites.django.url}/admin/")
    kept = {cookie["name"]: cookie["secure"] for cookie in page.context.cookies()}
    assert {"example_django_session": True, "example_django_csrf": True} == kept
