"""Spans around sentences in any inline markup: the text and its styles stay, and each span is its sentence."""

from __future__ import annotations

import itertools
from random import Random

import pytest
from lxml import etree

from serve_app.books.limits import BookLimits
from serve_app.books.overlay import Clip, Spans, clock, smil
from serve_app.books.spoken_document import Utterance, places_of
from serve_app.books.xhtml import Passage, read_document

XHTML = "http://www.w3.org/1999/xhtml"
INLINE = ("em", "b", "i", "a", "small", "code")


def markup(random: Random, depth: int = 0) -> str:
    """Words, some of them in inline elements, with breaks and comments between them."""
    parts = []
    for _ in range(random.randint(1, 4)):
        kind = random.random()
        if kind < 0.45 or depth > 3:
            parts.append(
                " ".join(random.choice(("one", "two", "three.", "&amp;four", "fünf")) for _ in range(3))
            )
        elif kind < 0.85:
            name = random.choice(INLINE)
            parts.append(f'<{name} class="c">{markup(random, depth + 1)}</{name}>')
        elif kind < 0.92:
            parts.append("<br/>")
        else:
            parts.append("<!-- a note --><img src='x' alt=''/>")
    return random.choice((" ", "", "\n  ")).join(parts)


def document(body: str) -> bytes:
    return f'<html xmlns="{XHTML}"><head><title>t</title></head><body>{body}</body></html>'.encode()


def mark(data: bytes, cuts: list[list[tuple[int, int]]]) -> tuple[etree._Element, list[list[bool]]]:
    """cuts: the spans of the sentences of each passage. Returns the root, and which of them could be wrapped."""
    read = read_document(data, "it", BookLimits())
    spans, done = Spans(), []
    for p, (passage, sentences) in reversed(list(enumerate(zip(read.passages, cuts, strict=True)))):
        done.insert(0, [])
        for n, sentence in reversed(list(enumerate(sentences))):
            places = places_of(passage, utterance(passage, sentence))
            done[0].insert(0, bool(places) and spans.wrap(*places, f"x{p}-{n}"))
    return read.root, done


def utterance(passage: Passage, span: tuple[int, int]) -> Utterance:
    return Utterance(passage.source("it"), passage.text, span, "a.mp3", 0, 1)


def styles(root: etree._Element) -> list[tuple[str, tuple[str, ...]]]:
    """Each character that is not white space, with the elements around it except the spans."""
    found = []
    for text in root.xpath("//*[local-name()='body']//text()"):
        parent = text.getparent()
        around = [parent, *parent.iterancestors()] if text.is_text else list(parent.iterancestors())
        names = tuple(etree.QName(e).localname for e in around if not (e.get("id") or "").startswith("x"))
        found += [(c, names) for c in text if not c.isspace()]
    return found


@pytest.mark.parametrize("seed", range(300))
def test_each_span_is_its_sentence_and_nothing_else_changes(seed):
    random = Random(seed)
    data = document("".join(f"<p>{markup(random)}</p>" for _ in range(2)))
    passages = read_document(data, "it", BookLimits()).passages
    cuts = []
    for passage in passages:
        length = len(passage.text)
        edges = sorted({0, length, *(random.randrange(length) for _ in range(random.randint(0, 5)))})
        cuts.append(list(itertools.pairwise(edges)))
    root, done = mark(data, cuts)
    assert styles(root) == styles(read_document(data, "it", BookLimits()).root)
    again = etree.fromstring(etree.tostring(root))
    for p, passage in enumerate(passages):
        for n, (begin, end) in enumerate(cuts[p]):
            wanted = "".join(passage.text[begin:end].split())
            assert done[p][n] or not wanted
            if done[p][n]:
                (span,) = again.xpath(f"//*[@id='x{p}-{n}']")
                assert "".join("".join(span.itertext()).split()) == wanted
    assert [p.text for p in read_document(etree.tostring(root), "it", BookLimits()).passages] == [
        p.text for p in passages
    ]


def test_an_element_that_cannot_be_split_belongs_to_the_sentence_that_begins_in_it():
    data = document("<p>One <ruby>two.three<rt>x</rt></ruby> four.</p>")
    (passage,) = read_document(data, "it", BookLimits()).passages
    middle = passage.text.index("three")
    root, done = mark(data, [[(0, middle), (middle, len(passage.text))]])
    text = etree.tostring(root).decode()
    assert '<span id="x0-0">One </span><span id="x0-1"><ruby>two.three<rt>x</rt></ruby> four.</span>' in text
    assert done == [[True, True]]


@pytest.mark.parametrize("body", ["<table><tr><td>One</td><td>Two</td></tr></table>"])
def test_no_span_is_put_where_none_may_stand(body):
    data = document(body)
    (passage,) = read_document(data, "it", BookLimits()).passages
    root, done = mark(data, [[(0, len(passage.text))]])
    assert done == [[False]]
    assert body in etree.tostring(root).decode()


def test_smil_names_its_document_and_its_sound():
    root = etree.fromstring(smil("../a.xhtml", [Clip("s1", "a.mp3", 0, 3_723_004)]))
    (par,) = root.iter("{http://www.w3.org/ns/SMIL}par")
    assert [dict(element.attrib) for element in par] == [
        {"src": "../a.xhtml#s1"},
        {"src": "a.mp3", "clipBegin": "0:00:00.000", "clipEnd": "1:02:03.004"},
    ]
    assert clock(59_999) == "0:00:59.999"
