"""Every format in Chromium's audio element and in ffmpeg: the right duration, and no click where segments join."""

from __future__ import annotations

import base64
import io
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from playwright.sync_api import Page

from tests.browser.conftest import Visitor
from tests.browser.speaking import RATE, from_service
from tests.browser.test_jobs import delete_all
from tests.serve_app.books.conftest import command

TEXT = (
    "The boats leave at nine. Nobody is late; the mail comes first!\n\n"
    "Is the harbour old? It is. The lamps come on, one after the other."
)
JOBS = ("m4b", "mp3", "opus", "flac", "wav")
SPEECH = ("mp3", "opus", "flac", "wav")  # not aac: nothing in raw AAC states its length or its delay
CLOSE_S = 0.02
MP3_FRAME_S = 0.036  # at 16 kHz; shorter at higher rates
WINDOW = round(0.006 * RATE)  # samples around a join
VOICED = 0.02  # the peak of a window in which somebody speaks
STEP = 0.1  # a click that the measure must find

LOADED = """source => new Promise((resolve, reject) => {
    const audio = new Audio();
    audio.onerror = () => reject(new Error(audio.error.message));
    audio.onloadedmetadata = () => resolve(audio.duration);
    audio.src = source;
})"""
ADDRESS = """([data, type]) => {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    return URL.createObjectURL(new Blob([bytes], { type }));
}"""
DECODED = """async ([data, rate]) => {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    const sound = await new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes.buffer);
    const found = new Uint8Array(sound.getChannelData(0).buffer);
    let text = "";
    for (let at = 0; at < found.length; at += 0x8000) text += String.fromCharCode(...found.subarray(at, at + 0x8000));
    return btoa(text);
}"""


@dataclass(frozen=True)
class Made:
    """The jobs by format; the seconds of their sound, and where its segments begin and end, in samples at RATE."""

    ids: dict[str, str]
    seconds: float
    joins: list[int]


def ended(client: httpx.Client, job_id: str) -> dict[str, Any]:
    with client.stream("GET", f"/v1/jobs/{job_id}/events") as events:
        for _ in events.iter_lines():
            pass
    job = client.get(f"/v1/jobs/{job_id}").json()
    assert job["state"] == "done", job
    return job


@pytest.fixture(scope="module")
def made(served: str) -> Iterator[Made]:
    """One text as a job of each format. The sounds are shared, so the text is spoken once."""
    with httpx.Client(base_url=served, timeout=120) as client:
        delete_all(client)
        ids = {}
        for format in JOBS:
            body = {"input": TEXT, "voice": "clara", "seed": 3, "format": format}
            ids[format] = client.post("/v1/jobs", json=body).json()["id"]
            ended(client, ids[format])
        wav = client.get(f"/v1/jobs/{ids['wav']}/audio").content
        captions = next(
            o for o in client.get(f"/v1/jobs/{ids['wav']}").json()["outputs"] if o["format"] == "vtt"
        )
        lines = client.get(captions["url"]).text.splitlines()
        times = [time for line in lines if " --> " in line for time in line.split(" --> ")]
        joins = [round(seconds(time) * RATE) for time in times]
        assert len(joins) >= 10
        yield Made(ids, soundfile.info(io.BytesIO(wav)).duration, joins)
        delete_all(client)


def seconds(clock: str) -> float:
    *minutes, rest = clock.split(":")
    return sum(60.0**power * float(part) for power, part in enumerate((rest, *reversed(minutes))))


def by_ffmpeg(data: bytes) -> np.ndarray:
    """float32 (N,) at RATE."""
    options = ["-v", "error", "-i", "-", "-f", "f32le", "-ac", "1", "-ar", str(RATE), "-"]
    done = subprocess.run([command("ffmpeg"), *options], input=data, capture_output=True, check=True)
    return np.frombuffer(done.stdout, "<f4")


def check_stated(file: Path, true: float) -> None:
    """What ffprobe finds in the file. For MP3 it counts the last frame's padding, which decoders skip."""
    options = ["-v", "error", "-show_entries", "format=format_name,start_time,duration", "-of", "json"]
    done = subprocess.run([command("ffprobe"), *options, str(file)], capture_output=True, check=True)
    told = json.loads(done.stdout)["format"]
    found = float(told["duration"]) - max(0.0, float(told.get("start_time", 0)))
    padding = MP3_FRAME_S if told["format_name"] == "mp3" else 0.0
    assert -CLOSE_S <= found - true <= CLOSE_S + padding


def in_chromium(page: Page, data: bytes) -> np.ndarray:
    """float32 (N,) at RATE, as Chromium decodes a file."""
    return np.frombuffer(base64.b64decode(page.evaluate(DECODED, [text_of(data), RATE])), "<f4")


def text_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def steps(sound: np.ndarray, joins: list[int]) -> tuple[float, float]:
    """The largest difference of two samples at any join, and the median of the largest in each voiced window."""
    difference = np.abs(np.diff(sound))
    at = max(float(difference[max(0, join - WINDOW) : join + WINDOW].max(initial=0.0)) for join in joins)
    whole = len(difference) // (2 * WINDOW) * 2 * WINDOW
    peaks = np.abs(sound[:whole]).reshape(-1, 2 * WINDOW).max(1)
    largest = difference[:whole].reshape(-1, 2 * WINDOW).max(1)
    return at, float(np.median(largest[peaks > VOICED]))


@pytest.mark.parametrize("format", JOBS)
def test_a_job_has_its_duration_and_no_click(
    visitor: Visitor, served: str, made: Made, tmp_path: Path, format: str
) -> None:
    page, true = visitor.open("jobs"), made.seconds
    source = f"{served}/v1/jobs/{made.ids[format]}/audio"
    assert page.evaluate(LOADED, source) == pytest.approx(true, abs=CLOSE_S)
    data = httpx.get(source).content
    (tmp_path / f"a.{format}").write_bytes(data)
    check_stated(tmp_path / f"a.{format}", true)
    for sound in (in_chromium(page, data), by_ffmpeg(data)):
        assert len(sound) / RATE == pytest.approx(true, abs=CLOSE_S)
        at, elsewhere = steps(sound, made.joins)
        assert at < elsewhere, f"{at:.4f} at a join, {elsewhere:.4f} elsewhere"
        clicking = np.array(sound)
        clicking[made.joins[5] :] += STEP
        assert steps(clicking, made.joins)[0] > elsewhere


@pytest.mark.parametrize("format", SPEECH)
def test_a_whole_response_has_its_duration(
    visitor: Visitor, served: str, tmp_path: Path, format: str
) -> None:
    page, body = visitor.open(), {"model": "tts-1", "input": TEXT, "voice": "clara", "seed": 3}
    true = len(from_service(served, TEXT, "clara", 3)) / RATE
    answer = httpx.post(
        f"{served}/v1/audio/speech", json=body | {"response_format": format, "stream": False}, timeout=60
    )
    kind = answer.headers["content-type"]
    source = page.evaluate(ADDRESS, [text_of(answer.content), kind])
    padding = MP3_FRAME_S if format == "mp3" else 0.0  # Chromium keeps the last frame's padding
    assert -CLOSE_S <= page.evaluate(LOADED, source) - true <= CLOSE_S + padding
    for sound in (in_chromium(page, answer.content), by_ffmpeg(answer.content)):
        assert -CLOSE_S <= len(sound) / RATE - true <= CLOSE_S + padding
    (tmp_path / "speech").write_bytes(answer.content)
    check_stated(tmp_path / "speech", true)
