"""Take the pictures of pages that the documentation shows.

Runs the demo's programs on free ports of this machine, opens their pages in Chromium, and writes
`docs/images/sign-in.png`, `admin.png` and `auth-service.png`.

Usage: `python tools/screenshots.py [FOLDER]`, where FOLDER (default: `docs/images`) gets them. The
Chromium is the one that `tools/install_browser.sh` installs.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tokenward.commands.demo.processes import free_ports
from tokenward.commands.demo.programs import ADMIN, PASSWORD, PORTS, Programs, clone, prepare

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
# One size, so that they stand in a row.
WIDTH, HEIGHT = 800, 560


def sign_in(page: Page, programs: Programs) -> None:
    """Open the Flask example's form, and show it after a wrong password."""
    page.goto(f"{programs.flask.url}/sign-in")
    page.get_by_label("Name").fill(ADMIN)
    page.get_by_label("Password").fill("not the password")
    with page.expect_navigation():
        page.get_by_role("button", name="Sign in").click()


def admin(page: Page, programs: Programs) -> None:
    """Open the Django example's admin as somebody whom the auth service alone knows."""
    page.goto(f"{programs.django.url}/admin/")
    page.get_by_label("Username").fill(ADMIN)
    page.get_by_label("Password").fill(PASSWORD)
    with page.expect_navigation():
        page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{programs.django.url}/admin/")


def auth_service(page: Page, programs: Programs) -> None:
    """Open the page on which the auth service describes itself, where logging in is described."""
    page.goto(f"{programs.auth.url}/docs#login")


PICTURES = {"sign-in": sign_in, "admin": admin, "auth-service": auth_service}


def main(folder: Path) -> int:
    """Take every picture; return the exit status."""
    chromium = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if chromium is None:
        print("no Chromium on this machine; run: tools/install_browser.sh", file=sys.stderr)
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    with running() as programs, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, show in PICTURES.items():
            page = browser.new_page(
                viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light"
            )
            show(page, programs)
            path = folder / f"{name}.png"
            page.screenshot(path=path)
            page.close()
            print(path)
        browser.close()
    return 0


@contextmanager
def running() -> Iterator[Programs]:
    """Run the three programs of the demo, on files that are gone afterwards."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        # What the examples say about their cookies; see their settings.
        os.environ["HTTPS"] = "0"
        programs = prepare(clone(), Path(folder) / "demo", free_ports(*[0] * len(PORTS)))
        for process in programs.all:
            stack.enter_context(process)
        for process in programs.all:
            stack.callback(process.ask_to_stop)
        for process in programs.all:
            process.wait_until_ready()
        yield programs


if __name__ == "__main__":
    default = Path(__file__).resolve().parents[1] / "docs" / "images"
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else default))
