"""The English frontend: segments, their limits, and refused texts."""

from __future__ import annotations

import re
import string
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.contract.errors import InvalidInput
from deployments.families.small.frontend import (
    CLAUSE_PAUSE,
    PARAGRAPH_PAUSE,
    PAUSES,
    SENTENCE_PAUSE,
    SmallFrontend,
)
from deployments.text.phones import PAUSE, PHONE_TO_ID, PHONES
from deployments.text.segments import MAX_PHONES
from deployments.text.words import SEMICOLON

FRONTEND = SmallFrontend()
phones_of, spoken = FRONTEND.phones_of, FRONTEND.spoken
LONG = (
    "The quick brown fox, who was very lazy, jumped over the dog, and then it sat, because the weather was nice, "
    "on a mat that somebody had left outside in the rain for seven days; nobody knows why it did that or what the "
    "dog thought of it."
)


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


def test_a_question_has_flites_phones_and_its_own_closing_pause() -> None:
    assert phones_of("Is this it?") == "pau ih z dh ih s ih t pau?".split()


@pytest.mark.parametrize(
    ("text", "closing"),
    [
        ("Stop!", "pau!"),
        ("Why?", "pau?"),
        ('He said "no."', "pau"),
        ("well,", "pau"),
        ("“Really?”", "pau?"),
        ("Hi! 😀", "pau!"),
    ],
)
def test_closing_pause(text: str, closing: str) -> None:
    assert phones_of(text)[-1] == closing


def test_pauses_occur_at_phrase_breaks_and_never_twice() -> None:
    phones = phones_of("One, two; (three) - four: five... six — seven -- eight.")
    assert phones.count(PAUSE) == 9
    assert not any(a == b == PAUSE for a, b in pairwise(phones))


@pytest.mark.parametrize(
    ("text", "phones"),
    [
        ("the apple", "dh iy ae p ax l"),
        ("the dog", "dh ax d ao g"),
        ("a record", "ax r eh k er d"),
        ("to record", "t ax r ax k ao r d"),
        ("it presents a list", "ih t p r iy z eh n t s ax l ih s t"),
        ("such uses", "s ah ch y uw s ih z"),
        ("that uses it", "dh ae t y uw z ih z ih t"),
        ("I can read", "ay k ae n r iy d"),
        ("I read it", "ay r iy d ih t"),
        ("we live", "w iy l ih v"),
        ("the fox's", "dh ax f aa k s ih z"),
        ("plan A", "p l ae n ey"),
        ("NASA's", "n ae s ax z"),
        ("we're", "w ih r"),
        ("TV", "t iy v iy"),
    ],
)
def test_words_in_context(text: str, phones: str) -> None:
    assert phones_of(text)[1:-1] == phones.split()


def test_segments_of_two_paragraphs() -> None:
    segments = FRONTEND.segments("Hello there. How are you?\n\nFine, thanks.")
    assert [s.text for s in segments] == ["Hello there.", "How are you?", "Fine, thanks."]
    assert [s.pause_after for s in segments] == [SENTENCE_PAUSE, PARAGRAPH_PAUSE, PARAGRAPH_PAUSE]
    for segment in segments:
        assert segment.token_ids.dtype == np.int64 and segment.token_ids.ndim == 1
        assert segment.token_ids[0] == PHONE_TO_ID[PAUSE]
    assert segments[1].token_ids[-1] == PHONE_TO_ID["pau?"]


def test_a_long_sentence_is_cut_at_clauses() -> None:
    segments = FRONTEND.segments(LONG)
    assert len(segments) > 1
    assert " ".join(s.text for s in segments) == LONG
    assert all(s.text[-1] in ",;." for s in segments)
    assert {s.pause_after for s in segments[:-1]} == {CLAUSE_PAUSE, PAUSES[SEMICOLON]}
    assert all(len(s.token_ids) <= MAX_PHONES for s in segments)


def test_a_sentence_without_clauses_is_cut_into_similar_parts() -> None:
    sizes = [len(s.token_ids) for s in FRONTEND.segments("the dog saw a cat near the house " * 12)]
    assert max(sizes) <= MAX_PHONES and min(sizes) > MAX_PHONES / 2


@pytest.mark.parametrize("syllable", ["ba", "to", "na"])
def test_a_word_that_just_fits_is_a_segment(syllable) -> None:
    """98 phones. The full stop's pause is the segment's closing pause."""
    (segment,) = FRONTEND.segments(f"{syllable * 30}'{syllable * 19}.")
    assert len(segment.token_ids) == MAX_PHONES


def test_cells_and_rows_of_a_table_are_separated_by_pauses() -> None:
    for table in ("| Bob | four |\n|---|---|\n| Ann | five |", "Bob\tfour\nAnn\tfive"):
        phones = FRONTEND.phones_of(table)
        assert phones.count(PAUSE) == 5 and phones[phones.index("b") : 5] == ["b", "aa", "b", PAUSE]


