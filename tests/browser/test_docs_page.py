"""The page that describes the auth service, in a real browser."""

import pytest


@pytest.fixture
def docs(sites, page):
    """The page, as the example's auth service sends it."""
    answer = page.goto(f"{sites.auth.url}/docs")
    assert (200, "text/html; charset=utf-8") == (answer.status, answer.headers["content-type"])
    return page


def test_it_looks_as_it_is_meant_to(docs, look):
    """Narrow and wide, by day and by night; its own policy lets its style through."""
    look(docs, "docs")
    docs.locator("#login").scroll_into_view_if_needed()
    look(docs, "docs-login")
    width = docs.evaluate("getComputedStyle(document.querySelector('main')).maxWidth")
    assert "832px" == width


def test_nothing_that_is_put_into_it_runs(docs, window):
    """Neither a script nor a style of somebody else's: the policy refuses both, and says so."""
    with docs.expect_console_message(lambda message: "style" in message.text):
        docs.evaluate(
            """() => {
                const script = document.createElement('script')
                script.textContent = 'window.ran = true'
                document.body.append(script)
                document.body.setAttribute('style', 'color: red')
            }"""
        )
    assert docs.evaluate("window.ran === undefined")
    assert "rgb(255, 0, 0)" != docs.evaluate("getComputedStyle(document.body).color")
    refused = ["script-src", "style-src"]
    assert refused == [kind for kind in refused if any(kind in said for said in window.forbidden)]
    window.forbidden.clear()


def test_by_keyboard(docs):
    """The first stop skips to the endpoints; every other one is a link that can be seen."""
    docs.keyboard.press("Tab")
    assert "To the endpoints" == docs.evaluate("document.activeElement.textContent")
    assert docs.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    docs.keyboard.press("Enter")
    docs.wait_for_url("**/docs#endpoints")
    docs.keyboard.press("Tab")
    outline = docs.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert ("A", "solid") == (docs.evaluate("document.activeElement.tagName"), outline)


def test_a_link_leads_to_its_endpoint(docs):
    """From the contents to the place, and from there to the schema of what it answers."""
    docs.get_by_role("navigation").get_by_role("link", name="/login", exact=True).click()
    assert docs.locator("#login").get_by_text("Trade a password for tokens.").is_visible()
    docs.locator("#login").get_by_role("link", name="LoginResponse").click()
    docs.wait_for_url("**/docs#schema-LoginResponse")
    assert docs.locator("#schema-LoginResponse").is_visible()


def test_the_document_is_one_link_away(docs, sites):
    """For programs, at the place that the page names."""
    docs.get_by_role("link", name="openapi.json", exact=True).click()
    docs.wait_for_url(f"{sites.auth.url}/openapi.json")


def test_text_can_be_read(docs):
    """Contrast of text and ground, by day and by night (WCAG 2.2, 1.4.3: at least 4.5 to 1)."""
    for scheme in ("light", "dark"):
        docs.emulate_media(color_scheme=scheme)
        for shown in ("h1", "p", "p.quiet", "dd .quiet", "code", "a", ".get", ".post", "pre"):
            colours = docs.locator(f"main {shown}, header {shown}").first.evaluate(COLOURS)
            darker, lighter = sorted(map(luminance, colours))
            assert (scheme, shown, True) == (
                scheme,
                shown,
                (lighter + 0.05) / (darker + 0.05) >= 4.5,
            )


COLOURS = """element => {
    const colour = (of, name) => getComputedStyle(of)[name].match(/[\\d.]+/g).map(Number)
    let under = element
    while (under.parentElement && colour(under, 'backgroundColor')[3] === 0) {
        under = under.parentElement
    }
    return [colour(element, 'color'), colour(under, 'backgroundColor')]
}"""


def luminance(colour):
    """Return the relative luminance of red, green and blue (WCAG 2.2)."""
    parts = [part / 255 for part in colour[:3]]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
