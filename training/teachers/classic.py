"""The classic synthesisers that our voices are trained on, behind `Teacher.say`. All are Debian programs.

flite reports its phones and their end times. RHVoice, Pico and Festival do not: their phones come from flite's reading
of the text, and the times from our own aligner.
"""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile
import soxr

from training.utterances import RATE


@dataclass(frozen=True)
class Said:
    """A teacher's speech. ends[i]: the end of phones[i] in seconds; None if the teacher does not report it."""

    waveform: np.ndarray  # (N,) float32 at RATE
    phones: list[str]
    ends: np.ndarray | None


@dataclass(frozen=True)
class Teacher:
    """name: of the speaker. f0: the median in Hz. options: of the synthesiser."""

    name: str
    f0: float
    program: str = "flite"
    voice: str = ""
    steers: bool = True  # can change its F0
    options: tuple[str, ...] = field(default=())

    def say(self, text: str, pace: float = 1.0, pitch: float = 1.0) -> Said:
        """pace: 1.1 is a tenth faster. pitch: a factor of F0, if `steers`.

        Raises subprocess.CalledProcessError if the program fails, ValueError if it produces no sound.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "said.wav"
            tell = _PROGRAMS[self.program](self, text, pace, pitch, path)
            try:
                waveform, rate = soundfile.read(path, dtype="float32")
            except soundfile.LibsndfileError as error:  # some voices produce nothing for some texts
                raise ValueError(f"{self.name} produces no sound for {text!r}") from error
        waveform = soxr.resample(waveform, rate, RATE) if rate != RATE else waveform
        phones, ends = tell if tell is not None else (read(text), None)
        return Said(waveform, phones, ends)


def read(text: str) -> list[str]:
    """flite's phones for a text."""
    run = _run("flite", "-voice", "kal16", "-ps", "-t", text, "-o", "none")
    return run.split()


def _run(*command: str, stdin: str | None = None) -> str:
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=True).stdout


def _flite(
    teacher: Teacher, text: str, pace: float, pitch: float, path: Path
) -> tuple[list[str], np.ndarray]:
    options = ["--setf", f"duration_stretch={1 / pace:.3f}"]
    if pitch != 1.0:
        options += ["--setf", f"int_f0_target_mean={teacher.f0 * pitch:.1f}"]
    output = _run("flite", "-voice", teacher.voice, *options, "-psdur", "-t", text, "-o", str(path))
    pairs = [item.rsplit(":", 1) for item in output.split()]
    return [phone for phone, _ in pairs], np.array([float(end) for _, end in pairs])


def _rhvoice(teacher: Teacher, text: str, pace: float, pitch: float, path: Path) -> None:
    options = ["-p", teacher.voice, "-r", f"{100 * pace:.0f}", "-t", f"{100 * pitch:.0f}", "-o", str(path)]
    _run("RHVoice-test", *options, stdin=text + "\n")


def _pico(teacher: Teacher, text: str, pace: float, pitch: float, path: Path) -> None:
    plain = text.replace("&", " and ").replace("<", " ").replace(">", " ")
    marked = f'<pitch level="{100 * pitch:.0f}"><speed level="{100 * pace:.0f}">{plain}</speed></pitch>'
    _run("pico2wave", "-l", teacher.voice, "-w", str(path), marked)


def _festival(teacher: Teacher, text: str, pace: float, pitch: float, path: Path) -> None:
    script = f"(begin ({teacher.voice}) (Parameter.set 'Duration_Stretch {1 / pace:.3f}))"
    _run("text2wave", "-eval", script, "-o", str(path), stdin=text + "\n")


_PROGRAMS = {"flite": _flite, "rhvoice": _rhvoice, "pico": _pico, "festival": _festival}

TEACHERS = {
    teacher.name: teacher
    for teacher in (
        Teacher("rms", 101, voice="rms", steers=False),
        Teacher("slt", 171, voice="slt"),
        Teacher("awb", 129, voice="awb"),
        Teacher("kal", 89, voice="kal16"),
        Teacher("alan", 135, "rhvoice", "alan"),  # the same man as awb, so not an unseen speaker
        Teacher("bdl", 119, "rhvoice", "bdl"),
        Teacher("clb", 179, "rhvoice", "clb"),
        Teacher("hslt", 171, "rhvoice", "slt"),
        Teacher("lh", 163, "pico", "en-US"),
        Teacher("kh", 174, "pico", "en-GB"),
    )
}
# Never used in training: unseen speakers, whose voices the judges clone. Some are voices for other languages that read
# English by the rules of their own.
STRANGERS = {
    teacher.name: teacher
    for teacher in (
        Teacher("evgeniy", 109, "rhvoice", "evgeniy-eng"),
        Teacher("lyubov", 216, "rhvoice", "lyubov"),
        Teacher("natan", 141, "rhvoice", "natan"),
        Teacher("magda", 197, "rhvoice", "magda"),
        Teacher("anatol", 125, "rhvoice", "anatol"),
        Teacher("leticia", 220, "rhvoice", "Leticia-F123"),
        Teacher("spomenka", 153, "rhvoice", "spomenka"),
        Teacher("ked", 100, "festival", "voice_ked_diphone", steers=False),
        Teacher("rab", 100, "festival", "voice_rab_diphone", steers=False),
        Teacher("machac", 75, "festival", "voice_czech_machac", steers=False),
        Teacher("dita", 219, "festival", "voice_czech_dita", steers=False),
        Teacher("lp", 205, "festival", "voice_lp_diphone", steers=False),
        Teacher("el", 126, "festival", "voice_el_diphone", steers=False),
        Teacher("lj", 162, "festival", "voice_suo_fi_lj_diphone", steers=False),
    )
}
