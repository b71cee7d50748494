"""The process that decodes untrusted recordings: its restrictions, and its recovery from faults."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile

from deployments.contract.errors import InvalidInput, Overloaded
from serve_app.audio.decode import decode_recording
from serve_app.audio.examine import examine
from serve_app.audio.jail import WALL_S
from serve_app.audio.recording import Recording
from serve_app.audio.sandbox import Sandbox
from serve_app.sandbox.jail import NICE
from serve_app.service import SHIPPED_VOICES
from tests.bombs import BOMBS, discarded_hours, sample_tables
from tests.serve_app.audio.test_decode import in_matroska, written

VOICE = (SHIPPED_VOICES / "ross.flac").read_bytes()
RATE = soundfile.info(SHIPPED_VOICES / "ross.flac").samplerate
LIMITS = {"min_seconds": 1.0, "max_seconds": 60.0, "param": "reference_audio"}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    sandbox = Sandbox()
    yield sandbox
    jail_of(sandbox).kill()


def jail_of(sandbox: Sandbox) -> psutil.Process:
    sandbox.start()
    assert sandbox._process is not None
    return psutil.Process(sandbox._process.pid)


async def read(sandbox: Sandbox, data: bytes) -> Recording:
    return await sandbox.read(data, **LIMITS)


async def child_of(sandbox: Sandbox) -> psutil.Process:
    """The child that decodes."""
    for _ in range(2000):
        for child in jail_of(sandbox).children():
            if child.nice() == NICE:
                return child
        await asyncio.sleep(0.01)
    pytest.fail("no child was seen")


def copies(rate: int, channels: int, format: str, subtype: str) -> bytes:
    voice, own = soundfile.read(SHIPPED_VOICES / "ross.flac", dtype="float32")
    at = np.arange(rate * 4) * own // rate
    return written(np.tile(voice[at][:, None], channels), rate, format, subtype)


@pytest.mark.parametrize(
    ("rate", "channels", "format", "subtype"),
    [
        (16_000, 1, "WAV", "PCM_16"),
        (44_100, 2, "FLAC", "PCM_24"),
        (48_000, 2, "OGG", "VORBIS"),
        (48_000, 2, "OGG", "OPUS"),
        (44_100, 2, "MP3", "MPEG_LAYER_III"),
        (96_000, 6, "AIFF", "PCM_16"),
        (192_000, 8, "W64", "FLOAT"),
        (22_050, 1, "CAF", "PCM_16"),
        (48_000, 1, "RF64", "PCM_16"),
    ],
)
async def test_it_decodes_like_this_process(sandbox, rate, channels, format, subtype) -> None:
    data = copies(rate, channels, format, subtype)
    here, there = decode_recording(data, **LIMITS), await read(sandbox, data)
    assert there.rate == here.rate
    assert there.warnings == examine(here.waveform, here.rate, "p")
    np.testing.assert_array_equal(there.samples, here.samples)


@pytest.mark.parametrize("codec", ["aac", "libopus", "libmp3lame", "pcm_s16le", "alac"])
async def test_ffmpeg_decodes_although_no_file_can_be_opened(sandbox, codec) -> None:
    assert (await read(sandbox, in_matroska(codec))).rate == 48_000


@pytest.mark.parametrize("name", sorted(BOMBS))
async def test_bombs_are_refused(sandbox, name) -> None:
    with pytest.raises(InvalidInput) as caught:
        await read(sandbox, BOMBS[name]())
    assert caught.value.param == "reference_audio"
    assert "reference_audio" in caught.value.message
    assert (await read(sandbox, VOICE)).rate == RATE


async def test_a_small_file_that_expands_to_gigabytes_is_refused(sandbox) -> None:
    largest = 0

    async def watch() -> None:
        nonlocal largest
        while True:
            for child in jail_of(sandbox).children():
                try:
                    largest = max(largest, child.memory_info().rss)
                except psutil.NoSuchProcess:
                    continue
            await asyncio.sleep(0.002)

    watching = asyncio.create_task(watch())
    for _ in range(3):
        with pytest.raises(InvalidInput):
            await read(sandbox, sample_tables(1, 80_000_000))
    watching.cancel()
    assert 0 < largest < 1.2 * 2**30


async def test_a_file_that_would_take_hours_is_stopped_in_seconds(sandbox) -> None:
    began = time.monotonic()
    with pytest.raises(InvalidInput, match="limits on memory or time"):
        await read(sandbox, discarded_hours())
    assert time.monotonic() - began < WALL_S + 5


@pytest.mark.parametrize("how", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
async def test_a_crash_of_a_decoder_is_reported_for_its_file(sandbox, how) -> None:
    before = jail_of(sandbox).pid
    task = asyncio.create_task(read(sandbox, discarded_hours()))
    child = await child_of(sandbox)
    while child.cpu_times().user < 0.3:  # until it decodes: before that, the jail itself would be at fault
        await asyncio.sleep(0.01)
    child.send_signal(how)
    with pytest.raises(InvalidInput) as caught:
        await task
    assert caught.value.param == "reference_audio"
    assert jail_of(sandbox).pid == before


async def test_it_restarts_after_it_dies(sandbox) -> None:
    before = jail_of(sandbox)
    before.kill()
    assert (await read(sandbox, VOICE)).rate == RATE
    assert jail_of(sandbox).pid != before.pid


async def test_work_in_progress_when_it_dies_is_repeated(sandbox) -> None:
    task = asyncio.create_task(read(sandbox, discarded_hours()))
    child, before = await child_of(sandbox), jail_of(sandbox)
    before.kill()
    psutil.wait_procs([child], timeout=10)
    assert not child.is_running(), "the child dies with it"
    assert (await child_of(sandbox)).pid != child.pid
    with pytest.raises(InvalidInput):
        await task


async def test_a_hostile_file_does_not_delay_others(sandbox) -> None:
    bomb = asyncio.create_task(read(sandbox, discarded_hours()))
    await child_of(sandbox)
    for _ in range(5):
        assert (await read(sandbox, VOICE)).rate == RATE
    assert not bomb.done()
    with pytest.raises(InvalidInput):
        await bomb


async def test_a_full_queue_is_refused_with_a_time_to_retry() -> None:
    sandbox = Sandbox(workers=1, waiting=1)
    tasks = [asyncio.create_task(read(sandbox, VOICE)) for _ in range(5)]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    refused = [result for result in results if isinstance(result, Overloaded)]
    assert len(refused) == 3
    assert all(error.retry_after > 0 for error in refused)
    assert (await read(sandbox, VOICE)).rate == RATE
    jail_of(sandbox).kill()


async def test_a_cancelled_caller_leaves_the_queue() -> None:
    sandbox = Sandbox(workers=1, waiting=2)
    first = asyncio.create_task(read(sandbox, VOICE))
    others = [asyncio.create_task(read(sandbox, VOICE)) for _ in range(2)]
    await asyncio.sleep(0)
    for other in others:
        other.cancel()
    assert (await first).rate == RATE
    assert len(await asyncio.gather(*(read(sandbox, VOICE) for _ in range(3)))) == 3
    jail_of(sandbox).kill()


async def test_it_inherits_neither_secrets_nor_descriptors(sandbox, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    jail_of(sandbox).kill()
    inherited = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(inherited, True)
    await read(sandbox, VOICE)
    while jail_of(sandbox).children():  # that recording's child is still ending
        await asyncio.sleep(0.01)
    task = asyncio.create_task(read(sandbox, discarded_hours()))
    child, held = await child_of(sandbox), [""]
    for _ in range(500):
        with suppress(FileNotFoundError):  # it is closing them
            held = [name.split(":")[0] for name in held_by(child) if name != os.devnull]
        if held == ["socket"]:
            break
        await asyncio.sleep(0.01)
    assert held == ["socket"]
    for process in (jail_of(sandbox), child):
        assert "HF_TOKEN" not in process.environ()
        assert str(tmp_path) not in held_by(process)
    os.close(inherited)
    child.kill()
    with pytest.raises(InvalidInput):
        await task


def held_by(process: psutil.Process) -> list[str]:
    """The targets of its descriptors."""
    return [os.readlink(path) for path in Path(f"/proc/{process.pid}/fd").iterdir()]


def test_a_child_opens_no_file_no_socket_and_no_process() -> None:
    program = """
