"""Django's own admin, opened with names and passwords that only the auth service knows."""

import pytest
from playwright.sync_api import expect

ADMIN = "demo"
EDITOR = "editor"
ORDINARY = "olga"
PASSWORD = "demo-password"
NO_STAFF = "Please enter the correct username and password for a staff account."
NO_PERMISSION = "You are authenticated as olga, but are not authorized to access this page."


@pytest.fixture(scope="module", autouse=True)
def olga(sites):
    """Somebody with an account at the auth service, and no role."""
    account = {"username": ORDINARY, "email": "olga@example.com", "password": PASSWORD}
    assert 201 == sites.auth.ask("POST", "/register", members=account)[0]


@pytest.fixture
def django(sites):
    return sites.django


def log_in(page, username, password=PASSWORD):
    """Fill in the admin's own form, which the page shows, and send it."""
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password").fill(password)
    with page.expect_navigation() as sent:
        page.get_by_role("button", name="Log in").click()
    return sent.value


def test_the_role_opens_it(django, page):
    """By the form it has; who logs in this way exists on the auth service alone."""
    page.goto(f"{django.url}/admin/")
    assert f"{django.url}/admin/login/?next=/admin/" == page.url
    log_in(page, ADMIN)
    assert f"{django.url}/admin/" == page.url
    assert "Site administration" == page.locator("h1").inner_text()
    assert "welcome, demo" in page.locator("#user-tools").inner_text().lower()
    page.get_by_role("link", name="Users", exact=True).click()
    page.wait_for_url(f"{django.url}/admin/auth/user/")
    assert "demo@example.com" in page.locator("#result_list").inner_text()
    assert page.get_by_role("link", name="Add user").count()


def test_another_role_opens_a_part_of_it(django, page):
    """What the group may do, and no more."""
    page.goto(f"{django.url}/admin/")
    log_in(page, EDITOR)
    page.get_by_role("link", name="Users", exact=True).click()
    page.wait_for_url(f"{django.url}/admin/auth/user/")
    assert "Select user to view" == page.locator("h1").inner_text()
    assert 0 == page.get_by_role("link", name="Add user").count()
    assert 403 == page.goto(f"{django.url}/admin/auth/group/").status


def test_without_a_role_it_stays_closed(django, page):
    """Though the password is right; the admin says what it always says."""
    page.goto(f"{django.url}/admin/")
    log_in(page, ORDINARY)
    assert NO_STAFF in page.locator(".errornote").inner_text()
    assert "sessionid" not in str(page.context.cookies())
    assert page.goto(f"{django.url}/admin/").url.endswith("/admin/login/?next=/admin/")


def test_a_wrong_password_is_said(django, page):
    """The name stays, the password goes."""
    page.goto(f"{django.url}/admin/")
    log_in(page, ADMIN, "wrong")
    assert NO_STAFF in page.locator(".errornote").inner_text()
    assert ADMIN == page.get_by_label("Username").input_value()
    assert "" == page.get_by_label("Password").input_value()


def test_logging_out_closes_it(django, page):
    """And the next to come is asked who they are."""
    page.goto(f"{django.url}/admin/")
    log_in(page, ADMIN)
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/admin/logout/")
    page.goto(f"{django.url}/admin/")
    assert f"{django.url}/admin/login/?next=/admin/" == page.url


def test_it_goes_without_a_mouse(django, page):
    """The form is Django's; nothing of ours is in its way."""
    page.goto(f"{django.url}/admin/")
    # Where the browser puts the cursor by itself, which it does a moment after loading.
    expect(page.get_by_label("Username")).to_be_focused(timeout=90_000)
    page.keyboard.type(ADMIN)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{django.url}/admin/")


class TestSignedInOnThePages:
    """The cookie that the site's own sign-in page has set counts in the admin too."""

    def test_it_opens_at_once(self, django, page):
        """With the role."""
        django.enter(page)
        assert 200 == page.goto(f"{django.url}/admin/").status
        assert f"{django.url}/admin/" == page.url

    def test_logging_out_there_signs_out_here(self, django, page):
        """One person, one way out."""
        django.sign_in(page)
        page.goto(f"{django.url}/admin/")
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url("**/admin/logout/")
        assert django.cookie_in(page) is None
        page.goto(f"{django.url}/profile")
        assert f"{django.url}/sign-in?next=/profile" == page.url

    def test_who_may_not_can_become_somebody_who_may(self, django, page):
        """The admin says why, and its form is for another account: it then opens."""
        django.sign_in(page, ORDINARY)
        page.goto(f"{django.url}/admin/")
        assert NO_PERMISSION in page.locator(".errornote").inner_text()
        log_in(page, ADMIN)
        assert f"{django.url}/admin/" == page.url
        assert django.cookie_in(page) is None
