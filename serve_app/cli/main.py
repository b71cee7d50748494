"""The command line. Only `serve` or a config file imports Ray; only commands that speak import torch."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from typer import Argument, Option
from typer.core import TyperCommand

from deployments.contract.controls import parsed
from deployments.contract.errors import CheckpointError, ChoraleError, InvalidInput

if TYPE_CHECKING:
    import numpy as np

    from serve_app.config.settings import Settings

app = typer.Typer(
    name="chorale",
    help="Text to speech, in this process or as a Ray Serve application.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
FAULT = 2  # exit code of errors that the user can fix
Config = Annotated[Path | None, Option(help="A Serve config file that sets the models and their options.")]
Model = Annotated[
    str | None, Option(help="The name of a model of the config file; default: its default one.")
]


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Errors that the user can fix take one line on stderr. Others are bugs and keep their traceback."""
    try:
        yield
    except (ChoraleError, OSError) as error:
        text = error.message if isinstance(error, ChoraleError) else str(error)
        if isinstance(error, OSError) and error.filename:
            text = f"{error.filename}: {error.strerror}"
        typer.echo(f"chorale: {'; '.join(text.splitlines())}", err=True)
        raise typer.Exit(FAULT) from None


class WithControls(TyperCommand):
    """A command that also takes `--NAME VALUE` for each sampling parameter of the model."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Moves undeclared options to `ctx.obj`, as text: the configuration decides which exist."""
        own = {name for param in self.get_params(ctx) for name in (*param.opts, *param.secondary_opts)}
        rest, ctx.obj = [], {}
        words = iter(args)
        for word in words:
            name, equals, value = word.partition("=")
            if not name.startswith("--") or name in own or name == "--":
                rest.append(word)
            else:
                ctx.obj[name[2:].replace("-", "_")] = value if equals else next(words, "")
        return super().parse_args(ctx, rest)


@app.command(cls=WithControls)
def speak(
    ctx: typer.Context,
    text: Annotated[str, Argument(help="The text to speak.")],
    voice: Annotated[str | None, Option(help="The name of a voice; `chorale voices` lists them.")] = None,
    reference: Annotated[Path | None, Option(help="A recording to clone the voice from.")] = None,
    transcript: Annotated[str | None, Option(help="The text spoken in it, if the model needs it.")] = None,
    out: Annotated[Path, Option(help="The file: .wav, .mp3, .opus, .aac or .flac.")] = Path("speech.wav"),
    seed: Annotated[int | None, Option(help="The same one gives the same samples; default: random.")] = None,
    speed: Annotated[float, Option(help="0.25 to 4; 2 is twice as fast.")] = 1.0,
    language: Annotated[str | None, Option(help="Default: detected from the text.")] = None,
    sample_rate: Annotated[int, Option(help="Of the file, in Hz: 16000 to 48000.")] = 24_000,
    config: Config = None,
    model: Model = None,
) -> None:
    """Speak TEXT into a file, in this process, without Ray.

    The model's sampling parameters are options too, for example --temperature 0.5; docs/http.md lists them.
    """
    with _plain_errors():
        _check(text, voice=voice, seed=seed, speed=speed, language=language)
        if voice is not None and reference is not None:
            raise InvalidInput("--voice and --reference are mutually exclusive", param="reference")
        format = _format(out)
        recording = None if reference is None else reference.read_bytes()
        from deployments.assembly import load_family
        from serve_app.audio.encode import check_rate
        from serve_app.audio.examine import WARNINGS
        from serve_app.cli.speaker import Speaker
        from serve_app.config.document import check_models

        check_rate(format, sample_rate)
        settings = _settings(config)
        name = settings.name(model)
        if name in (broken := check_models(settings, config)):
            raise CheckpointError(broken[name])
        spec = load_family(settings.options(name)).spec
        controls = parsed(spec.controls, ctx.obj)
        spec.sampling(controls, name)  # a wrong one is refused before the weights are loaded
        fields = {"transcript": transcript, "language": language, "seed": seed, "speed": speed}
        with Speaker(settings, name) as speaker:
            spoken = speaker.say(text, voice, recording, controls=controls, whole=True, **fields)
        _write(out, format, spoken.waveform, spoken.rate, sample_rate)
    times = [f"{seconds:.2f} s" for seconds in (spoken.seconds, speaker.load_s, spoken.total_s)]
    row = (str(out), spoken.voice, str(spoken.seed), *times, f"{spoken.rtf:.2f}")
    _print(("file", "voice", "seed", "audio", "loaded in", "spoken in", "RTF"), [row])
    for warning in spoken.warnings:
        typer.echo(f"The recording was used, but {WARNINGS[warning]}.", err=True)
    if spoken.faults.retried:
        typer.echo(f"Segments retried with another seed: {spoken.faults.retried}.", err=True)
    if spoken.faults.cut:
        typer.echo(f"Segments cut off because the model failed: {spoken.faults.cut}.", err=True)


