"""The passages of XHTML, and the map from their characters to the document."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.contract.errors import InvalidInput
from serve_app.books.limits import BookLimits
from serve_app.books.xhtml import Document, Passage, read_document

SPACES = 'xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops"'


def document(body: str) -> Document:
    return read_document(f"<html {SPACES}><body>{body}</body></html>".encode(), "x.xhtml", BookLimits())


def texts(body: str) -> list[str]:
    return [passage.text for passage in document(body).passages]


def check_map(passage: Passage) -> int:
    """Every run is the text of its node; returns how many characters are in runs."""
    end = 0
    for run in passage.runs:
        node = run.element.tail if run.tail else run.element.text
        assert node is not None and end <= run.begin < run.end
        raw = node[run.offset : run.offset + run.end - run.begin]
        assert "".join(" " if c.isspace() else c for c in raw) == passage.text[run.begin : run.end]
        end = run.end
    return sum(run.end - run.begin for run in passage.runs)


def test_every_character_of_a_paragraph_leads_back_to_its_text_node() -> None:
    found = document(
        "<p>A <b>bold\n  <i>word</i></b>, soft&#173;ly&nbsp;said&mdash;<br/>then<!-- no --> more.</p>"
    )
    (passage,) = found.passages
    assert passage.text == "A bold word, softly said—\nthen more."
    without_gaps = passage.text.replace("\n", "")
    assert check_map(passage) >= len(without_gaps) - 3  # three collapsed or joining blanks
    assert found.root.getroottree().xpath(passage.path) == [passage.runs[0].element]


@given(
    st.lists(
        st.sampled_from(["one", " ", "\n\t", "é", "中", "\xad", "<b>", "</b>", "<br/>", "<!--c-->"]),
        max_size=40,
    )
)
def test_the_map_holds_for_any_mixture(pieces: list[str]) -> None:
    inside, body = 0, []
    for piece in pieces:
        inside += (piece == "<b>") - (piece == "</b>" and inside > 0)
        if piece != "</b>" or "".join(body).count("<b>") > "".join(body).count("</b>"):
            body.append(piece)
    text = "".join(body) + "</b>" * ("".join(body).count("<b>") - "".join(body).count("</b>"))
    for passage in document(f"<p>start {text} end</p>").passages:
        check_map(passage)
        assert "  " not in passage.text and passage.text == passage.text.strip()


@pytest.mark.parametrize(
    "mark",
    [
        '<sup><a href="#n1">1</a></sup>',
        '<a href="#n1"><sup>12</sup></a>',
        '<a href="n.xhtml#n1" epub:type="noteref">*</a>',
        '<a href="n.xhtml#n1" role="doc-noteref">3</a>',
        '<a class="fnref" href="#n">7</a>',
        '<a href="#n1">[4]</a>',
        '<span epub:type="pagebreak" title="5">5</span>',
        '<span class="pagenum">[Pg 12]</span>',
        '<a href="#back">↩</a>',
        '<span hidden="">secret</span>',
        '<span style="display: none">secret</span>',
        "<script>x</script>",
        '<aside epub:type="footnote"><p>A note.</p></aside>',
        '<div class="footnotes"><p>A note.</p></div>',
        '<a href="n.xhtml#n1">1</a>',
        '<span><a id="r1"></a><a href="n.xhtml#n1"><span class="calibre6">12</span></a></span>',
        '<a class="super" href="n.xhtml#n1">b</a>',
        '<span class="superscript"><a href="n.xhtml#n1">2</a></span>',
        '<a href="#n1">①</a>',
        '<a href="#n1">〔注3〕</a>',
        '<a class="duokan-footnote" href="#n1"><img src="note.png" alt="注"/></a>',
        '<ol class="duokan-footnote-content"><li class="duokan-footnote-item"><p>A note.</p></li></ol>',
    ],
)
def test_page_numbers_note_marks_notes_and_hidden_text_are_dropped(mark: str) -> None:
    assert " ".join(texts(f"<p>Before{mark} after.</p>")) == "Before after."


@pytest.mark.parametrize(
    "kept", ['<a href="#x">1984</a>', '<a href="#c1">Chapter</a>', "<sup>2</sup>", "[4]"]
)
def test_what_only_resembles_a_note_mark_is_kept(kept: str) -> None:
    (text,) = texts(f"<p>Before {kept} after.</p>")
    assert len(text) > len("Before after.")


@pytest.mark.parametrize(
    "text",
    [
        'See fig.<a href="#f">2</a> and No.<a href="#n">3</a>.',
        '见第<a href="#c3">3</a>章。',
        'Smith, <a href="#p">12</a>, <a href="#q">13</a>',
        '<a href="#one">1</a> One',
    ],
)
def test_a_number_that_links_to_something_else_than_a_note_is_kept(text: str) -> None:
    assert texts(f"<p>{text}</p>") == [re.sub("<.*?>", "", text)]


def test_a_chapter_that_is_all_notes_is_kept() -> None:
    assert texts('<section epub:type="endnotes"><p>A note.</p></section>') == ["A note."]


def test_illustrations_give_their_alt_text_and_initials_join_their_word() -> None:
    found = document(
        '<p><img alt="O" src="o.png"/>nce.</p><p><img alt="A map of the island" src="m.png"/></p>'
        '<p><img alt="cover.jpg" src="c.jpg"/>Text.</p><figure><img alt="A boat" src="b.png"/>'
        "<figcaption>A boat</figcaption></figure>"
    ).passages
    assert [(p.kind, p.text) for p in found] == [
        ("paragraph", "Once."),
        ("image", "A map of the island"),
        ("paragraph", "Text."),
        ("paragraph", "A boat"),
    ]


def test_a_row_is_one_passage_and_a_layout_table_is_read_cell_by_cell() -> None:
    assert texts(
        "<table><tr><th>Name</th><th>Age</th></tr><tr><td><p>Bob</p></td><td>12</td></tr></table>"
    ) == [
        "Name, Age",
        "Bob, 12",
    ]
    assert texts("<table><tr><td><p>One.</p><p>Two.</p></td><td>Three.</td></tr></table>") == [
        "One.",
        "Two.",
        "Three.",
    ]


def test_lists_headings_and_loose_text_keep_their_kind_and_order() -> None:
    found = document(
        "<h2>Title</h2><ul><li>one</li><li>two<ol><li>deep</li></ol></li></ul><div>a<p>b</p>c</div>"
    ).passages
    assert [(p.text, p.kind, p.level) for p in found] == [
        ("Title", "heading", 2),
        ("one", "item", 0),
        ("two", "item", 0),
        ("deep", "item", 0),
        ("a", "paragraph", 0),
        ("b", "paragraph", 0),
        ("c", "paragraph", 0),
    ]
    assert [p.part for p in found[4:]] == [0, 0, 1] and found[4].path == found[6].path


def test_ruby_keeps_the_base_and_wrapped_chinese_has_no_blank() -> None:
    assert texts("<p><ruby>漢<rt>kan</rt></ruby>字\n很多</p>") == ["漢字很多"]


def test_malformed_markup_is_read_as_html() -> None:
    found = document("<p>One & two<br>three<p>four</b> &unknown; five")
    assert not found.sound and [p.text for p in found.passages] == ["One & two\nthree", "four five"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "windows-1252", "iso-8859-15"])
def test_the_declared_encoding_is_used(encoding: str) -> None:
    data = (
        f'<?xml version="1.0" encoding="{encoding}"?><html {SPACES}><body><p>café</p></body></html>'.encode(
            encoding
        )
    )
    assert [p.text for p in read_document(data, "x", BookLimits()).passages] == ["café"]


def test_anchors_lead_to_the_passage_at_or_after_them() -> None:
    anchors = document(
        '<h1 id="a">A</h1><a id="b"/><p>x <span id="c">y</span></p><p id="d"/><p>z</p>'
    ).anchors
    assert anchors == {"a": 0, "b": 1, "c": 1, "d": 2}


@pytest.mark.parametrize("body", ["<div>" * 400 + "x" + "</div>" * 400, "<br><p>" + "<div>" * 400 + "x"])
def test_deep_nesting_is_refused(body: str) -> None:
    with pytest.raises(InvalidInput, match="nested too deeply"):
        document(body)


def test_text_between_comments_and_instructions_is_read_in_order_and_the_rest_of_the_document_too() -> None:
    body = f"<p>{'a<!--x-->b<?y z?>' * 5000}<i>c<!----></i>d</p><p>End.</p>"
    first, last = document(body).passages
    assert first.text == "ab" * 5000 + "cd" and last.text == "End."
    assert check_map(first) == len(first.text)
