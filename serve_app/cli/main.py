"""The command line. Only `serve` or a config file imports Ray; only commands that speak import torch."""

from __future__ import annotations

import json
import logging
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from typer import Argument, Option

from deployments.contract.errors import CheckpointError
from serve_app.cli.book_command import book
from serve_app.cli.common import Config, Model, WithControls, plain_errors, print_table, settings_of
from serve_app.cli.job_commands import jobs
from serve_app.cli.speak_command import speak

app = typer.Typer(
    name="chorale",
    help="Text to speech, in this process or as a Ray Serve application.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command(cls=WithControls)(speak)


@app.command()
def read(
    text: Annotated[str, Argument(help="The text to read.")],
    language: Annotated[str | None, Option(help="Default: detected from the text.")] = None,
    phones: Annotated[bool, Option("--phones", help="Also print the phones.")] = False,
    as_json: Annotated[bool, Option("--json", help="Print a JSON list of segments.")] = False,
    model: Model = None,
    config: Config = None,
) -> None:
    """Print what will be said for TEXT: segments, spoken words and pauses."""
    with plain_errors():
        from serve_app.cli.read import as_lines, readings

        found = readings(settings_of(config).options(model), text, language)
    for line in [json.dumps(found, ensure_ascii=False, indent=1)] if as_json else as_lines(found, phones):
        typer.echo(line)


app.command(cls=WithControls)(book)


@app.command()
def serve(
    config: Annotated[Path | None, Option(help="A Serve config file; default: configs/default.yaml.")] = None,
    host: Annotated[str | None, Option(help="Overrides the file; default: 127.0.0.1.")] = None,
    port: Annotated[int | None, Option(help="Overrides the file; default: 8000.", min=1, max=65535)] = None,
) -> None:
    """Start the application on Ray and run until SIGINT or SIGTERM."""
    with plain_errors():
        from serve_app.runtime.application import serve_forever

        code = serve_forever(config, host, port, echo=lambda line: print(line, flush=True))
    raise typer.Exit(code)


@app.command()
def check(
    config: Config = None,
    model: Annotated[
        str | None, Option(help="Check only this model; default: all models of the file.")
    ] = None,
) -> None:
    """Check this machine: devices, precision, models, memory, seeds. Exit code 1 if something fails."""
    with plain_errors():
        from serve_app.cli.check import report
        from serve_app.config.document import check_models

        settings = settings_of(config)
        models = list(settings.served) if model is None else [settings.name(model)]
        broken = check_models(settings, config)
        if len(models) == 1 and models[0] in broken:
            raise CheckpointError(broken[models[0]])
        sound = report(settings, models, Console(), broken)
    raise typer.Exit(0 if sound else 1)


@app.command(name="config")
def print_config(
    config: Annotated[Path, Argument(help="A Serve config file with everything in one application.")],
) -> None:
    """Print FILE as `chorale serve` deploys it: an application for the ingress and one for each model.

    For `serve deploy` and KubeRay, so that a changed model restarts alone. The environment's CHORALE_ variables take
    precedence.
    """
    with plain_errors():
        import yaml

        from serve_app.config.applications import expanded
        from serve_app.config.file import load_config

        document = expanded(*load_config(config))
    typer.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), nl=False)


@app.command()
def voices(config: Config = None) -> None:
    """List the available voices."""
    with plain_errors():
        from serve_app.service import SHIPPED_VOICES
        from serve_app.voices.library import VoiceLibrary

        library = VoiceLibrary(SHIPPED_VOICES, settings_of(config).data / "voices")
        rows = []
        for voice in library.list():
            about = [each or "" for each in (voice.language, voice.gender, voice.description)]
            source, aliases = "shipped" if voice.shipped else "upload", ", ".join(library.aliases_of(voice))
            rows.append((voice.name, *about, source, aliases))
    print_table(("voice", "language", "", "description", "from", "also as"), rows)


@app.command()
def key(
    name: Annotated[
        str, Argument(help="Whose key it is: lower-case letters, digits, and - . _ between them.")
    ],
    admin: Annotated[bool, Option("--admin", help="May also delete voices and free caches.")] = False,
) -> None:
    """Make an API key for NAME. Print it once, with the lines for the config file, which has only its hash."""
    with plain_errors():
        import secrets

        from serve_app.config.access import hashed
        from serve_app.config.settings import Settings

        made = f"sk-chorale-{secrets.token_urlsafe(32)}"
        fields: dict[str, str | bool] = {"hash": hashed(made)} | ({"admin": True} if admin else {})
        Settings.from_args({"access": {"keys": {name: fields}}}, {})  # checks the name
    typer.echo(made)
    typer.echo(f"\n      access:\n        keys:\n          {name}:", err=True)
    for field, value in fields.items():
        typer.echo(f"            {field}: {str(value).lower()}", err=True)


@app.callback(invoke_without_command=True)
def _root(
    show_version: Annotated[bool, Option("--version", help="Print the version.", is_eager=True)] = False,
    verbose: Annotated[bool, Option("--verbose", "-v", help="Log which options are chosen and why.")] = False,
) -> None:
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(name)s: %(message)s")
    if show_version:
        typer.echo(version("chorale"))
        raise typer.Exit


app.add_typer(jobs, name="jobs")


def main() -> None:
    app()


if __name__ == "__main__":
    main()
