"""The view "System"."""

from __future__ import annotations

import httpx

from tests.browser.conftest import Visitor
from tests.browser.speaking import speak


def test_every_model_and_stage_is_shown(visitor: Visitor, served: str) -> None:
    page = visitor.open("system")
    page.wait_for_selector("#system-body table")
    status = httpx.get(f"{served}/v1/status").json()
    for name, model in status["models"].items():
        assert page.is_visible(f"h2:has-text('{name}')")
        assert page.locator("tbody tr").count() >= len(model["stages"])
        assert model["device"]["name"] in page.inner_text("#system-body")


def test_the_cache_is_freed(visitor: Visitor, served: str) -> None:
    page = visitor.open()
    speak(page, "Nine boats.")
    assert httpx.get(f"{served}/v1/status").json()["ingress"]["prompts"]["entries"] > 0
    page.click(".tabs a[href='#system']")
    page.click("#free-cache")
    page.wait_for_selector("#freed:not([hidden])")
    assert "iB" in page.inner_text("#freed")
    assert httpx.get(f"{served}/v1/status").json()["ingress"]["prompts"]["entries"] == 0
