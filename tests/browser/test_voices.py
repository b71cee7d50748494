"""Voices of the user on the page: uploaded, recorded, refused, deleted."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Page

from tests.browser.conftest import RECORDING, Visitor
from tests.browser.speaking import counted, speak

TEXT = "The boats leave at nine."


def add(page: Page, name: str, recording: Path) -> None:
    page.click("#add-voice")
    page.fill("#voice-name", name)
    page.set_input_files("#voice-dialog input[type=file]", recording)
    page.click("#voice-dialog button[type=submit]")


def test_an_uploaded_voice_speaks_and_can_be_deleted(visitor: Visitor) -> None:
    page = visitor.open()
    add(page, "Page Test", RECORDING)
    page.wait_for_selector("#voices li:has-text('Page Test')")
    assert not page.is_visible("#voice-dialog")
    with page.expect_response("**/v1/audio/speech") as answer:
        speak(page, TEXT)
    assert answer.value.headers["x-voice"] == "Page Test"
    page.on("dialog", lambda dialog: dialog.accept())
    page.click("button[aria-label='Delete Page Test']")
    page.wait_for_selector("#voices li:has-text('Page Test')", state="detached")
    page.reload()
    page.wait_for_selector("#voices li")
    assert page.query_selector("#voices li:has-text('Page Test')") is None


def test_the_warnings_of_a_recording_are_shown(visitor: Visitor, tmp_path: Path) -> None:
    samples, rate = soundfile.read(RECORDING, dtype="float32")
    soundfile.write(tmp_path / "loud.wav", np.clip(8 * samples, -0.6, 0.6), rate)
    page = visitor.open()
    add(page, "Loud Test", tmp_path / "loud.wav")
    assert "clipped" in page.inner_text("#voice-dialog .warnings")
    page.click("#voice-dialog button")
    page.on("dialog", lambda dialog: dialog.accept())
    page.click("button[aria-label='Delete Loud Test']")
    page.wait_for_selector("#voices li:has-text('Loud Test')", state="detached")
    page.check("input[value=recording]", force=True)
    page.set_input_files("#reference input[type=file]", tmp_path / "loud.wav")
    speak(page, TEXT)
    assert "clipped" in page.inner_text("#player-warnings")


@pytest.mark.parametrize(
    ("name", "recorded", "field"),
    [("", True, "name"), ("No Sound", False, "audio_sample"), ("alloy", True, "name")],
)
def test_a_refused_voice_says_why_at_the_field(
    visitor: Visitor, name: str, recorded: bool, field: str
) -> None:
    visitor.refused = True
    page = visitor.open()
    page.click("#add-voice")
    page.fill("#voice-name", name)
    if recorded:
        page.set_input_files("#voice-dialog input[type=file]", RECORDING)
    with page.expect_response("**/v1/audio/voices") as answer:
        page.click("#voice-dialog button[type=submit]")
    shown = page.wait_for_selector(f"#voice-dialog [data-field={field}] > .error:not([hidden])")
    assert shown
    assert shown.inner_text() == answer.value.json()["error"]["message"]


def test_silence_as_a_reference_is_refused_at_its_field(visitor: Visitor, tmp_path: Path) -> None:
    visitor.refused = True
    file = io.BytesIO()
    soundfile.write(file, np.zeros(48_000, np.float32), 24_000, format="WAV")
    page = visitor.open()
    page.check("input[value=recording]", force=True)
    page.set_input_files(
        "#reference input[type=file]",
        {"name": "silence.wav", "mimeType": "audio/wav", "buffer": file.getvalue()},
    )
    page.fill("#input", TEXT)
    page.click("#speak-now")
    shown = page.wait_for_selector("[data-field=reference_audio] > .error:not([hidden])")
    assert shown
    assert "reference_audio" in shown.inner_text()


def test_a_recording_by_the_microphone_is_the_voice(visitor: Visitor) -> None:
    page = visitor.open()
    page.check("input[value=recording]", force=True)
    page.click("#speak-now")
    assert "first" in page.inner_text("[data-field=reference_audio] > .error")
    page.click("#reference button:has-text('Record')")
    page.wait_for_selector("#reference output:has-text('0:04')")
    page.click("#reference button:has-text('Stop recording')")
    page.wait_for_selector("#reference .kept:not([hidden])")
    with page.expect_response("**/v1/audio/speech") as answer:
        speak(page, TEXT)
    assert answer.value.headers["x-voice"] == "reference_audio"
    assert counted(page, "received") > 10_000
    page.click("button[aria-label='Remove the recording']")
    assert not page.is_visible("#reference .kept")


def test_the_search_finds_voices_by_name_and_description(visitor: Visitor) -> None:
    page = visitor.open()
    whole = page.locator("#voices li:visible").count()
    page.fill("#voice-search", "british")
    assert page.locator("#voices li:visible").count() == 1
    page.fill("#voice-search", "")
    assert page.locator("#voices li:visible").count() == whole
