"""The auth service is down: nobody is told that a password is wrong, nobody is signed out."""

import pytest

ADMIN = "demo"
PASSWORD = "demo-password"


@pytest.fixture(scope="module")
def open_before(browser, running):
    """Profiles and an admin that were opened before the auth service stopped."""
    with running() as sites:
        pages = {name: browser.new_context().new_page() for name in ("flask", "django", "admin")}
        for page in pages.values():
            page.set_default_timeout(90_000)
        for site in (sites.flask, sites.django):
            site.sign_in(pages[site.name])
        pages["admin"].goto(f"{sites.django.url}/admin/")
        log_in(pages["admin"])
        pages["admin"].wait_for_url(f"{sites.django.url}/admin/")
        # What its `with` would do at the end; it may be done twice.
        sites.programs.auth.__exit__(None, None, None)
        yield sites, pages
        for page in pages.values():
            page.context.close()


@pytest.fixture(scope="module")
def sites(open_before):
    return open_before[0]


def log_in(page):
    page.get_by_label("Username").fill(ADMIN)
    page.get_by_label("Password").fill(PASSWORD)
    with page.expect_navigation() as sent:
        page.get_by_role("button", name="Log in").click()
    return sent.value


def test_signing_in_says_so(site, page, look):
    """The name stays and the password goes, as ever; nobody calls it wrong."""
    response = site.sign_in(page)
    assert 503 == response.status
    assert int(response.headers["retry-after"]) > 0
    said = page.get_by_role("alert").inner_text()
    assert "Signing in is not possible right now. Try again in a minute." == said
    assert ADMIN == page.get_by_label("Name").input_value()
    assert "" == page.get_by_label("Password").input_value()
    assert site.cookie_in(page) is None
    look(page, f"{site.name}-sign-in-down")


def test_a_closed_page_says_so_and_signs_nobody_out(site, open_before, page, look):
    """In words; the cookie is as good as it was."""
    page.context.add_cookies(open_before[1][site.name].context.cookies())
    response = page.goto(f"{site.url}/profile")
    assert 503 == response.status
    assert int(response.headers["retry-after"]) > 0
    assert "no-store" == response.headers["cache-control"]
    assert "Try again soon" == page.get_by_role("heading").inner_text()
    assert "You have not been signed out." in page.locator("main").inner_text()
    assert site.cookie_in(page) is not None
    look(page, f"{site.name}-down")


def test_open_pages_stay_open(site, page):
    """Nobody is asked about there."""
    assert 200 == page.goto(site.url).status
    assert 200 == page.goto(f"{site.url}/sign-in").status


def test_a_program_gets_json(site):
    """503 with Retry-After, without a challenge."""
    status, headers, said = site.ask("GET", "/api/profile", token="a.b.c")
    assert (503, "temporarily_unavailable") == (status, said["error"])
    assert headers["Retry-After"].isdigit()
    assert "WWW-Authenticate" not in headers


def test_the_admins_form_says_so(sites, page, look):
    """In the place where it would say that the password is wrong."""
    page.goto(f"{sites.django.url}/admin/")
    log_in(page)
    said = page.locator(".errornote, .errorlist").all_inner_texts()
    assert ["Signing in is not possible right now; try again in a moment."] == said
    assert ADMIN == page.get_by_label("Username").input_value()
    look(page, "admin-log-in-down")


def test_an_admin_that_was_open_stays_open(open_before):
    """For as long as a session need not be checked again."""
    page = open_before[1]["admin"]
    assert 200 == page.reload().status
    assert "Site administration" == page.locator("h1").inner_text()


def test_whoever_signs_out_is_signed_out(site, open_before):
    """From the page that is still there; the last test that has its cookie."""
    page = open_before[1][site.name]
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{site.url}/")
    assert site.cookie_in(page) is None
    page.goto(f"{site.url}/profile")
    assert f"{site.url}/sign-in?next=/profile" == page.url