def test_abbreviations_do_not_end_a_sentence() -> None:
    assert (
        len(FRONTEND.segments("Dr. Smith paid approx. 5 dollars on Jan. 5 to Mrs. Jones, i.e. his aunt."))
        == 1
    )


def test_a_list_has_one_segment_per_item() -> None:
    texts = [s.text for s in FRONTEND.segments("Buy these:\n- milk\n- bread\n2. eggs")]
    assert texts == ["Buy these:", "- milk", "- bread", "2. eggs"]


@pytest.mark.parametrize("language", [None, "", "en", "EN", "en-US", "en_gb"])
def test_english_is_accepted(language: str | None) -> None:
    assert len(FRONTEND.segments("Hello.", language)) == 1


@pytest.mark.parametrize("language", ["fr", "english", "e"])
def test_other_languages_are_refused(language: str) -> None:
    with pytest.raises(InvalidInput, match="en, zh") as caught:
        FRONTEND.segments("Hello.", language)
    assert caught.value.param == "language"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        (" \n\t ", "empty"),
        ("?!... —", "needs letters or digits"),
        ("😀👍🏽", "needs letters or digits"),
        ("@#$%&", "needs letters or digits"),
        ("a" * 61, "60"),
        ("x" * 5000, "60"),
        ("Hello мир", "Cyrillic"),
        ("مرحبا", "Arabic"),
        ("γειά σου", "Greek"),
        ("안녕", "Hangul"),
        ("नमस्ते", "Devanagari"),
        ("こんにちは", "Hiragana"),
        ("one\x00two", r"U\+0000 at character 4"),
        ("bell\x07", r"U\+0007 at character 5"),
        ("bad \ud800", r"U\+D800"),
    ],
)
def test_refused(text: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says) as caught:
        FRONTEND.segments(text)
    assert caught.value.param == "input"


def test_chinese_is_refused_if_the_weights_do_not_speak_it() -> None:
    english = SmallFrontend(languages=("en",))
    with pytest.raises(InvalidInput, match="Han"):
        english.segments("你好")
    with pytest.raises(InvalidInput, match="allowed: en") as caught:
        english.segments("Hello.", "zh")
    assert caught.value.param == "language"


def test_invisible_characters_and_line_ends_have_no_effect() -> None:
    assert spoken("\ufeffso\u00adft\u200b line\r\nends\r and\ttabs") == "soft line ends and tabs"
    assert spoken("a\x0cnew\x0bpage\u2028and\x85lines") == "a new page and lines"
    assert len(FRONTEND.segments("One.\r\n\r\nTwo.")) == 2
    assert len(FRONTEND.segments("One.\u2029Two.")) == 2
    assert FRONTEND.segments("One.\r\n\r\nTwo.")[0].pause_after == PARAGRAPH_PAUSE


def test_any_word_of_sixty_letters_is_spoken() -> None:
    for letter in "abcdefghijklmnopqrstuvwxyz":
        for segment in FRONTEND.segments(letter * 60):
            assert len(segment.token_ids) <= MAX_PHONES


def check(text: str) -> None:
    """The text is refused with a reason, or its segments satisfy every guarantee."""
    try:
        segments = FRONTEND.segments(text)
    except InvalidInput as error:
        refused = error
    else:
        refused = None
    if refused:
        assert refused.param == "input" and refused.message
        return
    assert segments
    assert squeezed("".join(s.text for s in segments)) == squeezed(text)
    for segment in segments:
        if not segment.spoken:  # [pause:1s]
            assert not len(segment.token_ids)
            continue
        assert 3 <= len(segment.token_ids) <= MAX_PHONES
        assert segment.token_ids.min() >= 1 and segment.token_ids.max() < len(PHONES)
        assert segment.pause_after >= 0


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_any_text(text: str) -> None:
    check(text)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="aAbIVXx019.,:;'\"-–—/$€%°#&@+=*()[]<>!|~^_\\ \n\t²⁻₂½é…", max_size=300))
def test_any_mixture_of_signs(text: str) -> None:
    check(text)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            (
                "Dr. St. No. $5 3:30 pm 1/2 2026-11-21 e.g. NASA's Jan. 5 a the A and, (so) x@y.com call code "
                "order 911 "
                "IV Henry km 5kg 10⁻³ -- - <b> </p> [a](b) ![ ]( `x` > | # [pause:1s] [pause:x] &amp; \" ' "
                "020 7946 0018 in. to "
                "U.S. 10x 5' C$ 1.000.000 ex-\n \n \n\n ... room Ctrl+C log₂ p.m. Friday I v2.0 AD 0800 hours"
            ).split(" ")
        )
    )
)
def test_any_order_of_known_pieces(pieces: list[str]) -> None:
    check(" ".join(pieces))


