"""A book's metadata under the names that FFmpeg gives the tags of each container."""

from __future__ import annotations

from serve_app.books.book import About

AUDIOBOOK = "2"  # iTunes' media type; players sort by it


def tags(about: About, format: str) -> dict[str, str]:
    """The tags of a file that holds a whole book.

    The title is also the `album`, because audiobook players show that. The narrator is the `composer`:
    the containers have no other field that players read.
    """
    authors = ", ".join(about.authors)
    found = {
        "title": about.title,
        "album": about.title,
        "artist": authors,
        "album_artist": authors,
        "composer": about.narrator,
        "date": about.date,
        "genre": "; ".join(about.genres) or "Audiobook",
        "description": about.description,
    }
    if format == "m4b":
        found |= {
            "synopsis": about.description,
            "grouping": _grouping(about),
            "show": about.series,
            "episode_id": about.part if about.series else "",
            "media_type": AUDIOBOOK,
            "gapless_playback": "1",
        }
    elif format == "wav":
        found |= {"comment": about.description, "language": about.language or ""}
    else:
        found |= freeform(about)
    return _present(found)


def chapter_tags(about: About, format: str, title: str, number: int, count: int) -> dict[str, str]:
    """The tags of a file with one chapter: number `number` of `count`."""
    return tags(about, format) | {"title": title, "track": f"{number}/{count}"}


def freeform(about: About) -> dict[str, str]:
    """Values for which MP4 has no atom, under the names that Audiobookshelf and Mp3tag read."""
    series = {"series": about.series, "series-part": about.part if about.series else ""}
    return _present(
        series
        | {
            "isbn": about.isbn,
            "language": about.language or "",
            "publisher": about.publisher,
        }
    )


def _grouping(about: About) -> str:
    return f"{about.series} #{about.part}" if about.series and about.part else about.series


def _present(values: dict[str, str]) -> dict[str, str]:
    """Drops empty values, and control characters, which end a value in some containers."""
    clean = {k: "".join(c if c.isprintable() or c == "\n" else " " for c in v) for k, v in values.items()}
    return {key: value.strip() for key, value in clean.items() if value.strip()}
