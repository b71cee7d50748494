"""The view "Speak": the sound arrives, plays, and can be kept."""

from __future__ import annotations

import subprocess
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile

from tests.browser.conftest import Visitor
from tests.browser.speaking import RATE, arrived, counted, downloaded, from_service, speak

TEXT = "The boats leave at nine."
LONG = " ".join(Path("tests/data/sentences.txt").read_text().splitlines()[:6])

PLAYS_WHILE_IT_ARRIVES = """() => new Promise((resolve, reject) => {
    const { dataset } = document.getElementById("player");
    const observer = new MutationObserver(() => {
        if (Number(dataset.played) > 0) resolve(dataset.arriving === "true");
    });
    observer.observe(document.getElementById("player"), { attributes: true });
})"""


def test_every_sample_of_the_service_is_played(visitor: Visitor, served: str, tmp_path: Path) -> None:
    page = visitor.open()
    page.check("input[name=voice] >> nth=1")
    speak(page, TEXT)
    expected = from_service(served, TEXT, page.input_value("input[name=voice]:checked"), seed=7)
    assert counted(page, "received") == len(expected)
    page.wait_for_selector("#player-play[data-icon=play]")  # the audio thread has come to the end
    assert counted(page, "played") == len(expected)
    samples, rate = soundfile.read(downloaded(page, tmp_path), dtype="int16")
    assert rate == RATE
    assert np.array_equal(samples, expected)


def test_the_waveform_is_drawn(visitor: Visitor) -> None:
    page = visitor.open()
    speak(page, TEXT)
    page.wait_for_selector("#player-play[data-icon=play]")
    inked = page.eval_on_selector(
        "#waveform",
        """canvas => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data
            .filter((value, index) => index % 4 === 3 && value > 0).length""",
    )
    assert inked > 2000


def test_a_service_that_went_away_is_found_again(visitor: Visitor) -> None:
    visitor.refused = True
    page = visitor.open()
    page.context.set_offline(True)
    page.fill("#input", TEXT)
    page.click("#speak-now")
    page.wait_for_selector("#speak-error:has-text('cannot be reached')")
    page.click(".tabs a[href='#book']")
    page.click(".tabs a[href='#speak']")
    page.wait_for_selector("#banner:not([hidden])")
    page.context.set_offline(False)
    page.wait_for_selector("#banner", state="hidden")
    speak(page, TEXT)


def test_it_sounds_before_all_of_it_has_arrived(visitor: Visitor) -> None:
    page = visitor.open()
    page.fill("#input", LONG)
    seen = page.evaluate_handle(f"() => ({{ promise: ({PLAYS_WHILE_IT_ARRIVES})() }})")
    page.click("#speak-now")
    assert seen.evaluate("({ promise }) => promise")


def test_stop_ends_the_request_and_keeps_what_arrived(visitor: Visitor, served: str) -> None:
    page = visitor.open()
    page.fill("#input", LONG)
    page.fill("#seed", "7")
    page.click("#speak-now")
    page.wait_for_selector("#player[data-received]:not([data-received='0'])")
    page.click("#player-stop")
    arrived(page)
    received = counted(page, "received")
    assert received < len(from_service(served, LONG, page.input_value("input[name=voice]:checked"), seed=7))
    with httpx.Client(base_url=served) as client:
        while client.get("/v1/status").json()["ingress"]["listening"]:
            page.wait_for_timeout(100)
    page.click("#player-play")
    page.wait_for_selector("#player-play[data-icon=play]")
    assert counted(page, "played") == received


@pytest.mark.parametrize("format", ["mp3", "opus", "aac", "flac"])
def test_a_download_in_another_format_is_the_same_speech(
    visitor: Visitor, tmp_path: Path, format: str
) -> None:
    import av

    page = visitor.open()
    speak(page, TEXT, seed=None)
    page.select_option("#format", format)
    with av.open(str(downloaded(page, tmp_path))) as file:
        samples = sum(frame.samples * RATE / frame.sample_rate for frame in file.decode(audio=0))
    assert abs(samples - counted(page, "received")) < 0.1 * RATE


def test_the_curl_command_makes_the_same_speech(visitor: Visitor, tmp_path: Path) -> None:
    page = visitor.open()
    speak(page, "It's nine o'clock; the \"ferry\" leaves.")
    page.click("#request summary")
    command = page.inner_text("#curl")
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True, capture_output=True)
    samples, _ = soundfile.read(tmp_path / "speech.wav", dtype="int16")
    assert len(samples) == counted(page, "received")


