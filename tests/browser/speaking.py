"""Speaks on the page, for several tests."""

from __future__ import annotations

from pathlib import Path

import httpx
import numpy as np
from playwright.sync_api import Page

RATE = 24_000


def speak(page: Page, text: str, seed: int | None = 7) -> None:
    """Asks for a text and waits until all of it has arrived."""
    page.fill("#input", text)
    page.fill("#seed", "" if seed is None else str(seed))
    page.click("#speak-now")
    arrived(page)


def arrived(page: Page) -> None:
    page.wait_for_selector("#player[data-arriving=false]")


def counted(page: Page, name: str) -> int:
    """received or played: in samples."""
    return int(page.get_attribute("#player", f"data-{name}") or 0)


def downloaded(page: Page, folder: Path) -> Path:
    with page.expect_download() as found:
        page.click("#download")
    file = folder / found.value.suggested_filename
    found.value.save_as(file)
    return file


def from_service(address: str, text: str, voice: str, seed: int) -> np.ndarray:
    """The same request without the page: int16 (N,)."""
    body = {"model": "chorale-small", "input": text, "voice": voice, "seed": seed, "response_format": "pcm"}
    answer = httpx.post(f"{address}/v1/audio/speech", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    return np.frombuffer(answer.content, "<i2")
