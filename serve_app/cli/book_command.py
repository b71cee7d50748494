"""The command `chorale book`: makes an audiobook, or prints the chapters of a book."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer import Argument, Option

from deployments.contract.errors import InvalidInput
from serve_app.cli.common import Config, Model, plain_errors, print_table, settings_and_name


def book(
    ctx: typer.Context,
    file: Annotated[Path, Argument(help="An EPUB, or a .txt or .md file.")],
    out: Annotated[
        Path | None, Option("--out", "-o", help="The audiobook: .m4b, .mp3, .opus, .flac or .wav.")
    ] = None,
    list_: Annotated[bool, Option("--list", help="Print the chapters and exit.")] = False,
    json: Annotated[bool, Option("--json", help="Print the chapters as JSON.")] = False,
    voice: Annotated[str | None, Option(help="The name of a voice; `chorale voices` lists them.")] = None,
    chapters: Annotated[
        str | None, Option(help="Chapter indices from --list, such as 0,2-5; default: the included ones.")
    ] = None,
    seed: Annotated[int, Option(help="The same seed gives the same samples.", min=0)] = 0,
    speed: Annotated[float, Option(help="0.25 to 4; 2 is twice as fast.", min=0.25, max=4.0)] = 1.0,
    language: Annotated[str | None, Option(help="Default: detected from the text.")] = None,
    per_chapter: Annotated[bool, Option("--per-chapter", help="Write one file per chapter.")] = False,
    read_along: Annotated[
        bool, Option("--read-along", help="Also write an EPUB that highlights the spoken text.")
    ] = False,
    cover: Annotated[Path | None, Option(help="A JPEG or PNG file; default: the book's own.")] = None,
    loudness: Annotated[
        float, Option(help="Loudness of the whole book, in LUFS.", min=-40.0, max=-9.0)
    ] = -18.0,
    server: Annotated[
        str | None, Option(help="Address of a service that does the work; default: this process.")
    ] = None,
    config: Config = None,
    model: Model = None,
) -> None:
    """Make an audiobook of FILE, or print its chapters.

    After an interruption, run the same command again to continue. The model's sampling parameters are also options,
    for example --temperature 0.5.
    """
    with plain_errors():
        from serve_app.cli.book import as_json, heading, read_file, remarks, rows

        found = read_file(file)
        if not list_:
            if out is None:
                raise InvalidInput("--out FILE.m4b is required (or --list)", param="out")
            options = {
                "voice": voice, "seed": seed, "speed": speed, "language": language, "model": model,
                "chapters": chapters, "per_chapter": per_chapter, "read_along": read_along, "loudness": loudness,
                "cover": cover,
            }  # fmt: skip
            _speak_book(file, out, options, ctx.obj, server, config)
            return
    if json:
        typer.echo(as_json(found))
        return
    typer.echo(heading(found))
    print_table(("", "chapter", "characters", "included"), rows(found))
    for line in remarks(found):
        typer.echo(line, err=True)


def _speak_book(
    file: Path,
    out: Path,
    options: dict[str, Any],
    controls: dict[str, str],
    server: str | None,
    config: Path | None,
) -> None:
    """Raises the errors of `speak_here` and `speak_there`."""
    from serve_app.cli.speak_book import Wanted, speak_here, speak_there, summary

    wanted = Wanted.of(file, out, options, controls)
    console = Console(stderr=True)
    if server is not None:
        finished = speak_there(server, wanted, console)
    else:
        settings, _ = settings_and_name(config, options["model"])
        finished = speak_here(settings, wanted, console)
    for line in summary(finished, wanted):
        typer.echo(line)
