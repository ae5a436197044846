"""Somebody at a browser: opens pages, clicks, types, reads, takes pictures. Every step waits for what it needs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Locator, Page, expect, sync_playwright

from isomesh_dagster_tests.browser.site import Site

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_MILLISECONDS = 90_000  # until a page says what it should, on a busy machine
_RUN_MILLISECONDS = 600_000
_LOADING = "[class*=Skeleton_], [class*=Spinner_], [class*=LoadingBar_]"

_STILL = """Promise.all(document.getAnimations()
  .filter(one => one.effect.getComputedTiming().endTime !== Infinity).map(one => one.finished.catch(() => 0)))"""


def browser() -> str | None:
    """The Chromium on PATH."""
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


class Person:
    """Looks at one site; pictures go to the folder `pictures`."""

    def __init__(self, page: Page, site: Site, pictures: Path) -> None:
        self._page = page
        self._site = site
        self._pictures = pictures

    # -- reading

    def open(self, path: str) -> None:
        """Go to a page."""
        self._page.goto(f"{self._site.url}{path}")

    def text(self, text: str | re.Pattern[str]) -> Locator:
        """What can be seen and has exactly this text."""
        return self._page.get_by_text(text, exact=True).filter(visible=True).first

    def dialog(self) -> Locator:
        """The dialog in front."""
        return self._page.get_by_role("dialog").filter(visible=True).last

    def sees(self, *texts: str) -> None:
        """The page says each of the texts, however they are broken into lines. Raises AssertionError otherwise."""
        for text in texts:
            words = re.compile(r"\s*".join(map(re.escape, text.split())))
            try:
                expect(self._page.locator("body")).to_contain_text(words, use_inner_text=True)
            except AssertionError:  # whose message is the whole page, many times
                raise AssertionError(f"{self._page.url} does not say {text!r}") from None

    def picture(self, name: str, of: Locator | None = None) -> None:
        """Keep what is on the screen, or one thing on it, once nothing is being loaded."""
        expect(self._page.locator(_LOADING).filter(visible=True)).to_have_count(0)
        self._page.mouse.move(0, 0)  # over nothing that would light up
        self._page.evaluate(_STILL)
        (of or self._page).screenshot(path=self._pictures / f"{name}.png", animations="disabled")

    # -- doing

    def press(self, name: str) -> None:
        """Press the button with this text."""
        pattern = re.compile(rf"^\s*{re.escape(name)}\s*$")
        self._page.locator("button, a").filter(has_text=pattern, visible=True).last.click()

    def click(self, text: str) -> None:
        """Click on a text."""
        self.text(text).click()

    def write(self, text: str) -> None:
        """Replace what is in the editor, or in the field for searching."""
        editor = self._page.locator(".CodeMirror").filter(visible=True).last
        editor.click()
        self._page.keyboard.press("ControlOrMeta+A")
        self._page.keyboard.insert_text(text)

    def key(self, key: str) -> None:
        """Press a key."""
        self._page.keyboard.press(key)

    def reload_definitions(self) -> None:
        """Let Dagster read the project's files again."""
        self.open("/asset-groups")
        button = self._page.locator("button", has_text="Reload definitions")
        button.click()
        expect(button).to_be_disabled()
        expect(button).to_be_enabled()

    def launch(self, job: str, config: str) -> None:
        """Start a job in its launchpad."""
        self.open(f"/locations/definitions.py/jobs/{job}/playground")
        self.sees("No errors")
        self.write(config)
        self.press("Launch Run")
        self._page.wait_for_url("**/runs/*")

    def follow(self) -> None:
        """From the message that a run was launched to its page."""
        self.sees("Launched run")
        self.press("View")
        self._page.wait_for_url("**/runs/*")

    def wait_for_run(self, status: str = "Success") -> None:
        """The run on the page ends, and so."""
        ended = self.text(re.compile(r"^(Success|Failure|Canceled)$"))
        expect(ended).to_be_visible(timeout=_RUN_MILLISECONDS)
        if (found := ended.inner_text()) != status:
            raise AssertionError(f"{self._page.url} ended with {found}, not {status}")


@contextmanager
def sit_down(chromium: str, site: Site, pictures: Path) -> Iterator[Person]:
    """Somebody at a window of a fresh browser."""
    expect.set_options(timeout=_MILLISECONDS)
    with sync_playwright() as playwright:
        # the pages are our own, on this host: without the sandbox it starts as root and in containers, too
        window = playwright.chromium.launch(executable_path=chromium, args=_FLAGS, chromium_sandbox=False)
        page = window.new_page(viewport={"width": 1400, "height": 850}, timezone_id="UTC", locale="en-US")
        page.set_default_timeout(_MILLISECONDS)
        try:
            yield Person(page, site, pictures)
        except BaseException:
            page.screenshot(path=pictures / "stuck.png")
            raise
        finally:
            window.close()
