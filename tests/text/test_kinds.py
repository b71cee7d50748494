"""Kinds of text that readers used to get wrong, at least eight inputs of each."""

from __future__ import annotations

import pytest

from deployments.families.small.frontend import LINE_PAUSE, PARAGRAPH_PAUSE, SmallFrontend

FRONTEND = SmallFrontend()


def segments(text: str) -> list[str]:
    return [segment.spoken for segment in FRONTEND.segments(text)]


@pytest.mark.parametrize(
    "text",
    [
        "Doors open at 9 a.m. Friday for all.",
        "It lasted from 3 p.m. Monday to 4 a.m. Wednesday EST.",
        "The U.S. market opens at 9 a.m. Eastern, i.e. three hours before ours.",
        "Open Mon. Tue. and Fri. only.",
        "We drove from St. Louis to Ft. Worth.",
        "He has a B.A. English degree and an M.Sc. Physics one.",
        "She lives at 22 Elm St. Apt. 4B.",
        "It is in Section IV.B of the act.",
        "Acme Inc. CEO Ann Lee met Sen. Hill and Gov. Brown.",
        "Mix 2 tbsp. sugar with 3 oz. butter.",
        "See vol. 2 pp. 3-5 and fig. 7 for details.",
        "It happened on Sat. Dec. 24 in the U.K. Parliament.",
        "Washington, D.C. Mayor Bowser spoke at approx. 5 p.m. EST.",
        "Prof. J. R. R. Tolkien and Lt. Col. Hill agreed.",
        "We flew to Ft. Lauderdale, Fla. in Feb. for a week.",
        "She moved from Boston, Mass. to Sacramento, Calif. last fall.",
        "Senator Kelly (D-Ariz.) spoke in Reno, Nev. 89501 today.",
        "It is on W. 34th St. near the park.",
        "Ask the asst. mgr. of the bldg. about it.",
        "Read vol. IV and ch. X first.",
    ],
)
def test_an_abbreviation_does_not_end_the_sentence(text: str) -> None:
    assert len(segments(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "He lives in the U.S. She lives here.",
        "We left at 5 p.m. The door was shut.",
        "They sell apples, pears, etc. We bought some.",
        "She works for Acme Inc. They make tools.",
        "This is plan B. There is no other.",
        "So do I. You do not.",
        "He lives on Elm St. The house is old.",
        "We met in Jan. It was cold.",
        "Is it true? Yes!",
        "it is late. good night.",
        "He got a Ph.D. Then he left.",
        "They moved to Tulsa, Okla. They like it.",
        "See vol. IV. It has the maps.",
        "Gently wash. Dry it flat.",
    ],
)
def test_a_sentence_ends_behind_an_abbreviation_all_the_same(text: str) -> None:
    assert len(segments(text)) == 2


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Apples\nPears\nPlums", 3),
        ("apples\npears\nplums", 3),
        ("First part\nSecond part\nThird part", 3),
        ("Overview\nThe house stands on a hill", 2),
        ("Dear Ann\nThank you for the flowers\nYours\nTom", 4),
        ("Ann Lee\n22 Elm Street\nSpringfield", 3),
        ("hey are you coming\nwe leave at five\ncall me", 3),
        ("# Setup\nPlug it in", 2),
        ("Roses are red\nViolets are blue", 2),
        ("Milk\nBread\nTwo eggs\nA pound of butter", 4),
        ("Chapter One\n\nIt was late", 2),
    ],
)
def test_a_line_without_a_point_pauses(text: str, count: int) -> None:
    found = FRONTEND.segments(text)
    assert len(found) == count
    assert all(segment.pause_after >= LINE_PAUSE for segment in found)


