"""Takes the pictures of docs/page.md: python -m tests.browser.pictures http://127.0.0.1:8000

The service must have no jobs.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from tests.browser.conftest import ARGUMENTS, CHROMIUM

IMAGES = Path("docs/images")
COLOURS = 128  # of a picture, which make it small
SENTENCES = Path("tests/data/sentences.txt").read_text().splitlines()
READ = "Dr. Green paid $42.50 on 3 May; then [pause:500ms] she left."
TITLES = ("Contents", "The Ferry", "The Lamps", "A Letter from the North", "The Night")


def book() -> str:
    """Markdown with a few chapters of sentences."""
    share = len(SENTENCES) // len(TITLES)
    chapters = [SENTENCES[n * share : (n + 1) * share] for n in range(len(TITLES))]
    parts = [f"# {title}\n\n" + "\n\n".join(lines) for title, lines in zip(TITLES, chapters, strict=True)]
    return "\n\n".join(parts)


def take(page: Page, name: str) -> None:
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB").quantize(COLOURS)
    picture.save(IMAGES / f"page_{name}.png", optimize=True)


def main(address: str, folder: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_context(locale="en-GB", viewport={"width": 1280, "height": 860}).new_page()
        page.goto(address)
        page.wait_for_selector("#voices li")
        page.check("input[name=voice] >> nth=2")
        page.fill("#input", READ)
        page.click("#reading summary")
        page.wait_for_selector("#reading-list:has-text('doctor')")
        page.locator("#reading").scroll_into_view_if_needed()
        take(page, "reading")
        page.click("#reading summary")
        page.fill("#input", " ".join(SENTENCES[:5]))
        page.click("#speak-now")
        page.wait_for_selector("#player[data-arriving=false]", timeout=120_000)
        page.wait_for_timeout(2500)  # some of it has been played
        take(page, "speak")
        page.click("#player-play")
        file = folder / "The Old Harbour.md"
        file.write_text(book())
        page.click(".tabs a[href='#book']")
        page.set_input_files("#book-form input[type=file]", file)
        page.wait_for_selector(".chapters li")
        page.click("#language")  # leaves the focus outside the form
        page.click("#language")
        take(page, "book")
        page.click("#book-form button[type=submit]")
        page.wait_for_selector(".job .figures:has-text('left')", timeout=120_000)
        page.wait_for_timeout(5000)
        take(page, "jobs")
        page.click(".tabs a[href='#system']")
        page.wait_for_selector("#system-body table")
        take(page, "system")
        browser.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(sys.argv[1], Path(folder))
