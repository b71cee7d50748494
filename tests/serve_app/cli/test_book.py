"""chorale book --list: what was found in a file."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from serve_app.cli.main import app
from tests.books import novel


def book(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["book", *map(str, words)], catch_exceptions=False)


def test_the_list_shows_chapters_and_why_some_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "book.epub"
    file.write_bytes(novel(3, 3000).build())
    result = book(file, "--list")
    assert result.exit_code == 0 and "A Test Book by Ann Author [en]" in result.stdout
    assert "no: copyright" in result.stdout and "Chapter 3" in result.stdout
    assert "3 of 5 chapters are included" in result.stderr


def test_json_is_the_answer_of_a_dry_run(tmp_path: Path) -> None:
    file = tmp_path / "book.md"
    file.write_text("# One\n\nText.\n\n# Two\n\nMore.\n")
    found = json.loads(book(file, "--list", "--json").stdout)
    assert found["title"] == "book" and found["warnings"] == []
    assert found["chapters"][1] == {
        "index": 1,
        "title": "Two",
        "characters": 8,
        "included": True,
        "reason": None,
    }


def test_a_wrong_file_is_one_line_on_stderr(tmp_path: Path) -> None:
    file = tmp_path / "book.epub"
    file.write_bytes(b"not a book")
    for result in (book(file, "--list"), book(tmp_path / "none.epub", "--list")):
        assert (
            result.exit_code == 2 and result.stderr.count("\n") == 1 and result.stderr.startswith("chorale: ")
        )
