"""The README's snippets work."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from serve_app.cli.demo import SENTENCES, speak_all

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
BLOCK = re.compile(r"<!-- run: (\w+) -->\n```(\w+)\n(.*?)```", re.DOTALL)
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def snippets(kind: str) -> list[tuple[str, str]]:
    """(language, text) of the snippets with this mark, in order."""
    return [(language, text) for marked, language, text in BLOCK.findall(README) if marked == kind]


def run(language: str, text: str, folder: Path, **environ: str) -> None:
    beside = Path(sys.executable).parent
    command = {"bash": ["bash", "-euo", "pipefail", "-c", text], "python": [sys.executable, "-c", text]}[
        language
    ]
    path = f"{beside}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": path, **environ},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"


def seconds(file: Path) -> float:
    samples, rate = soundfile.read(file)
    assert abs(samples).max() > 0.01
    return len(samples) / rate


@needs_curl
def test_snippets_for_the_service(served: str, tmp_path: Path) -> None:
    found = snippets("served")
    assert {language for language, _ in found} == {"bash", "python"}
    for language, text in found:
        assert "http://127.0.0.1:8000" in text
        run(language, text.replace("http://127.0.0.1:8000", served), tmp_path)
    assert seconds(tmp_path / "morning.wav") > 1
    assert seconds(tmp_path / "mine.wav") > 0.5


def test_snippets_for_the_command_line(tmp_path: Path) -> None:
    for language, text in snippets("alone"):
        run(language, text, tmp_path, CHORALE_DATA_DIR=str(tmp_path / "data"))
    assert seconds(tmp_path / "fox.wav") > 1


def test_the_demo_speaks_in_every_shipped_voice(served: str, tmp_path: Path) -> None:
    speak_all(served, tmp_path)
    voices = [file.stem for file in (ROOT / "deployments/families/small/voices").glob("*.flac")]
    expected = {f"{voice}-{number}.wav" for voice in voices for number in range(1, len(SENTENCES["en"]) + 1)}
    assert {file.name for file in tmp_path.glob("*.wav")} == expected
    assert all(seconds(tmp_path / name) > 0.5 for name in expected)


def test_the_demo_speaks_the_sentences_of_the_readme() -> None:
    assert re.findall(r"^> (.+)$", README, re.MULTILINE) == [*SENTENCES["en"], *SENTENCES["zh"]]


def test_links_have_targets() -> None:
    for document in [ROOT / "README.md", ROOT / "benchmarks/README.md", *ROOT.glob("docs/*.md")]:
        targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text("utf-8"))
        missing = [t for t in targets if "://" not in t and not (document.parent / t).exists()]
        assert not missing, f"{document.name}: {missing}"
