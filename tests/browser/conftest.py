"""The page in Debian's Chromium, which cannot resolve any other host."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import soundfile
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

CHROMIUM = shutil.which("chromium")
RECORDING = Path("deployments/families/small/voices/clara.flac").resolve()
ARGUMENTS = [
    "--autoplay-policy=no-user-gesture-required",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
WAIT_MS = 60_000


@dataclass
class Visitor:
    """Opens the page. refused: whether the service may refuse a request, which Chromium reports as an error."""

    browser: Browser
    address: str
    refused: bool = False
    errors: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)
    pages: list[Page] = field(default_factory=list)

    def open(self, view: str = "speak", **context: Any) -> Page:
        """A page with the shipped voices. context: options of `Browser.new_context`."""
        options = {"locale": "en-GB", "viewport": {"width": 1280, "height": 900}} | context
        page = self.browser.new_context(**options).new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))
        page.goto(f"{self.address}/#{view}" if view != "speak" else self.address)
        page.wait_for_selector("html[data-started]")
        self.pages.append(page)
        if view == "speak":
            page.wait_for_selector("#voices li")
        return page

    def _heard(self, message: ConsoleMessage) -> None:
        excused = self.refused and message.text.startswith("Failed to load resource")
        if message.type in ("error", "warning") and not excused:
            self.errors.append(message.text)


@pytest.fixture(scope="module")  # as long as it runs, asyncio cannot: Playwright's own loop is in this thread
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    heard = tmp_path_factory.mktemp("microphone") / "clara.wav"  # a fake microphone reads nothing else
    soundfile.write(heard, *soundfile.read(RECORDING, dtype="int16"))
    arguments = [*ARGUMENTS, f"--use-file-for-fake-audio-capture={heard}"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def visitor(browser: Browser, served: str) -> Iterator[Visitor]:
    """Afterwards, no page may have reported an error or asked another host."""
    visitor = Visitor(browser, served)
    yield visitor
    for page in visitor.pages:
        page.context.close()
    assert not visitor.errors
    assert visitor.hosts == {served.removeprefix("http://")}
