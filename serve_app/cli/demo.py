"""`make demo`: the real application on Ray, spoken to over HTTP with every shipped voice. Files go to out/."""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil
from rich.console import Console
from rich.table import Table

from serve_app.audio.encode import OUTPUT_RATE, wav_header
from serve_app.runtime.ports import free_port

SENTENCES = {
    "en": (
        "Welcome to Chorale, where every voice sings its own part.",
        "On the third of May, Dr. Green paid $42.50 for two tickets to the opera.",
        "The first sound leaves while the rest of this sentence is still being thought of.",
    ),
    "zh": (
        "欢迎使用，这里的每个声音都唱着自己的旋律。",
        "5月3日，王医生花了420元，买了两张音乐会的票。",
        "后半句还在想，前半句你已经听到了。",
    ),
}
HEADER = 44  # bytes of a WAV file before its samples
READY_S = 240.0
STOP_S = 45.0

console = Console()


class Take(NamedTuple):
    """One response. first_s: time to the first byte of sound; total_s: to the last; seconds: duration of the audio."""

    first_s: float
    total_s: float
    seconds: float


class Server:
    """`chorale serve` in a separate process, with its log next to the audio."""

    def __init__(self, log: Path, config: str | None = None, env: Mapping[str, str] | None = None) -> None:
        self._log, port = log, str(free_port())
        self.http = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "serve_app.cli.main", "serve", "--port", port]
        command += ["--config", config] if config else []
        environ = {**os.environ, **(env or {})}
        with log.open("wb") as sink:
            self._process = subprocess.Popen(command, stdout=sink, stderr=subprocess.STDOUT, env=environ)

    def wait_ready(self) -> None:
        """Raises SystemExit with the end of the log if the application does not become ready."""
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(httpx.TransportError):
                if httpx.get(f"{self.http}/ready", timeout=5).status_code == 200:
                    return
            time.sleep(0.25)
        end = "\n".join(self._lines()[-30:])
        raise SystemExit(f"The application did not become ready:\n{end}")

    def dashboard(self) -> str:
        return next((line.split()[-1] for line in self._lines() if line.startswith("dashboard")), "none")

    def _lines(self) -> list[str]:
        return self._log.read_text("utf-8", "replace").splitlines()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> bool:
        """Stops the service. True if it exited cleanly and left no process."""
        if self._process.poll() is not None:
            return False
        family = psutil.Process(self._process.pid).children(recursive=True)
        self._process.send_signal(how)
        try:
            code = self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        _, left = psutil.wait_procs(family, timeout=5)
        for process in left:
            process.kill()
        return code == 0 and not left


def speak(client: httpx.Client, text: str, voice: str, file: Path, seed: int = 1) -> Take:
    """Streams one sentence into `file`. Raises SystemExit with the service's error message if it fails."""
    sound = {"response_format": "wav", "stream_format": "audio"}
    body = {"model": "tts-1", "input": text, "voice": voice, "seed": seed, **sound}
    data, first_s = bytearray(), 0.0
    began = time.perf_counter()
    with client.stream("POST", "/v1/audio/speech", json=body) as answer:
        if answer.status_code != 200:
            raise SystemExit(f"{voice}: HTTP {answer.status_code}: {answer.read().decode()}")
        for piece in answer.iter_raw():
            data += piece
            if not first_s and len(data) > HEADER:
                first_s = time.perf_counter() - began
    total_s = time.perf_counter() - began
    samples = bytes(data[HEADER:])
    file.write_bytes(wav_header(len(samples)) + samples)  # a streamed header cannot know the length
    return Take(first_s, total_s, len(samples) / 2 / OUTPUT_RATE)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out"), help="output folder (default: out)")
    parser.add_argument("--config", help="a Serve config file (default: configs/default.yaml)")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    server = Server(options.out / "serve.log", options.config)
    try:
        began = time.monotonic()
        console.print("Starting Ray and the application …")
        server.wait_ready()
        waited = time.monotonic() - began
        console.print(f"Ready after {waited:.0f} s at {server.http}, Ray dashboard at {server.dashboard()}")
        speak_all(server.http, options.out)
    finally:
        clean = server.stop()
    console.print("Stopped; no process of Ray is left." if clean else "The application did not stop cleanly.")
    sys.exit(not clean)


def speak_all(http: str, out: Path) -> None:
    """Speaks every sentence in every shipped voice and prints the table."""
    table = Table(title=f"Sentences in every voice's language, files in {out}{os.sep}")
    for column in ("voice", "seconds of audio", "TTFA", "RTF"):
        table.add_column(column, justify="left" if column == "voice" else "right")
    with httpx.Client(base_url=http, timeout=120) as client:
        cards = client.get("/v1/audio/voices").json()["data"]
        for voice, language in ((card["name"], card["language"]) for card in cards if card["shipped"]):
            takes = [
                speak(client, text, voice, out / f"{voice}-{number}.wav")
                for number, text in enumerate(SENTENCES[language or "en"], 1)
            ]
            seconds, total = sum(take.seconds for take in takes), sum(take.total_s for take in takes)
            first = statistics.median(take.first_s for take in takes)
            table.add_row(voice, f"{seconds:.1f}", f"{first:.2f} s", f"{total / seconds:.2f}")
    console.print(table)


if __name__ == "__main__":
    main()
