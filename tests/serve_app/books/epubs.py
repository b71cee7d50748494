"""EPUBs for the tests, whose text exercises what a read-along has to cope with."""

from __future__ import annotations

import io
import zipfile

CONTAINER = """<?xml version="1.0"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">
<rootfiles><rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>"""

DOCTYPE_2 = (
    '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.1//EN" "http://www.w3.org/TR/xhtml11/DTD/xhtml11.dtd">'
)

ONE = """<h1>Chapter One</h1>
<p class="first">It was late. The <em>cat slept. Nobody</em> saw it!</p>
<p>He said <b>&#8220;no&#8221;</b>, twice.<br/>Then he left.</p>
<ul><li>A list. With two sentences.</li><li>And <a href="two.xhtml#later">a link</a>.</li></ul>
<table><tr><td>One</td><td>Two</td></tr></table>"""

TWO = """<h1>Chapter Two</h1>
<p id="later"><i>All of it is italic. Every word.</i></p>
<blockquote><p>Quoted   text
over two lines. It goes on.</p></blockquote>"""

OLD = """<h1 align="center"><a name="later"></a>Chapter Two</h1>
<p align="justify"><font color="red" size="+1">All of it is red. Every&nbsp;word.</font></p>
<center><p><tt>Typed.</tt> <acronym title="x">ABC</acronym> <big>grows</big>.</p></center>
<table border="1" cellpadding="2" cellspacing="0" summary="no" width="90%"><tr valign="top">
<td width="10" align="left" nowrap="nowrap"><img src="cover.jpg" alt="A drawing of a cat" border="0" align="left" /></td>
<td><p>In a cell. With more.</p><p>And more.</p></td></tr></table>
<hr size="1" width="50%" noshade="noshade" />"""


def _epub3_document(title: str, body: str) -> str:
    return f"""<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops" lang="en" xml:lang="en">
<head><title>{title}</title><link rel="stylesheet" type="text/css" href="style.css"/></head>
<body><section epub:type="chapter">{body}</section></body></html>"""


def _epub2_document(title: str, body: str) -> str:
    return f"""<?xml version="1.0" encoding="utf-8"?>
{DOCTYPE_2}
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en">
<head><meta http-equiv="Content-Type" content="application/xhtml+xml; charset=utf-8" /><title>{title}</title>
<link rel="stylesheet" type="text/css" href="style.css" /></head>
<body bgcolor="white">{body}</body></html>"""


OPF_3 = """<?xml version="1.0" encoding="utf-8"?>
<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="uid" xml:lang="en">
<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">
<dc:identifier id="uid">urn:isbn:9780000000002</dc:identifier><dc:title>A Book</dc:title><dc:language>en</dc:language>
<dc:creator>Ann Author</dc:creator><meta property="dcterms:modified">2020-01-01T00:00:00Z</meta></metadata>
<manifest><item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>
<item id="one" href="one.xhtml" media-type="application/xhtml+xml"/>
<item id="two" href="two.xhtml" media-type="application/xhtml+xml"/>
<item id="style" href="style.css" media-type="text/css"/>
<item id="cover" href="cover.jpg" media-type="image/jpeg" properties="cover-image"/></manifest>
<spine><itemref idref="one"/><itemref idref="two"/></spine></package>"""

OPF_2 = """<?xml version="1.0" encoding="utf-8"?>
<package xmlns="http://www.idpf.org/2007/opf" version="2.0" unique-identifier="uid">
<metadata xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:opf="http://www.idpf.org/2007/opf">
<dc:identifier id="uid" opf:scheme="ISBN">urn:isbn:9780000000002</dc:identifier><dc:title>A Book</dc:title>
<dc:language>en</dc:language><dc:creator opf:role="aut" opf:file-as="Author, Ann">Ann Author</dc:creator>
<dc:date opf:event="publication">1999-01-02</dc:date><dc:date opf:event="modification">2001-01-02</dc:date>
<meta name="cover" content="cover"/></metadata>
<manifest><item id="ncx" href="toc.ncx" media-type="application/x-dtbncx+xml"/>
<item id="one" href="one.xhtml" media-type="application/xhtml+xml"/>
<item id="two" href="two.xhtml" media-type="application/xhtml+xml"/>
<item id="style" href="style.css" media-type="text/css"/>
<item id="lost" href="lost.css" media-type="text/css"/>
<item id="cover" href="cover.jpg" media-type="image/jpeg"/></manifest>
<spine toc="ncx"><itemref idref="one"/><itemref idref="two"/></spine>
<guide><reference type="text" title="Text" href="one.xhtml"/></guide></package>"""

NAV = _epub3_document(
    "Contents",
    '<nav epub:type="toc"><ol><li><a href="one.xhtml">Chapter One</a></li><li><a href="two.xhtml">Chapter Two</a></li>'
    "</ol></nav>",
)

NCX = """<?xml version="1.0" encoding="utf-8"?>
<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/" version="2005-1"><head>
<meta name="dtb:uid" content="urn:isbn:9780000000002"/><meta name="dtb:depth" content="2"/>
<meta name="dtb:totalPageCount" content="0"/><meta name="dtb:maxPageNumber" content="0"/></head>
<docTitle><text>A Book</text></docTitle><navMap>
<navPoint id="n1" playOrder="1"><navLabel><text>Chapter One</text></navLabel><content src="one.xhtml"/>
<navPoint id="n2" playOrder="2"><navLabel><text>Chapter Two</text></navLabel><content src="two.xhtml#later"/></navPoint>
</navPoint></navMap></ncx>"""

STYLE = "p { text-indent: 1em; }\n.first { text-indent: 0; }\n"


def epub3(cover: bytes, **documents: str) -> bytes:
    """documents: the body of one or two."""
    bodies = {"one": ONE, "two": TWO} | documents
    files = {f"{name}.xhtml": _epub3_document(name, body) for name, body in bodies.items()}
    return _packed(OPF_3, files | {"nav.xhtml": NAV}, cover)


def epub2(cover: bytes, **documents: str) -> bytes:
    bodies = {"one": ONE, "two": OLD} | documents
    files = {f"{name}.xhtml": _epub2_document(name, body) for name, body in bodies.items()}
    return _packed(OPF_2, files | {"toc.ncx": NCX}, cover)


def _packed(package: str, files: dict[str, str], cover: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
        archive.writestr("META-INF/container.xml", CONTAINER)
        archive.writestr("OEBPS/book.opf", package)
        archive.writestr("OEBPS/style.css", STYLE)
        archive.writestr("OEBPS/cover.jpg", cover)
        for name, text in files.items():
            archive.writestr(f"OEBPS/{name}", text)
    return out.getvalue()