def test_every_word_of_plain_text_is_spoken() -> None:
    assert spoken(LONG) == re.sub(r"[^a-z ]", "", LONG.lower())


UNIT = {
    "prose": LONG + " ",
    "no sentence ends": "word and another ",
    "one letter sentences": "a. ",
    "quotes": "(\"'a",
    "digits": "7",
    "thousands": "1,111,",
    "signs": "* a ",
    "dashes": "a--",
    "dotted": "a.",
    "addresses": "a.com/",
    "mail": "a@b.",
    "apostrophes": "a'",
    "lines": "a\n",
    "slashes": "1/2/",
    "accents": "é, ",
    "capitals": "AB ",
    "brackets": "[(a",
    "tables": "| cell | $2.50 | 3 kg |\n",
    "currencies": "$ a ",
    "tags": "<b>a</b> ",
    "unclosed tags": "<b ",
    "unclosed comments": "<!-- a ",
    "half a link": "[a](",
    "superscripts": "x²a ",
    "digits of another script": "٣ a ",
    "half a pause": "[pause:",
    "Roman numerals": "IV ",
    "thousands with blanks": "1 000 ",
    "telephone numbers": "555-",
    "inches": '5" ',
    "broken words": "ex-\nam ",
    "quoted lines": "> a\n",
    "times": "2x ",
    "calls": "call 1, ",
    "fractions": "1 1/2 ",
    "minutes": "5' ",
    "codes": "code AB-12 ",
    "clocks": "3:30 ",
    "dates": "1/2/2026 ",
    "units": "5 km/h ",
    "money": "$5-",
    "versions": "1.2.",
    "measures with signs": "m²⁻",
    "quotes in digits": "1'0\"",
    "characters": "一1 a ",
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("unit", UNIT.values(), ids=UNIT.keys())
def test_time_is_linear_in_the_length_of_a_text(unit: str) -> None:
    """Quadratic work on 200,000 characters would run into the time limit."""
    text = unit * (200_000 // len(unit))
    segments = FRONTEND.segments(text)
    assert squeezed("".join(s.text for s in segments)) == squeezed(text)
    assert max(len(s.token_ids) for s in segments) <= MAX_PHONES


@pytest.mark.timeout(60)
@pytest.mark.parametrize("sign", [*string.punctuation, *" \t\n\u00a0…—–«“°²½×€¥‰•✅，。（\u202e\u200b٣"])
def test_a_long_run_of_any_sign_takes_no_more_than_its_length(sign: str) -> None:
    text = f"One\ntwo{sign * 100_000}\nthree four."
    assert FRONTEND.spoken(text).startswith("one two") and FRONTEND.spoken(text).endswith("three four")


@pytest.mark.timeout(60)
def test_a_long_row_of_digits_is_read_digit_by_digit() -> None:
    assert FRONTEND.spoken("7" * 100_000) == " ".join(["seven"] * 100_000)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[" * 5000 + "word" + "]" * 5000, "word"),
        ("| 1 | 2 |\n" * 200_000, "one two one two"),
        ("\u202bgood\u202c \u200fday", "good day"),
        ("$" * 1000 + " five", "five"),
        ("₹" * 1000 + "5", "rupees"),
        ("१२३ and ٤٥", "one hundred twenty three and forty five"),
        ("x" + "²" * 1000, "x"),
        ("(" * 3000 + "a" + ")" * 3000, "a"),
        ("&" * 5000 + "lt;b", "b"),
        ("1" * 10_000, "one one one"),
        ("*" * 10_000 + "bold" + "*" * 10_000, "bold"),
    ],
)
def test_hostile_text_is_read(text: str, says: str) -> None:
    assert says in FRONTEND.spoken(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("300 km^² of land", "three hundred square kilometers of land"),
        ("5 m^³, 2 cm^²", "five cubic meters two square centimeters"),
        ("UN'Typs", "u n typs"),
    ],
)
def test_odd_signs_in_a_word_are_no_error(text: str, says: str) -> None:
    assert FRONTEND.spoken(text) == says


@pytest.mark.parametrize("text", ["half \ud83d", "[pause:1e9s]", "a [pause:-1s] b", "سلام", "x\x1b[0m"])
def test_hostile_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        FRONTEND.segments(text)
    assert caught.value.param == "input" and caught.value.message


def test_threads_agree() -> None:
    texts = [f"Number {n} costs ${n}.50, and frobnicated{chr(97 + n % 26)} things." for n in range(40)]
    alone = [SmallFrontend().phones_of(t) for t in texts]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(FRONTEND.phones_of, texts)) == alone


def test_the_frontend_imports_no_torch() -> None:
    code = "import sys; from deployments.families.small.frontend import SmallFrontend as Frontend;"
    code += "Frontend().phones_of('hi'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
