"""Two EPUBs whose markup exercises what a read-along has to cope with: one of EPUB 3, and an old-fashioned one."""

from __future__ import annotations

from tests.books import Epub, Page

STYLE = "p { text-indent: 1em; }\n.first { text-indent: 0; }\n"

ONE = """<section><h1>Chapter One</h1>
<p class="first">It was late. The <em id="e">cat slept. Nobody</em> saw it!</p>
<p>He said <b>&#8220;no&#8221;</b>, twice.<br/>Then he left.</p>
<ul><li>A list. With two sentences.</li><li>And <a href="two.xhtml#later">a link</a>.</li></ul>
<table><tr><td>One</td><td>Two</td></tr></table></section>"""

TWO = """<h1>Chapter Two</h1>
<p id="later"><i>All of it is italic. Every word.</i></p>
<p id="s1">The <ruby>dog<rt>x</rt></ruby> barked. Again.</p>
<blockquote><p>Quoted   text
over two lines. It goes on.</p></blockquote>"""

OLD = """<h1 align="center"><a name="later"></a>Chapter Two</h1>
<p align="justify"><font color="red" size="+1">All of it is red. Every&nbsp;word.</font></p>
<center><p><tt>Typed.</tt> <acronym title="x">ABC</acronym> <big>grows</big>.</p></center>
<table border="1" cellpadding="2" cellspacing="0" summary="no" width="90%"><tr valign="top">
<td width="10" align="left" nowrap="nowrap"><img src="cover.jpg" alt="A drawing of a cat" border="0" align="left"/></td>
<td><p>In a cell. With more.</p><p>And more.</p></td></tr></table>
<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"><rect width="5" height="5"/></svg>
<hr size="1" width="50%" noshade="noshade" />"""

MANIFEST = """<item id="style" href="style.css" media-type="text/css"/>
<item id="cover" href="cover.jpg" media-type="image/jpeg"{}/>"""

OLD_METADATA = """<dc:creator opf:role="aut" opf:file-as="Author, Ann">Ann Author</dc:creator>
<dc:date opf:event="publication">1999-01-02</dc:date><dc:date opf:event="modification">2001-01-02</dc:date>
<meta name="cover" content="cover"/>"""


def epub3(cover: bytes) -> Epub:
    return Epub(
        pages=[Page(ONE, "Chapter One", "one.xhtml"), Page(TWO, "Chapter Two", "two.xhtml")],
        manifest=MANIFEST.format(' properties="cover-image"'),
        files=_files(cover),
    )


def epub2(cover: bytes) -> Epub:
    """With a file in its manifest that is not there."""
    pages = [
        Page("", title, name, raw=_old_document(title, body))
        for title, name, body in (("Chapter One", "one.xhtml", ONE), ("Chapter Two", "two.xhtml", OLD))
    ]
    pages[0].raw = (pages[0].raw or b"").replace(b"section>", b"div>")
    return Epub(
        pages=pages,
        version=2,
        metadata=OLD_METADATA,
        entries=[("Chapter One", "one.xhtml", [("Chapter Two", "two.xhtml#later", [])])],
        guide='<reference type="text" title="Text" href="one.xhtml"/>',
        manifest=MANIFEST.format("") + '<item id="lost" href="lost.css" media-type="text/css"/>',
        files=_files(cover),
    )


def _files(cover: bytes) -> dict[str, bytes]:
    return {"OEBPS/style.css": STYLE.encode(), "OEBPS/cover.jpg": cover}


def _old_document(title: str, body: str) -> bytes:
    return f"""<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.1//EN" "http://www.w3.org/TR/xhtml11/DTD/xhtml11.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en">
<head><meta http-equiv="Content-Type" content="application/xhtml+xml; charset=utf-8" /><title>{title}</title>
<link rel="stylesheet" type="text/css" href="style.css" /></head>
<body bgcolor="white">{body}</body></html>""".encode()
