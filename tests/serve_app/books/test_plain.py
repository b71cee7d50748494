"""Text files and Markdown: encodings, paragraphs, chapters."""

from __future__ import annotations

import textwrap

import pytest

from serve_app.books.book import Book
from serve_app.books.charset import decoded
from serve_app.books.read import read_book
from tests.books import prose

ZH = "　　话说那人一路上山，只见山中花草茂盛，鸟语花香。他心里想着师父的话，不觉已经走了很远。"
TW = "　　話說那人一路上山，只見山中花草茂盛，鳥語花香。他心裡想著師父的話，不覺已經走了很遠。"
JA = "むかしむかし、あるところに、おじいさんとおばあさんがいました。おじいさんは山へ芝刈りに行きました。"
FR = "Le café était fermé à l’heure où Hélène arriva. « Où êtes-vous ? » cria-t-elle — personne ne répondit."
PL = "Zażółć gęślą jaźń. Łódka płynęła po rzece, a słońce świeciło nad łąką."
RU = "Все окна были открыты, и ветер приносил с реки запах травы и мокрых досок."
KO = "옛날 옛적에 한 마을에 착한 나무꾼이 살았습니다. 나무꾼은 날마다 산에 올라 나무를 했습니다."


def read(text: str | bytes, name: str = "book.txt") -> Book:
    return read_book(text if isinstance(text, bytes) else text.encode(), name)


def titles(book: Book) -> list[str]:
    return [chapter.title for chapter in book.chapters]


def wrapped(paragraphs: list[str], width: int = 70) -> str:
    return "\n\n".join(textwrap.fill(each, width) for each in paragraphs)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (ZH, "utf-8"),
        (ZH, "utf-8-sig"),
        (ZH, "utf-16"),
        (ZH, "utf-16-le"),
        (ZH, "utf-16-be"),
        (ZH, "gb18030"),
        (TW, "big5"),
        (JA, "shift_jis"),
        (JA, "euc_jp"),
        (KO, "euc_kr"),
        (FR, "cp1252"),
        (FR, "utf-16-le"),
        (FR, "utf-32"),
        (PL, "cp1250"),
        (RU, "cp1251"),
        (RU, "koi8_r"),
    ],
)
@pytest.mark.parametrize("times", [1, 3, 2000])
def test_every_common_encoding_is_read(text: str, encoding: str, times: int) -> None:
    whole = f"{text}\n" * times
    assert decoded(whole.encode(encoding)) == (whole, [])


def test_a_damaged_character_in_utf_8_is_left_out_with_a_warning() -> None:
    data = f"{ZH}\n".encode()
    text, (warning,) = decoded(data + b"\xff" + data * 99)
    assert text == f"{ZH}\n" * 100 and "UTF-8" in warning


def test_wrapped_lines_become_paragraphs_and_verse_keeps_its_lines() -> None:
    paragraphs = prose(3000)
    verse = "Roses are red,\nViolets are blue,\nSugar is sweet,\nAnd so are you."
    (chapter,) = read(wrapped(paragraphs) + "\n\n" + verse).chapters
    assert [block.text for block in chapter.blocks] == [*paragraphs, verse]


def test_a_word_broken_at_a_line_end_is_joined() -> None:
    text = "The old captain walked along the quiet harbour and thought of some-\nthing else. There was something."
    assert "of something else" in read(text).chapters[0].blocks[0].text


def test_indented_lines_and_long_lines_are_paragraphs_without_blank_lines() -> None:
    paragraphs = prose(3000)
    assert [b.text for b in read("\n".join(paragraphs)).chapters[0].blocks] == paragraphs
    indented = "\n".join(textwrap.fill(each, 60, initial_indent="    ") for each in paragraphs)
    assert [b.text for b in read(indented).chapters[0].blocks] == paragraphs
    assert [b.text for b in read("\n".join([ZH] * 5)).chapters[0].blocks] == [ZH.strip()] * 5


