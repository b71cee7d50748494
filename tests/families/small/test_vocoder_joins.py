"""Real speech in chunks of 160 ms has no detectable joins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from deployments.contract.device import Device
from deployments.contract.speech import VocoderChunk, VoicePrompt
from deployments.contract.work import WorkItem
from deployments.engine.device.thread import DeviceThread
from deployments.engine.vocode.worker import VocodeWorker
from deployments.families.small.family import SmallFamily, load
from deployments.families.small.vocoder import SmallVocoder

CODES = 8  # per chunk
RATE = load({}).config.sample_rate
WINDOW, HOP = 2 * (RATE // 125), RATE // 250  # samples: 16 ms and 4 ms


class Forgetful(SmallVocoder):
    """A vocoder without state between chunks."""

    def collate(self, chunks, batch, frames):
        return super().collate([replace(chunk, state=None, follows=None) for chunk in chunks], batch, frames)


@pytest.fixture(scope="module")
def thread() -> Iterator[DeviceThread]:
    device_thread = DeviceThread("joins", threads=1)
    yield device_thread
    device_thread.close()


def log_flux(waveform: np.ndarray) -> np.ndarray:
    """The change of the log spectrum between windows: (T,); entry t covers WINDOW + HOP samples from t HOP."""
    frames = np.lib.stride_tricks.sliding_window_view(waveform, WINDOW)[::HOP] * np.hanning(WINDOW)
    spectra = np.log(np.abs(np.fft.rfft(frames)) + 1e-4)
    return np.abs(np.diff(spectra, axis=0)).mean(axis=1)


def flux_of(
    model: SmallVocoder,
    thread: DeviceThread,
    cpu: Device,
    family: SmallFamily,
    prompts: dict[str, VoicePrompt],
    speech: list[dict[str, Any]],
    chunk: int = CODES,
) -> tuple[np.ndarray, np.ndarray]:
    """The flux of windows with a join of chunks of CODES, and of all others, if `chunk` codes are spoken at a time."""

    def run() -> dict[str, np.ndarray]:
        worker = VocodeWorker(model, cpu, family.spec, max_batch=len(speech), chunk_frames=chunk)
        for index, said in enumerate(speech):
            codes = np.array(said["units"])
            worker.admit(WorkItem(str(index), VocoderChunk(codes, 0, 0, 0, prompts[said["voice"]], seed=3)))
        done: dict[str, np.ndarray] = {}
        while worker.active:
            done |= {event.id: event.value.waveform for event in worker.step()}
        return done

    at_joins, elsewhere = [], []
    for index, waveform in sorted(thread.submit(run).result(timeout=120).items()):
        flux, count = log_flux(waveform), len(speech[int(index)]["units"])
        parts = -(-count // CODES)
        joins = np.array([count * part // parts for part in range(1, parts)]) * family.spec.samples_per_code
        begin = np.arange(len(flux))[:, None] * HOP
        holds = ((begin < joins) & (joins < begin + WINDOW + HOP)).any(axis=1)
        at_joins.append(flux[holds])
        elsewhere.append(flux[~holds])
    return np.concatenate(at_joins), np.concatenate(elsewhere)


@pytest.mark.parametrize("lean", [True, False])
def test_the_flux_at_joins_is_that_of_whole_sentences_and_a_lost_state_is_detected(
    family: SmallFamily,
    cpu: Device,
    thread: DeviceThread,
    prompts: dict[str, VoicePrompt],
    speech: list[dict[str, Any]],
    lean: bool,
) -> None:
    net = family.vocoder(cpu).net
    rest = (thread, cpu, family, prompts, speech)
    longest = max(len(said["units"]) for said in speech)
    whole, _ = flux_of(SmallVocoder(net, cpu.torch_device, lean), *rest, chunk=longest)
    at_joins, elsewhere = flux_of(SmallVocoder(net, cpu.torch_device, lean), *rest)
    assert len(at_joins) > 400
    assert 0.9 < np.median(at_joins) / np.median(elsewhere) < 1.1
    np.testing.assert_allclose(at_joins, whole, atol=0.01)

    lost, elsewhere = flux_of(Forgetful(net, cpu.torch_device, lean), *rest)
    assert np.median(lost) / np.median(elsewhere) > 1.2
    assert np.mean(np.abs(lost - whole) > 0.01) > 0.5