@app.command()
def read(
    text: Annotated[str, Argument(help="The text to read.")],
    language: Annotated[str | None, Option(help="Default: detected from the text.")] = None,
    phones: Annotated[bool, Option("--phones", help="Print the phones, too.")] = False,
    as_json: Annotated[bool, Option("--json", help="Print a JSON list of segments.")] = False,
    model: Model = None,
    config: Config = None,
) -> None:
    """Print what will be said for TEXT: segments, spoken words and pauses."""
    with _plain_errors():
        from serve_app.cli.read import as_lines, readings

        found = readings(_settings(config).options(model), text, language)
    for line in [json.dumps(found, ensure_ascii=False, indent=1)] if as_json else as_lines(found, phones):
        typer.echo(line)


@app.command()
def serve(
    config: Annotated[Path | None, Option(help="A Serve config file; default: configs/default.yaml.")] = None,
    host: Annotated[str | None, Option(help="Overrides the file; default: 127.0.0.1.")] = None,
    port: Annotated[int | None, Option(help="Overrides the file; default: 8000.", min=1, max=65535)] = None,
) -> None:
    """Start the application on Ray and run until SIGINT or SIGTERM."""
    with _plain_errors():
        from serve_app.runtime.application import serve_forever

        code = serve_forever(config, host, port, echo=lambda line: print(line, flush=True))
    raise typer.Exit(code)


@app.command()
def check(
    config: Config = None,
    model: Annotated[str | None, Option(help="The name of one model; default: all of the file.")] = None,
) -> None:
    """Check this machine: devices, precision, models, memory, seeds. Exit code 1 if something fails."""
    with _plain_errors():
        from serve_app.cli.check import report
        from serve_app.config.document import check_models

        settings = _settings(config)
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
    with _plain_errors():
        import yaml

        from serve_app.config.applications import expanded
        from serve_app.config.file import load_config

        document = expanded(*load_config(config))
    typer.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), nl=False)


@app.command()
def voices(config: Config = None) -> None:
    """List the available voices."""
    with _plain_errors():
        from serve_app.service import SHIPPED_VOICES
        from serve_app.voices.library import VoiceLibrary

        library = VoiceLibrary(SHIPPED_VOICES, _settings(config).data / "voices")
        rows = []
        for voice in library.list():
            about = [each or "" for each in (voice.language, voice.gender, voice.description)]
            source, aliases = "shipped" if voice.shipped else "upload", ", ".join(library.aliases_of(voice))
            rows.append((voice.name, *about, source, aliases))
    _print(("voice", "language", "", "description", "from", "also as"), rows)


@app.callback(invoke_without_command=True)
def _root(
    show_version: Annotated[bool, Option("--version", help="Print the version.", is_eager=True)] = False,
    verbose: Annotated[bool, Option("--verbose", "-v", help="Log which options are chosen and why.")] = False,
) -> None:
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(name)s: %(message)s")
    if show_version:
        typer.echo(version("chorale"))
        raise typer.Exit


def _settings(config: Path | None) -> Settings:
    """From the file and the environment, or from the environment alone."""
    from serve_app.config.settings import Settings

    if config is None:
        return Settings.from_args(None)
    from serve_app.config.file import load_config

    return load_config(config)[1]


def _check(text: str, **fields: object) -> None:
    """The same rules as over HTTP. Raises InvalidInput."""
    from pydantic import ValidationError

    from serve_app.http.schemas import SpeechBody

    try:
        SpeechBody.model_validate({"model": "local", "input": text, **fields})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).replace("input", "text")
        raise InvalidInput(f"{name}: {first['msg'].removeprefix('Value error, ')}", param=name) from None


def _format(out: Path) -> str:
    from serve_app.audio.encode import MEDIA_TYPES

    format = out.suffix.lower().removeprefix(".")
    if format not in MEDIA_TYPES:
        endings = ", ".join(f".{name}" for name in MEDIA_TYPES)
        raise InvalidInput(f"--out {out}: must end in one of {endings}", param="out")
    if out.is_dir():
        raise InvalidInput(f"--out {out}: is a folder", param="out")
    out.parent.mkdir(parents=True, exist_ok=True)
    return format


def _write(out: Path, format: str, samples: np.ndarray, source_rate: int, rate: int) -> None:
    from serve_app.audio.encode import encode_wav, open_encoder

    if format == "wav":
        out.write_bytes(encode_wav(samples, source_rate, rate))
    else:
        encoder = open_encoder(format, source_rate, rate=rate, streamed=False)
        out.write_bytes(encoder.encode(samples) + encoder.finish())


def _print(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(width=None if Console().is_terminal else 160).print(table)


def main() -> None:
    app()


if __name__ == "__main__":
    main()