def test_gutenbergs_head_and_foot_are_stripped_and_its_metadata_read() -> None:
    body = "\n\n\n".join(
        f"CHAPTER {n}.\nThe Title {n}\n\n\n{wrapped(prose(2000, i))}"
        for i, n in enumerate(("I", "II", "III"))
    )
    contents = "\n".join(f" CHAPTER {n}. The Title {n}" for n in ("I", "II", "III"))
    text = (
        "The Project Gutenberg eBook of A Book\n\nTitle: A Book\n\nAuthor: Ann Author\n\nLanguage: English\n\n"
        "*** START OF THE PROJECT GUTENBERG EBOOK A BOOK ***\n\nProduced by a team\n\n\n"
        f"A BOOK\n\nContents\n\n{contents}\n\n\n"
        f"{body}\n\n[Illustration]\n\n[Illustration: A cat]\n\n"
        "*** END OF THE PROJECT GUTENBERG EBOOK A BOOK ***\n\nA licence."
    )
    book = read(text)
    assert (book.about.title, book.about.authors, book.about.language) == ("A Book", ("Ann Author",), "en")
    assert titles(book) == [
        "Beginning",
        "Contents",
        *(f"CHAPTER {n}. The Title {n}" for n in ("I", "II", "III")),
    ]
    assert [c.reason for c in book.chapters] == [None, "contents", None, None, None]
    said = " ".join(block.text for chapter in book.chapters for block in chapter.blocks)
    assert "Gutenberg" not in said and "licence" not in said and "Produced" not in said
    assert [b.text for b in book.chapters[4].blocks[1:]] == [*prose(2000, 2), "[Illustration: A cat]"]


@pytest.mark.parametrize(
    "heads",
    [
        ["Chapter 1", "Chapter 2", "Chapter 3"],
        ["Chapter One: A Start", "Chapter Two: A Middle", "Chapter Twenty-One: An End"],
        ["PROLOGUE", "CHAPTER I", "CHAPTER II", "EPILOGUE"],
        ["I.", "II.", "III."],
        ["1", "2", "3", "4"],
        ["THE HOUSE", "THE GARDEN", "THE END OF IT"],
        ["*** CHAPTER 1 ***", "*** CHAPTER 2 ***"],
        ["第一章 开始", "第二章 中间", "第十二章 结尾"],
        ["第１回", "第２回"],
        ["Part One", "Chapter 1", "Chapter 2", "Part Two", "Chapter 1", "Chapter 2"],
        ["Chapter 1", "Chapter 2", "Chapter 3", "Chapter 1", "Chapter 2"],
        ["Kapitel 1", "Kapitel 2"],
    ],
)
def test_lines_alone_that_read_like_headings_begin_chapters(heads: list[str]) -> None:
    text = "\n\n".join(f"{head}\n\n{wrapped(prose(1500, i))}" for i, head in enumerate(heads))
    book = read(text)
    assert [title.upper() for title in titles(book)] == [head.strip("* .").upper() for head in heads]
    assert all([b.text for b in c.blocks[1:]] == prose(1500, i) for i, c in enumerate(book.chapters))
    assert all(chapter.blocks[0].kind == "heading" for chapter in book.chapters)


@pytest.mark.parametrize(
    "line",
    ["Chapter 7 was the hardest to write.", "Part 2 of the plan failed.", "第三章是最难写的，", "Chapter 40"],
)
def test_a_line_that_breaks_the_rise_or_goes_on_is_not_a_heading(line: str) -> None:
    parts = [f"Chapter {n}\n\n{wrapped(prose(1500, n))}" for n in range(1, 5)]
    text = "\n\n".join([parts[0], line, wrapped(prose(500)), *parts[1:]])
    assert titles(read(text)) == [f"Chapter {n}" for n in range(1, 5)]


def test_the_titles_of_a_contents_list_are_found_again() -> None:
    heads = ["Down the Hole", "The Pool of Tears", "A Caucus Race"]
    contents = "\n".join(f"{head} ..... {n}" for n, head in enumerate(heads, 5))
    text = f"CONTENTS\n\n{contents}\n\n" + "\n\n".join(f"{head}\n\n{wrapped(prose(1500))}" for head in heads)
    book = read(text)
    assert titles(book) == ["Contents", *heads] and not book.chapters[0].included


def test_chinese_chapters_need_no_blank_lines_and_their_contents_list_is_left_out() -> None:
    heads = ["第一回　灵根育孕", "第二回　悟彻菩提", "第三回　四海千山"]
    lines = ["书名：一本书", "", "目录", *heads, ""]
    for head in heads:
        lines += [head, *[ZH] * 20]
    book = read("\n".join(lines).encode("gb18030"))
    assert titles(book) == ["Beginning", "Contents", *(head.replace("　", " ") for head in heads)]
    assert all(len(chapter.blocks) == 21 for chapter in book.chapters[2:])


@pytest.mark.parametrize("mark", ["<<CHAPTER_MARKER:{}>>", "[chapter: {}]"])
def test_markers_name_chapters_and_are_not_spoken(mark: str) -> None:
    book = read(f"{mark.format('First')}\nChapter 9\n\nSome text.\n{mark.format('Second')}\nMore text.\n")
    assert titles(book) == ["First", "Second"]
    assert [b.text for b in book.chapters[1].blocks] == ["More text."]


