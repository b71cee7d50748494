"""A vocoder that gets the phone of each code: units from the GPT to the sound."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from deployments.contract.device import Device
from deployments.contract.errors import SynthesisFailed
from deployments.contract.speech import GptRequest, Run, Sampling, Segment, VocoderChunk, VoicePrompt
from deployments.contract.work import WorkItem
from deployments.engine.decode import Decoder
from deployments.engine.device.thread import DeviceThread
from deployments.families.small.config import SmallConfig
from deployments.families.small.gpt import SmallGpt
from deployments.families.small.gpt_net import GptNet
from deployments.families.small.vocoder import SmallVocoder
from deployments.families.small.vocoder_net import VocoderNet

CONFIG = SmallConfig(
    vocoder_phones=True, gpt_dim=64, gpt_layers=2, gpt_ff=64, vocoder_dim=64, vocoder_hidden=64
)
PHONES = np.array([3, 9, 9, 4, 27, 1, 8], np.int64)


def prompt() -> VoicePrompt:
    vector = np.random.default_rng(0).standard_normal(CONFIG.speaker_dim).astype(np.float32)
    return VoicePrompt.of("small", {"speaker": vector})


def request(phones: np.ndarray, seed: int) -> GptRequest:
    sampling = Sampling(seed=seed, controls={"temperature": 0.8, "top_k": 25})
    return GptRequest(Segment("", phones), prompt(), sampling)


@pytest.fixture(scope="module")
def thread() -> Iterator[DeviceThread]:
    thread = DeviceThread("test", threads=1)
    yield thread
    thread.close()


@pytest.fixture(scope="module")
def decoder(thread: DeviceThread, cpu: Device) -> Decoder:
    torch.manual_seed(0)
    net = GptNet(CONFIG)
    return thread.submit(lambda: Decoder(SmallGpt(net, CONFIG, cpu, slots=4), cpu)).result()


def decoded(thread: DeviceThread, decoder: Decoder, requests: list[GptRequest]) -> list[list[Run]]:
    runs: list[list[Run]] = [[] for _ in requests]

    def work() -> None:
        for number, one in enumerate(requests):
            decoder.admit(WorkItem(str(number), one))
        while decoder.active:
            for event in decoder.step():
                assert event.error is None
                runs[int(event.id)].append(event.value)

    thread.submit(work).result()
    return runs


def units(runs: list[Run]) -> np.ndarray:
    return np.concatenate([run.spoken for run in runs])


def test_a_unit_is_the_code_and_its_phone(thread: DeviceThread, decoder: Decoder) -> None:
    requests = [request(PHONES[: 3 + n], seed=n) for n in range(4)]
    for asked, runs in zip(requests, decoded(thread, decoder, requests), strict=True):
        codes = np.concatenate([run.codes for run in runs])
        np.testing.assert_array_equal(units(runs) % CONFIG.n_codes, codes)
        said = units(runs) // CONFIG.n_codes
        order = [int(phone) for phone, before in zip(said, [-1, *said[:-1]], strict=True) if phone != before]
        wanted = asked.segment.token_ids
        assert order[0] == wanted[0] and order[-1] == wanted[-1]
        left = iter(wanted)
        assert all(
            phone in left for phone in order
        )  # the segment's phones in their order, some of them skipped


def test_units_after_a_prefix_equal_those_of_an_uninterrupted_run(
    thread: DeviceThread, decoder: Decoder
) -> None:
    asked = request(PHONES, seed=5)
    (runs,) = decoded(thread, decoder, [asked])
    codes = np.concatenate([run.codes for run in runs])
    cut = len(codes) // 2
    (rest,) = decoded(thread, decoder, [asked.resume([Run(codes[:cut])])])
    np.testing.assert_array_equal(units(rest), units(runs)[cut:])


@pytest.mark.parametrize("packed", [True, False])
def test_the_phone_changes_the_sound(packed: bool) -> None:
    torch.manual_seed(0)
    net = VocoderNet(CONFIG)
    vocoder = SmallVocoder(net, torch.device("cpu"), packed=packed)
    codes = np.arange(0, 2000, 50)

    def sound(phone: int) -> np.ndarray:
        chunk = VocoderChunk(codes + phone * CONFIG.n_codes, 0, 0, 0, prompt(), 1)
        inputs = vocoder.collate([chunk], 1, len(codes))
        with torch.inference_mode():
            return vocoder.split((vocoder.packing.forward or vocoder.forward)(inputs), [chunk])[0].waveform

    np.testing.assert_array_equal(sound(3), sound(3))
    assert np.abs(sound(3) - sound(4)).max() > 1e-3


def test_an_unknown_phone_never_reaches_the_device() -> None:
    vocoder = SmallVocoder(VocoderNet(CONFIG), torch.device("cpu"))
    chunk = VocoderChunk(np.array([CONFIG.n_units - 1, CONFIG.n_units]), 0, 0, 0, prompt(), 1)
    with pytest.raises(SynthesisFailed, match=rf"0\.\.{CONFIG.n_units - 1}"):
        vocoder.collate([chunk], 1, 2)
