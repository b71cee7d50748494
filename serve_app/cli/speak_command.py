"""The command `chorale speak`: speaks a text into a file, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from deployments.contract.controls import parsed
from deployments.contract.errors import InvalidInput
from serve_app.cli.common import Config, Model, plain_errors, print_table, settings_and_name

if TYPE_CHECKING:
    import numpy as np


def speak(
    ctx: typer.Context,
    text: Annotated[str, Argument(help="The text to speak.")],
    voice: Annotated[str | None, Option(help="The name of a voice; `chorale voices` lists them.")] = None,
    reference: Annotated[Path | None, Option(help="A recording to clone the voice from.")] = None,
    transcript: Annotated[str | None, Option(help="The text spoken in it, if the model needs it.")] = None,
    out: Annotated[Path, Option(help="The file: .wav, .mp3, .opus, .aac or .flac.")] = Path("speech.wav"),
    seed: Annotated[int | None, Option(help="The same seed gives the same samples; default: random.")] = None,
    speed: Annotated[float, Option(help="0.25 to 4; 2 is twice as fast.")] = 1.0,
    language: Annotated[str | None, Option(help="Default: detected from the text.")] = None,
    sample_rate: Annotated[int, Option(help="Sample rate of the file in Hz, 16000 to 48000.")] = 24_000,
    config: Config = None,
    model: Model = None,
) -> None:
    """Speak TEXT into a file, in this process, without Ray.

    The model's sampling parameters are also options, for example --temperature 0.5; docs/http.md lists them.
    """
    with plain_errors():
        _check(text, voice=voice, seed=seed, speed=speed, language=language)
        if voice is not None and reference is not None:
            raise InvalidInput("--voice and --reference are mutually exclusive", param="reference")
        format = _format(out)
        recording = None if reference is None else reference.read_bytes()
        from deployments.assembly import load_family
        from serve_app.audio.encode import check_rate
        from serve_app.audio.examine import WARNINGS
        from serve_app.cli.speaker import Speaker

        check_rate(format, sample_rate)
        settings, name = settings_and_name(config, model)
        spec = load_family(settings.options(name)).spec
        controls = parsed(spec.controls, ctx.obj)
        spec.sampling(controls, name)  # an invalid one is rejected before the weights are loaded
        fields = {"transcript": transcript, "language": language, "seed": seed, "speed": speed}
        with Speaker(settings, name) as speaker:
            spoken = speaker.say(text, voice, recording, controls=controls, whole=True, **fields)
        _write(out, format, spoken.waveform, spoken.rate, sample_rate)
    times = [f"{seconds:.2f} s" for seconds in (spoken.seconds, speaker.load_s, spoken.total_s)]
    row = (str(out), spoken.voice, str(spoken.seed), *times, f"{spoken.rtf:.2f}")
    print_table(("file", "voice", "seed", "audio", "loaded in", "spoken in", "RTF"), [row])
    for warning in spoken.warnings:
        typer.echo(f"The recording was used, but {WARNINGS[warning]}.", err=True)
    if spoken.faults.retried:
        typer.echo(f"Segments retried with another seed: {spoken.faults.retried}.", err=True)
    if spoken.faults.cut:
        typer.echo(f"Segments cut off because the model failed: {spoken.faults.cut}.", err=True)


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
