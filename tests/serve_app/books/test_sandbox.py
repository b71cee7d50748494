"""The process that reads untrusted books: the same book as here, typed errors, limits, recovery."""

from __future__ import annotations

import asyncio
import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import psutil
import pytest

from deployments.contract.errors import InvalidInput
from serve_app.books.book import About
from serve_app.books.edition import Spoken, silent_edition
from serve_app.books.jail import BOOK
from serve_app.books.read import read_book
from serve_app.books.sandbox import Sandbox, _book
from serve_app.books.timeline import Timeline
from tests.books import PNG, Epub, Page, novel
from tests.serve_app.books import epubs
from tests.serve_app.books.conftest import RATE, read

NOW = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)

MARKDOWN = (
    b"---\ntitle: T\ndate: 2001-01-02\n---\n# One\n\nText.\n\n# Two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    sandbox = Sandbox()
    yield sandbox
    jail_of(sandbox).kill()


def jail_of(sandbox: Sandbox) -> psutil.Process:
    sandbox.start()
    assert sandbox._process is not None
    return psutil.Process(sandbox._process.pid)


def with_cover() -> Epub:
    item = '<item id="c" href="c.png" media-type="image/png" properties="cover-image"/>'
    return Epub([Page("<h1>One</h1><p>Text.</p>", "One")], manifest=item, files={"OEBPS/c.png": PNG})


CHINESE = "".join(
    f"第{n}回 春风得意\n\n　　天地玄黄，宇宙洪荒。日月盈昃，辰宿列张。\n\n" for n in "一二三四五"
)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (with_cover().build(), "a.epub"),
        (novel(12, 3000).build(), "b.epub"),
        (
            Epub(
                [Page("", "One", raw=b'<html><meta charset="gb2312"><p>&eacute;<b>' + "中文".encode("gbk"))]
            ).build(),
            "c.epub",
        ),
        (MARKDOWN, "d.md"),
        (b"Chapter 1\n\nOne.\n\nChapter 2\n\nTwo.\n", "e.txt"),
        (CHINESE.encode("gb18030"), "f.txt"),
        ("Глава 1\n\nПривет, это текст книги.\n\n".encode("koi8-r") * 9, "g.txt"),
        ("第一章\n\nこれはペンです。そして、あれは本です。\n\n".encode("shift_jis") * 9, "h.txt"),
        ("Une journée d’été à la plage, déjà.\n\n".encode("cp1252") * 9, "i.txt"),
        (CHINESE.encode("utf-16"), "j.txt"),
    ],
)
async def test_it_reads_like_this_process(sandbox, data, name) -> None:
    assert await sandbox.read(data, name) == read_book(data, name)


@pytest.mark.parametrize(
    ("data", "name", "code"),
    [
        (b"%PDF-1.7", "a.pdf", "unsupported_format"),
        (b"PK\3\4", "a.epub", "invalid_value"),
        (b"", "a.txt", "invalid_value"),
    ],
)
async def test_a_refusal_has_its_field_message_and_code(sandbox, data, name, code) -> None:
    with pytest.raises(InvalidInput) as here:
        read_book(data, name)
    with pytest.raises(InvalidInput) as there:
        await sandbox.read(data, name)
    assert (there.value.message, there.value.param, there.value.code) == (here.value.message, "file", code)


async def test_an_encoding_that_nobody_knows_is_no_fault(sandbox) -> None:
    document = b'<?xml version="1.0" encoding="x-unheard-of"?><html><body><p>Text.</p></body></html>'
    book = await sandbox.read(Epub([Page("", "One", raw=document)]).build(), "a.epub")
    assert book.chapters[0].blocks[0].text == "Text."


async def test_a_crash_is_reported_for_its_book_and_the_next_one_is_read(sandbox) -> None:
    long = Epub([Page("<p>" + "a<b/>" * 500_000 + "</p>", "One")], compression=zipfile.ZIP_STORED).build()
    before = jail_of(sandbox)
    task = asyncio.create_task(sandbox.read(long, "a.epub"))
    while not (children := before.children()) or children[0].cpu_times().user < 0.3:  # until it reads
        await asyncio.sleep(0.01)
    children[0].kill()
    with pytest.raises(InvalidInput, match="limits on memory or time") as caught:
        await task
    assert caught.value.param == "file"
    assert (await sandbox.read(MARKDOWN, "a.md")).about.title == "T"
    assert jail_of(sandbox).pid == before.pid


async def test_it_restarts_after_it_dies(sandbox) -> None:
    jail_of(sandbox).kill()
    assert (await sandbox.read(MARKDOWN, "a.md")).about.title == "T"


@pytest.mark.parametrize("version", ["epub2", "epub3"])
async def test_it_makes_the_edition_that_this_process_would_make(sandbox, version, cover) -> None:
    epub = getattr(epubs, version)(cover).build()
    book = replace(read_book(epub, "book.epub"), cover=None)
    book = replace(book, about=replace(book.about, narrator="Nora", title="Another"))
    timeline = read(book).layout().timeline
    there = await asyncio.to_thread(sandbox.edition, epub, Spoken(book.about, timeline, NOW))
    here = silent_edition(epub, book, timeline, NOW)
    assert there.folder == here.folder
    ours, theirs = (zipfile.ZipFile(io.BytesIO(one.data)) for one in (here, there))
    assert theirs.namelist() == ours.namelist()
    assert not [name for name in ours.namelist() if without_uuid(ours, name) != without_uuid(theirs, name)]


def without_uuid(archive: zipfile.ZipFile, name: str) -> bytes:
    return re.sub(rb"urn:uuid:[0-9a-f-]{36}", b"", archive.read(name))


async def test_an_edition_that_cannot_be_made_is_refused_by_its_field(sandbox, cover) -> None:
    epub = epubs.epub3(cover).build()
    spoken = Spoken(About("T"), Timeline(RATE, (), (), 0), NOW)
    for data in (b"PK\3\4", epub[: len(epub) // 2], b"A text."):
        with pytest.raises(InvalidInput) as caught:
            await asyncio.to_thread(sandbox.edition, data, spoken)
        assert caught.value.param == "read_along"


def test_a_malformed_answer_is_refused() -> None:
    good = BOOK.dump_json(read_book(MARKDOWN, "a.md"), exclude_defaults=True)
    assert _book(({"cover": 0}, good)) == read_book(MARKDOWN, "a.md")
    bad_kind = json.loads(good)
    bad_kind["chapters"][0]["blocks"][0]["kind"] = "x"
    number = json.loads(good)
    number["about"]["title"] = 7
    for said, data in (
        ({}, good),
        ({"cover": -1}, good),
        ({"cover": "0"}, good),
        ({"cover": len(good) + 1}, good),
        ({"cover": 3}, good),
        ({"cover": 0}, b""),
        ({"cover": 0}, json.dumps(bad_kind).encode()),
        ({"cover": 0}, json.dumps(number).encode()),
    ):
        with pytest.raises(InvalidInput):
            _book((said, data))