import os, socket
from dataclasses import replace
from serve_app.audio.jail import JAIL
from serve_app.sandbox.jail import limit
limit(replace(JAIL, memory=2**26))
def tried(what):
    try:
        what()
    except (OSError, MemoryError) as error:
        return type(error).__name__
    return "done"
print(tried(lambda: open("/etc/passwd")), tried(lambda: socket.socket()), tried(lambda: bytes(2**28)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["OSError", "OSError", "MemoryError"], done.stderr


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_it_ends_with_the_process_that_started_it(how) -> None:
    program = """
import asyncio, sys, time
from serve_app.audio.sandbox import Sandbox
sandbox = Sandbox()
sandbox.start()
print(sandbox._process.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        started = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(how)
        _, alive = psutil.wait_procs([started], timeout=20)
    assert not alive


async def test_a_malformed_answer_is_refused() -> None:
    from serve_app.audio.sandbox import _recording

    two = np.zeros(2, "<i2").tobytes()
    for said in (
        {},
        [],
        {"rate": 16_000, "samples": 3, "warnings": []},
        {"rate": 10**9, "samples": 2, "warnings": []},
        {"rate": "x", "samples": 2, "warnings": []},
        {"rate": 16_000, "samples": 2, "warnings": 7},
        {"rate": 16_000, "samples": None, "warnings": []},
    ):
        with pytest.raises(InvalidInput):
            _recording((said, two), "reference_audio")
    good = {"rate": 16_000, "samples": 2, "warnings": ["cut", "<script>"]}
    assert _recording((good, two), "reference_audio").warnings == ("cut",)
