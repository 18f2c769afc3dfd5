"""Every page, narrow and wide, by day and by night: into build/screenshots, for people to see."""


def test_open_pages(site, page, look):
    """Home, and the form, empty and after a wrong password."""
    page.goto(site.url)
    look(page, f"{site.name}-home")
    page.goto(f"{site.url}/sign-in")
    look(page, f"{site.name}-sign-in")
    site.sign_in(page, password="wrong")
    look(page, f"{site.name}-sign-in-wrong")


def test_the_profile(site, page, look):
    """With a name as long as there may be one too: it breaks rather than widen the page."""
    site.enter(page)
    look(page, f"{site.name}-profile")
    page.evaluate("document.querySelector('h1').textContent = 'x'.repeat(150)")
    page.evaluate("document.querySelector('dd').textContent = 'y'.repeat(150) + '@example.com'")
    look(page, f"{site.name}-profile-long")


def test_a_refusal(site, page, look):
    """What is shown of a form that another site has sent."""
    page.goto("about:blank")
    page.set_content(f'<form method="post" action="{site.url}/sign-out"><button>Go</button></form>')
    with page.expect_navigation() as sent:
        page.get_by_role("button").click()
    assert 403 == sent.value.status
    look(page, f"{site.name}-refused")


def test_the_admin(sites, page, look):
    """Django's own pages, under our policy for what a page may load."""
    page.goto(f"{sites.django.url}/admin/")
    look(page, "admin-log-in")
    page.get_by_label("Username").fill("demo")
    page.get_by_label("Password").fill("demo-password")
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{sites.django.url}/admin/")
    look(page, "admin-first")


def test_text_can_be_read(site, page):
    """Contrast of text and ground, by day and by night (WCAG 2.2, 1.4.3: at least 4.5 to 1)."""
    site.sign_in(page, password="wrong")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for shown in ("h1", "label", "input", "button", ".problem", "a"):
            ratio = page.locator(shown).first.evaluate(CONTRAST)
            assert (scheme, shown, True) == (scheme, shown, ratio >= 4.5)


CONTRAST = """element => {
    const parts = color => color.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => {
        const [x, y, z] = [r, g, b].map(c => c / 255).map(
            c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    let under = element, ground = [0, 0, 0, 0];
    for (; under && ground[3] === 0; under = under.parentElement) {
        const [r, g, b, a = 1] = parts(getComputedStyle(under).backgroundColor);
        ground = [r, g, b, a];
    }
    const pair = [light(parts(getComputedStyle(element).color)), light(ground)];
    return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
}"""