@pytest.mark.parametrize(
    "text",
    [
        "This is wrapped prose of some\nlength that goes on and on.",
        "The cat sat on the\nmat.",
        "When we came to the house of my\nGrandmother it was late.",
        "The quick brown fox jumps over the lazy dog and\nthen it sleeps for an hour.",
        "A line that a mail program has wrapped at some\nseventy characters goes on in the next line until it\nends.",
        "She lived in a small house near the river with\nAnna and her two cats.",
        "An exam-\nple of a broken word.",
        "It was a well-\nknown house.",
        "He wrote to the\nBishop of London.",
    ],
)
def test_wrapped_prose_stays_unbroken(text: str) -> None:
    assert len(segments(text)) == 1


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("exam-\nple", "example"),
        ("inter-\nnational law", "international law"),
        ("a win-\ndow", "a window"),
        ("well-\nknown", "well known"),
        ("pro-\nject", "project"),
        ("com-\nputer", "computer"),
        ("build-\n  ing", "building"),
        ("long-\nterm plan", "long term plan"),
        ("twenty-\nfive", "twenty five"),
    ],
)
def test_a_word_broken_at_the_end_of_a_line_is_whole(text: str, spoken: str) -> None:
    assert FRONTEND.spoken(text) == spoken


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("Hmmm", "hmm"),
        ("shhh", "shh"),
        ("mhm", "mhm"),
        ("pfft", "pfft"),
        ("grrr", "grr"),
        ("brrr", "brr"),
        ("mmm", "mm"),
        ("tch", "tch"),
        ("zzzz", "zzz"),
        ("hmph", "hmph"),
        ("nngh", "nngh"),
        ("mmph", "mmph"),
        ("Psst!", "psst"),
        ("tsk tsk", "tsk tsk"),
    ],
)
def test_hums_are_no_letters(text: str, spoken: str) -> None:
    assert FRONTEND.spoken(text) == spoken


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        (
            "Please upload it to the FTP server before noon GMT.",
            "please upload it to the f t p server before noon g m t",
        ),
        ("BTW, the VP of HP flew into JFK.", "b t w the v p of h p flew into j f k"),
        ("He died in 44 BC.", "he died in forty four b c"),
        ("FBI AND CIA RAID NYC HQ", "f b i and c i a raid n y c h q"),
        ("btw, ftp, php, mvp", "b t w f t p p h p m v p"),
        ("The TV, the PC and the CD in TX and NM", "the t v the p c and the c d in t x and n m"),
        ("KFC, BLT, MTV, PBS", "k f c b l t m t v p b s"),
        ("MB and GB, KW, MSG", "megabytes and gigabytes k w m s g"),
        ("The MVP's BMW", "the m v p's b m w"),
    ],
)
def test_acronyms_without_a_vowel_are_spelled(text: str, spoken: str) -> None:
    assert FRONTEND.spoken(text) == spoken


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("> Quoted words\n> go on", "quoted words go on"),
        ("[label](http://a.example/b)", "label"),
        ('[label](http://a.example/b_(c) "Title")', "label"),
        ("[label][1]\n\n[1]: http://a.example/b", "label"),
        ("[![alt text](a.png)](http://a.example)", "alt text"),
        ("- [x] done", "done"),
        ("* [ ] open", "open"),
        ("<a href='x'>here</a>", "here"),
        ("<img src='x' alt='a cat'>", "a cat"),
        ("a&nbsp;b &mdash; c &eacute;t&eacute;", "a b c ete"),
        ("<script>alert(1)</script>said", "said"),
        ("```python\nprint\n```", "print"),
        ("a[i][j] = 3", "a i j equals three"),
        ("if x<y and z>w", "if x y and z w"),
    ],
)
def test_markup_is_not_said(text: str, spoken: str) -> None:
    assert FRONTEND.spoken(text) == spoken


def test_the_parts_of_an_html_page_are_paragraphs() -> None:
    found = FRONTEND.segments("<h1>Title</h1><p>One.</p><ul><li>Two</li><li>Three</li></ul>")
    assert [s.spoken for s in found] == ["title", "one", "two", "three"]
    assert {s.pause_after for s in found} == {PARAGRAPH_PAUSE}