def test_what_will_be_said_is_shown_before_it_is_spoken(visitor: Visitor, served: str) -> None:
    text = "Dr. Green paid $42.50; then [pause:500ms] she left."
    page = visitor.open()
    page.fill("#input", text)
    page.click("#reading summary")
    found = httpx.post(f"{served}/v1/audio/read", json={"input": text}).json()["data"]
    page.wait_for_selector(f"#reading-list li:nth-child({len(found)})")
    for segment, shown in zip(found, page.locator("#reading-list li").all(), strict=True):
        assert [segment[name] in shown.inner_text() for name in ("text", "spoken", "phones")] == [True] * 3
        assert f"{segment['pause_after']:g} s" in shown.inner_text() or not segment["pause_after"]
    assert page.inner_text("#reading-note") == f"{len(found)} segments"
    assert not page.is_visible("#player")
    page.fill("#input", "Nine boats.")
    page.wait_for_selector("#reading-list:has-text('nine boats')")
    page.fill("#input", LONG * 20)
    page.wait_for_selector("#reading-note:has-text('first 5,000 characters')")
    page.fill("#input", "...")
    page.wait_for_selector("#reading-note:has-text('nothing to speak')")
    visitor.refused = True
    page.fill("#input", "Добрый день")
    page.wait_for_selector("#reading-note.error:has-text('Cyrillic')")
    assert page.locator("#reading-list li").count() == 0


def test_the_seed_can_be_kept(visitor: Visitor) -> None:
    page = visitor.open()
    speak(page, TEXT, seed=None)
    first = counted(page, "received")
    page.click("#keep-seed")
    assert page.input_value("#seed") in page.inner_text("#player-about")
    speak(page, TEXT, seed=int(page.input_value("#seed")))
    assert counted(page, "received") == first


def test_every_control_of_the_model_is_there_and_counts(visitor: Visitor, served: str) -> None:
    page = visitor.open()
    cards = httpx.get(f"{served}/v1/models").json()["data"]
    controls = next(card["controls"] for card in cards if card["default"])
    page.click("#sampling summary")
    for name, schema in controls.items():
        assert page.input_value(f"[data-control={name}]") == f"{schema['default']:g}"
    with page.expect_request("**/v1/audio/speech") as sent:
        page.fill("[data-control=temperature]", "0")
        page.fill("[data-control=top_k]", "9")
        speak(page, TEXT)
    body = sent.value.post_data_json
    assert (body["temperature"], body["top_k"], body["seed"]) == (0, 9, 7)
    assert "top_p" not in body
    page.click("#reset-controls")
    assert page.input_value("[data-control=top_k]") == str(controls["top_k"]["default"])


@pytest.mark.parametrize(
    ("field", "value"),
    [("seed", "many"), ("seed", "-1"), ("temperature", "3"), ("top_k", "a few"), ("input", " ")],
)
def test_an_error_is_shown_at_its_field_in_the_words_of_the_service(
    visitor: Visitor, field: str, value: str
) -> None:
    visitor.refused = True
    page = visitor.open()
    page.fill("#input", TEXT)
    page.click("#sampling summary")
    page.fill(f"[data-field={field}] :is(input[type=text], textarea)", value)
    with page.expect_response("**/v1/audio/speech") as answer:
        page.click("#speak-now")
    shown = page.wait_for_selector(f"[data-field={field}] .error:not([hidden])")
    assert shown
    assert shown.inner_text() == answer.value.json()["error"]["message"]
    assert page.get_attribute(":focus", "aria-describedby") == shown.get_attribute("id")
    page.fill("#input", TEXT)
    page.click("#sampling #reset-controls")
    speak(page, TEXT)
    assert not page.is_visible(".error")


def test_a_seed_of_nineteen_digits_is_sent_exactly(visitor: Visitor) -> None:
    page = visitor.open()
    speak(page, "Nine.", seed=2**63 - 1)
    assert str(2**63 - 1) in page.inner_text("#player-about").replace(",", "")


def test_a_voice_can_be_heard_before_it_is_chosen(visitor: Visitor) -> None:
    page = visitor.open()
    with page.expect_response("**/v1/audio/speech") as answer:
        page.click("button[aria-label='Hear clara']")
    assert answer.value.headers["x-voice"] == "clara"
    page.click("button[aria-label='Stop clara']")
    page.wait_for_selector("button[aria-label='Hear clara']")
    assert not page.is_visible("#player")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "gb18030"])
def test_a_text_file_opens_in_its_encoding(visitor: Visitor, tmp_path: Path, encoding: str) -> None:
    page = visitor.open()
    file = tmp_path / "text.txt"
    file.write_text("港口的灯亮了。", encoding)
    page.set_input_files("#text-file", file)
    page.wait_for_selector("#count:has-text('7 characters')")
    assert page.input_value("#input") == "港口的灯亮了。"


def test_a_draft_survives_a_reload(visitor: Visitor) -> None:
    page = visitor.open()
    page.fill("#input", TEXT)
    page.reload()
    page.wait_for_selector("#voices li")
    assert page.input_value("#input") == TEXT


def test_without_a_worklet_the_sound_plays_when_it_is_complete(visitor: Visitor) -> None:
    """As in a browser that reaches the service by http on another machine."""
    page = visitor.open()
    page.evaluate(
        "() => { delete AudioContext.prototype.audioWorklet; delete BaseAudioContext.prototype.audioWorklet; }"
    )
    speak(page, TEXT)
    page.wait_for_selector("#player-play[data-icon=play]")
    assert abs(counted(page, "played") - counted(page, "received")) < 0.1 * RATE
