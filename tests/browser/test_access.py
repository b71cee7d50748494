"""The page for everyone: languages, appearance, keyboard, screen readers, small screens."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.browser.conftest import Visitor
from tests.browser.speaking import counted, speak

VIEWS = {"speak": "#voices li", "book": "#book-form button", "system": "#system-body .card"}


def check(page: Page) -> None:
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing(visitor: Visitor, view: str, scheme: str) -> None:
    page = visitor.open(view, color_scheme=scheme, reduced_motion="reduce")
    page.wait_for_selector(VIEWS[view])
    for opened in page.query_selector_all("main section:not([hidden]) details > summary:visible"):
        opened.click()
    check(page)


def test_axe_finds_nothing_on_a_small_screen_in_chinese(visitor: Visitor) -> None:
    page = visitor.open(viewport={"width": 390, "height": 844}, locale="zh-CN", has_touch=True)
    assert page.evaluate("() => document.documentElement.scrollWidth") == 390
    speak(page, "早上好。")
    check(page)
    page.click("#add-voice")
    check(page)
    for view in ("book", "jobs", "system"):
        page.goto(f"{page.url.split('#')[0]}#{view}")
        page.wait_for_selector(f"#{view}:not([hidden])")
        assert page.evaluate("() => document.documentElement.scrollWidth") == 390


def test_a_text_is_spoken_by_the_keyboard_alone(visitor: Visitor) -> None:
    page = visitor.open()
    page.keyboard.press("Tab")
    assert page.inner_text(":focus") == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.get_attribute(":focus", "id") == "input"
    page.keyboard.type("Nine boats.")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#player[data-arriving=false]")
    page.wait_for_selector("#player-play[data-icon=play]")
    page.focus("#player-seek")
    page.keyboard.press("Home")
    assert counted(page, "played") == 0
    chosen = page.input_value("input[name=voice]:checked")
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.get_attribute(":focus", "name") == "voice":
            break
    page.keyboard.press("ArrowDown")
    assert page.input_value("input[name=voice]:checked") != chosen
    page.keyboard.press("Tab")
    assert (page.get_attribute(":focus", "aria-label") or "").startswith("Hear ")


def test_the_dialog_keeps_the_focus_and_escape_closes_it(visitor: Visitor) -> None:
    page = visitor.open()
    page.focus("#add-voice")
    page.keyboard.press("Enter")
    for _ in range(20):
        page.keyboard.press("Tab")
        assert page.evaluate("() => document.activeElement.closest('dialog, body').tagName") in (
            "DIALOG",
            "BODY",
        )
        assert page.evaluate("() => !document.querySelector('main').contains(document.activeElement)")
    page.keyboard.press("Escape")
    assert not page.is_visible("#voice-dialog")
    assert page.get_attribute(":focus", "id") == "add-voice"


def test_the_language_switches_and_is_remembered(visitor: Visitor) -> None:
    page = visitor.open()
    assert page.inner_text("#speak-label") == "Speak"
    page.click("#language")
    assert page.inner_text("#speak-label") == "朗读"
    assert page.get_attribute("html", "lang") == "zh-Hans"
    assert page.title().startswith("朗读")
    page.reload()
    page.wait_for_selector("#voices li")
    assert page.inner_text("h1:visible") == "说点什么"
    page.click("#language")
    assert page.get_attribute("html", "lang") == "en"


def test_the_settings_survive_a_switch_of_the_language(visitor: Visitor) -> None:
    page = visitor.open()
    page.click("#sampling summary")
    page.fill("[data-control=top_k]", "9")
    page.fill("[data-control=temperature]", "0.9")
    page.click("#language")
    page.click(".tabs a[href='#system']")
    page.click(".tabs a[href='#speak']")
    page.wait_for_selector("#sampling label:has-text('温度')")
    assert page.input_value("[data-control=top_k]") == "9"
    assert page.input_value("[data-control=temperature] >> xpath=../input[@type='range']") == "0.9"


def test_every_text_is_there_in_both_languages(visitor: Visitor) -> None:
    for locale in ("en-GB", "zh-CN"):
        page = visitor.open(locale=locale)
        for view in ("speak", "book", "jobs", "system"):
            page.click(f".tabs a[href='#{view}']")
            for name in ("data-i18n", "data-i18n-label", "data-i18n-placeholder"):
                keys = page.eval_on_selector_all(
                    f"[{name}]", f"all => all.map((one) => one.getAttribute('{name}'))"
                )
                said = page.eval_on_selector_all(
                    f"[{name}]",
                    "all => all.map((one) => one.ariaLabel || one.placeholder || one.textContent)",
                )
                assert not set(keys) & set(said)
                assert all(said)
        visitor.refused = True  # without jobs


def test_the_appearance_follows_the_system_until_one_is_chosen(visitor: Visitor) -> None:
    def dark(page: Page) -> bool:
        return page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"

    page = visitor.open(color_scheme="dark")
    assert dark(page)
    page.emulate_media(color_scheme="light")
    assert not dark(page)
    page.click("#theme")
    page.click("#theme")
    assert dark(page)
    page.reload()
    page.wait_for_selector("html[data-started]")
    assert dark(page)


def test_the_address_names_the_view(visitor: Visitor) -> None:
    page = visitor.open("system")
    page.wait_for_selector("#system-body .card")
    page.go_back()
    page.goto(f"{visitor.address}/#book")
    page.wait_for_selector("#book:not([hidden])")
    page.click(".tabs a[href='#system']")
    page.go_back()
    page.wait_for_selector("#book:not([hidden])")
    assert page.get_attribute(".tabs a[aria-current=page]", "href") == "#book"