def test_a_long_text_without_chapters_is_divided_and_a_short_one_is_not() -> None:
    book = read("\n\n".join(prose(100_000)))
    assert titles(book) == ["Part 1", "Part 2", "Part 3", "Part 4"]
    assert [b.text for c in book.chapters for b in c.blocks] == prose(100_000)
    assert titles(read("Just a line.", name="A Short One.txt")) == ["A Short One"]


def test_a_paragraph_without_line_ends_is_cut_after_sentences() -> None:
    text = " ".join(prose(30_000))
    blocks = [b.text for c in read(text).chapters for b in c.blocks]
    assert " ".join(blocks) == text and all(len(b) <= 5000 and b.endswith(".") for b in blocks)


def test_markdown_gives_headings_lists_tables_and_metadata() -> None:
    text = (
        "---\ntitle: My Book\nauthor: Ann\nlanguage: en-GB\ndate: 2024-05-01\n---\n\n# My Book\n\nIntro.\n\n## One\n\n"
        "Text **bold** [link](http://x) `code`\nwrapped.\n\n- item a\n- item b\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n"
        "![A cat](cat.png)\n\n## Two\n\nMore.\n"
    )
    book = read(text, "file.md")
    about = book.about
    assert (about.title, about.authors, about.language, about.date) == (
        "My Book",
        ("Ann",),
        "en-GB",
        "2024-05-01",
    )
    assert titles(book) == ["Beginning", "One", "Two"]
    assert [(b.kind, b.text) for b in book.chapters[1].blocks] == [
        ("heading", "One"),
        ("paragraph", "Text bold link code wrapped."),
        ("item", "item a"),
        ("item", "item b"),
        ("item", "a, b"),
        ("item", "1, 2"),
        ("image", "A cat"),
    ]


@pytest.mark.parametrize(
    ("fields", "authors", "title"),
    [
        ("title: T\nauthor: [Ann A, Bob B]", ("Ann A", "Bob B"), "T"),
        ("title: T\nauthors:\n  - name: Ann\n  - name: Bob", ("Ann", "Bob"), "T"),
        ("title: One: Two\nauthor: 'Ann'", ("Ann",), "One: Two"),
        ("title: T\nauthor: Ann\ndate: 2024-02-30", ("Ann",), "T"),
        ('title: "T\\uD800\\0\\n x"\nauthor: 1984', ("1984",), "T x"),
    ],
)
def test_front_matter_gives_metadata_even_if_its_yaml_is_careless(fields, authors, title) -> None:
    book = read(f"---\n{fields}\n---\n\nText.\n", "book.md")
    assert (book.about.authors, book.about.title) == (authors, title)
    assert [block.text for block in book.chapters[0].blocks] == ["Text."]


def test_footnotes_and_attributes_in_markdown_are_not_spoken() -> None:
    book = read(
        "# One {#one .x}\n\nNoted[^1] and[^long]; not a note: [^a-z].\n\n[^1]: The note.\n[^long]: A long\nnote.\n\n"
        "    Its second paragraph.\n\n::: warning\nInside.\n:::\n\n# Two {-}\n\nEnd.\n",
        "book.md",
    )
    assert titles(book) == ["One", "Two"]
    assert [b.text for c in book.chapters for b in c.blocks if b.kind == "paragraph"] == [
        "Noted and; not a note: [^a-z].",
        "Inside.",
        "End.",
    ]


@pytest.mark.parametrize(
    "head",
    [
        "第一卷 起 第{}章 逍遥",
        "第一卷第{}章",
        "☆、第{}章 逍遥",
        "【第{}章】逍遥",
        "第{0}章 逍遥\n\n第{0}章 逍遥",
    ],
)
def test_the_headings_of_chinese_web_novels_begin_chapters(head: str) -> None:
    text = "\n\n".join(f"{head.format(n)}\n\n{ZH}" for n in "一二三四")
    book = read(text.encode("gb18030"))
    assert len(book.chapters) == 4
    assert all("章" in chapter.title and "】" not in chapter.title for chapter in book.chapters)
    assert all(chapter.blocks[-1].text == ZH.strip() for chapter in book.chapters)


def test_chapters_count_from_one_again_in_each_volume_that_their_lines_name() -> None:
    heads = [f"第{volume}卷 起 第{n}章 承" for volume in "一二" for n in "一二三"]
    assert titles(read("\n\n".join(f"{head}\n\n{ZH}" for head in heads))) == heads
    parts = [f"Part {part}, Chapter {n}" for part in ("One", "Two") for n in (1, 2, 3)]
    assert titles(read("\n\n".join(f"{head}\n\nIt went on for a while." for head in parts))) == parts
