"""Books and long texts on the page: submitted, followed, heard, cancelled, deleted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import soundfile
from PIL import Image
from playwright.sync_api import Page, Route

from serve_app.books.cover import MOST_BYTES
from tests.browser.conftest import Visitor
from tests.browser.test_access import check
from tests.serve_app.books.atom_reader import Mp4

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
    page.set_input_files("#book-form > .drop input[type=file]", story)
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


def test_a_sentence_is_said_again_and_the_file_follows(visitor: Visitor, served: str, story: Path) -> None:
    page = visitor.open("book")
    submit(page, story, "wav")
    page.wait_for_selector(".job .state[data-state=done]")
    (job,) = httpx.get(f"{served}/v1/jobs").json()["data"]
    address = f"{served}/v1/jobs/{job['id']}"
    before, tag = (httpx.get(f"{address}/audio"), httpx.get(f"{address}/segments/0/audio").headers["etag"])
    page.click(".job details > summary")
    listed = httpx.get(f"{address}/segments").json()["data"]
    page.wait_for_selector(f".sentences > li:nth-child({len(listed)})")
    for segment in listed:
        shown = page.inner_text(f"[data-segment='{segment['index']}']")
        assert segment["text"] in shown and segment["voice"] in shown
    row = f"[data-segment='{next(one['index'] for one in listed if 'mail' in one['text'])}']"
    page.click(f"{row} [data-icon=play]")
    page.wait_for_selector(f"{row} [data-icon=stop]")
    page.wait_for_selector(f"{row} [data-icon=play]")  # it has ended
    page.focus(f"{row} [data-icon=again]")
    page.keyboard.press("Enter")
    assert page.input_value(f"{row} textarea:focus") in [one["text"] for one in listed]
    check(page)
    page.keyboard.press("Escape")
    assert page.get_attribute(":focus", "data-icon") == "again"
    page.keyboard.press("Enter")
    page.fill(f"{row} textarea", "The second one brings a letter.")
    page.select_option(f"{row} select", "ben")
    page.click(f"{row} button[type=submit]")
    page.wait_for_selector(f"{row}:has-text('letter'):has-text('ben')")
    page.wait_for_selector(".job .state[data-state=done]")
    log = [line["message"] for line in httpx.get(f"{address}/log").json()["data"]]
    assert log.count("Writing the files.") == 2
    after = httpx.get(f"{address}/audio")
    assert after.content != before.content
    assert httpx.get(f"{address}/segments/0/audio").headers["etag"] == tag, "the others are not spoken again"
    page.click(f"{row} [data-icon=again]")
    with page.expect_request("**/segments/*") as sent:
        page.click(f"{row} button[type=submit]")
    assert set(sent.value.post_data_json or {}) == {"seed"}, "without a change, another seed"
    page.wait_for_selector(".job .state[data-state=done]")


def test_a_sentence_that_cannot_be_said_is_refused_at_its_field(visitor: Visitor, story: Path) -> None:
    visitor.refused = True
    page = visitor.open("book")
    submit(page, story)
    page.wait_for_selector(".job .state[data-state=done]")
    page.click(".job details > summary")
    page.click(".job [data-segment='0'] [data-icon=again]")
    for field, value in (("text", "Добрый день"), ("seed", "many")):
        page.fill(f".again [data-field={field}] :is(textarea, input)", value)
        with page.expect_response("**/segments/0") as answer:
            page.click(".again button[type=submit]")
        shown = page.wait_for_selector(f".again [data-field={field}] > .error:not([hidden])")
        assert shown
        assert shown.inner_text() == answer.value.json()["error"]["message"]
        page.fill(f".again [data-field={field}] :is(textarea, input)", "")
        page.fill(".again textarea", "Good morning.")


def test_only_sentences_with_problems_or_of_a_chapter_are_listed(visitor: Visitor, story: Path) -> None:
    page = visitor.open("book")
    submit(page, story)
    page.wait_for_selector(".job .state[data-state=done]")
    page.click(".job details > summary")
    page.wait_for_selector(".job .sentences li[data-segment]")
    everything = page.locator(".job .sentences li[data-segment]").count()
    page.select_option(".job .filters select", label="The Night")
    page.wait_for_function(f"() => document.querySelectorAll('.job [data-segment]').length < {everything}")
    assert "harbour sleeps" in page.inner_text(".job .sentences")
    page.check(".job .filters input")
    page.wait_for_selector(".job .sentences li:has-text('There are none.')")


def test_an_own_cover_replaces_that_of_the_book(
    visitor: Visitor, served: str, story: Path, tmp_path: Path
) -> None:
    cover = tmp_path / "cover.png"
    Image.new("RGB", (60, 80), "teal").save(cover)
    (tmp_path / "large.png").write_bytes(cover.read_bytes() + bytes(MOST_BYTES))
    (tmp_path / "cover.gif").write_bytes(b"GIF89a")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    page = visitor.open("book")
    page.set_input_files("#book-form > .drop input[type=file]", story)
    page.wait_for_selector("[data-field=cover]:has-text('at most 10 MiB')")
    for name in ("large.png", "cover.gif", "broken.png"):
        page.set_input_files("[data-field=cover] input", tmp_path / name)
        page.wait_for_selector("[data-field=cover] > .error:not([hidden])")
        assert not page.is_visible("img.cover")
        page.set_input_files("[data-field=cover] input", cover)
        page.wait_for_selector("img.cover")
        assert not page.is_visible("[data-field=cover] > .error")
    assert page.eval_on_selector("img.cover", "image => image.decode().then(() => image.naturalHeight)") == 80
    page.click("#language")
    assert page.is_visible("img.cover")
    check(page)
    page.click("#book-form button[type=submit]")
    page.wait_for_selector(".job .state[data-state=done]")
    (job,) = httpx.get(f"{served}/v1/jobs").json()["data"]
    (tmp_path / "book.m4b").write_bytes(httpx.get(f"{served}/v1/jobs/{job['id']}/audio").content)
    assert Mp4(tmp_path / "book.m4b").value("covr") == cover.read_bytes()


def test_only_ticked_chapters_are_spoken(visitor: Visitor, served: str, story: Path) -> None:
    page = visitor.open("book")
    page.set_input_files("#book-form > .drop input[type=file]", story)
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
        page.set_input_files("#book-form > .drop input[type=file]", story)
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
    page.set_input_files("#book-form > .drop input[type=file]", story)
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
    page.set_input_files("#book-form > .drop input[type=file]", story)
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
    page.set_input_files("#book-form > .drop input[type=file]", tmp_path / "broken.epub")
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
