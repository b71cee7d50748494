"""Books and long texts on the page: submitted, followed, heard, cancelled, deleted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import soundfile
from playwright.sync_api import Page, Route

from tests.browser.conftest import Visitor
from tests.browser.test_access import check

STORY = """# The Ferry

The boats leave at nine. The first one brings the mail.

# The Lamps

The lamps along the harbour come on.

# The Night

Nobody is awake, and the harbour sleeps.
"""
LONG = "The boats leave at nine, and the first one back brings the mail. " * 90


HEARD = """audio => new Promise((resolve) => {
    audio.addEventListener("timeupdate", () => audio.currentTime > 0.3 && resolve(audio.duration));
})"""


@pytest.fixture
def story(tmp_path: Path) -> Path:
    file = tmp_path / "ferry.md"
    file.write_text(STORY)
    return file


@pytest.fixture(autouse=True)
def no_jobs(served: str) -> Iterator[None]:
    """Every test begins and ends without jobs."""
    with httpx.Client(base_url=served, timeout=60) as client:
        delete_all(client)
        yield
        delete_all(client)


def delete_all(client: httpx.Client) -> None:
    for job in client.get("/v1/jobs").json()["data"]:
        assert client.delete(f"/v1/jobs/{job['id']}").status_code in (200, 404)


def submit(page: Page, story: Path, format: str = "mp3") -> None:
    """Uploads the book, waits for its chapters, leaves out the second, and starts."""
    page.set_input_files("#book-form input[type=file]", story)
    page.wait_for_selector(".chapters li")
    page.uncheck(".chapters li:nth-child(2) input")
    page.select_option("#book-format", format)
    page.click("#book-form button[type=submit]")
    page.wait_for_selector(".job")


def state(page: Page) -> str:
    return page.get_attribute(".job .state", "data-state") or ""


def test_a_book_is_made_and_can_be_heard_and_kept(
    visitor: Visitor, served: str, story: Path, tmp_path: Path
) -> None:
    page = visitor.open("book")
    submit(page, story, "wav")
    page.wait_for_selector(".job .state[data-state=done]")
    assert page.is_visible(".job .details")
    (job,) = httpx.get(f"{served}/v1/jobs").json()["data"]
    assert page.inner_text(".job h2") == job["title"]
    log = [line["message"] for line in httpx.get(f"{served}/v1/jobs/{job['id']}/log").json()["data"]]
    page.wait_for_selector(f".job pre:has-text('{log[-1]}')")
    shown = page.inner_text(".job pre")
    assert all(line in shown for line in log)
    assert page.locator(".details ul a").count() == len(job["outputs"])
    with page.expect_download() as found:
        page.click(".job a.button")
    found.value.save_as(tmp_path / "book.wav")
    seconds = soundfile.info(tmp_path / "book.wav").duration
    assert seconds > 2
    page.click(".job button:has-text('Listen')")
    page.wait_for_selector(".job audio")
    heard = page.eval_on_selector(".job audio", HEARD)
    assert abs(heard - seconds) < 0.02
    check(page)


def test_only_ticked_chapters_are_spoken(visitor: Visitor, served: str, story: Path) -> None:
    page = visitor.open("book")
    page.set_input_files("#book-form input[type=file]", story)
    page.wait_for_selector(".chapters li")
    assert "3 of 3 chapters" in page.inner_text(".chapters >> xpath=..")
    page.click("#book-form button:has-text('None')")
    page.click("#book-form button[type=submit]")
    assert page.is_visible("[data-field=chapters] > .error")
    page.check(".chapters li:nth-child(3) input")
    check(page)
    page.click("#book-form button[type=submit]")
    page.wait_for_selector(".job .state[data-state=done]")
    (job,) = httpx.get(f"{served}/v1/jobs").json()["data"]
    segments = httpx.get(f"{served}/v1/jobs/{job['id']}/segments").json()["data"]
    spoken = " ".join(segment["text"] for segment in segments)
    assert "Nobody" in spoken
    assert "boats" not in spoken


def test_a_book_waits_for_the_voices(visitor: Visitor, story: Path) -> None:
    page = visitor.open()
    held: list[Route] = []
    page.route("**/v1/audio/voices", lambda route: held.append(route))
    page.goto("about:blank")
    page.goto(f"{visitor.address}/#book")
    page.wait_for_selector("html[data-started]")
    with page.expect_response("**/v1/jobs?dry_run=true") as answer:
        page.set_input_files("#book-form input[type=file]", story)
    answer.value.finished()
    while len(held) < 2:  # of opening the view, and of the form
        page.wait_for_timeout(50)
    assert not page.is_visible(".chapters")
    for route in held:
        route.continue_()
    page.wait_for_selector(".chapters li")
    assert page.input_value("#book-voice")


def test_the_form_survives_a_switch_of_the_language(visitor: Visitor, story: Path) -> None:
    page = visitor.open("book")
    page.set_input_files("#book-form input[type=file]", story)
    page.wait_for_selector(".chapters li")
    page.uncheck(".chapters li:nth-child(2) input")
    page.fill("#book-title", "Another Title")
    page.click("#language")
    assert page.input_value("#book-title") == "Another Title"
    assert not page.is_checked(".chapters li:nth-child(2) input")
    assert "已选 2 章" in page.inner_text("[data-field=chapters]")


def test_a_reload_in_the_middle_loses_nothing(visitor: Visitor, story: Path) -> None:
    page = visitor.open("book")
    submit(page, story)
    address = page.url
    page.reload()
    assert page.url == address
    page.wait_for_selector(".job .details:not([hidden])")
    page.wait_for_selector(".job .state[data-state=done]")


def test_a_long_text_becomes_a_job_which_can_be_cancelled_and_deleted(visitor: Visitor, served: str) -> None:
    page = visitor.open()
    page.fill("#input", LONG)
    assert "5,000" in page.inner_text("#long-note")
    assert page.inner_text("#speak-now") == "Create a job"
    page.click("#speak-now")
    page.wait_for_selector(".job .details:not([hidden])")
    assert page.url.split("#")[1].startswith("jobs/")
    page.wait_for_selector(".job progress:not([hidden])")
    check(page)
    page.on("dialog", lambda dialog: dialog.accept())
    page.click(".job button:has-text('Cancel')")
    page.wait_for_selector(".job .state[data-state=cancelled]")
    page.click(".job button:has-text('Delete')")
    page.wait_for_selector(".job", state="detached")
    assert httpx.get(f"{served}/v1/jobs").json()["data"] == []
    assert page.is_visible("#jobs-empty")


def test_finished_jobs_are_removed_at_once(visitor: Visitor, story: Path) -> None:
    page = visitor.open("book")
    submit(page, story)
    page.wait_for_selector(".job .state[data-state=done]")
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.click("#clean-jobs")
    assert page.is_visible(".job")
    page.on("dialog", lambda dialog: dialog.accept())
    page.click("#clean-jobs")
    page.wait_for_selector(".job", state="detached")
    assert not page.is_visible("#clean-jobs")


def test_an_error_in_the_form_is_shown_at_its_field(visitor: Visitor, story: Path) -> None:
    visitor.refused = True
    page = visitor.open("book")
    page.set_input_files("#book-form input[type=file]", story)
    page.wait_for_selector(".chapters li")
    page.click("#book-more summary")
    page.fill("#book-speed", "9")
    with page.expect_response("**/v1/jobs") as answer:
        page.click("#book-form button[type=submit]")
    shown = page.wait_for_selector("#book-form [data-field=speed] > .error:not([hidden])")
    assert shown
    assert shown.inner_text() == answer.value.json()["error"]["message"]


def test_a_file_that_is_no_book_is_refused(visitor: Visitor, tmp_path: Path) -> None:
    visitor.refused = True
    (tmp_path / "broken.epub").write_bytes(b"PK\x03\x04 nothing")
    page = visitor.open("book")
    page.set_input_files("#book-form input[type=file]", tmp_path / "broken.epub")
    shown = page.wait_for_selector("[data-field=file] > .error:not([hidden])")
    assert shown
    assert "file" in shown.inner_text()
    assert not page.is_visible(".chapters")


def test_an_epub_opened_in_speak_goes_to_book(visitor: Visitor, tmp_path: Path) -> None:
    visitor.refused = True
    (tmp_path / "broken.epub").write_bytes(b"PK\x03\x04 nothing")
    page = visitor.open()
    page.set_input_files("#text-file", tmp_path / "broken.epub")
    page.wait_for_selector("#book:not([hidden]) .drop.filled")
