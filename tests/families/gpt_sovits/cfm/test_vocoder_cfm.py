"""The vocoder of v3 and v4: published samples, batches, joins, and its place in the engine."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from deployments.contract.errors import ChoraleError, InvalidInput
from deployments.contract.family import FamilySpec
from deployments.contract.speech import VocodedChunk, VocoderChunk, VoicePrompt
from deployments.contract.work import WorkItem
from deployments.engine.device.choose import choose_device
from deployments.engine.device.thread import DeviceThread
from deployments.engine.vocode.worker import VocodeWorker
from deployments.families.gpt_sovits import vocoder_cfm
from deployments.families.gpt_sovits.cfm import decoder
from deployments.families.gpt_sovits.cfm.decoder import CfmDecoder
from deployments.families.gpt_sovits.cfm.features import Features
from deployments.families.gpt_sovits.cfm.layout import LAYOUTS
from deployments.families.gpt_sovits.cfm.mel import reference_mel
from deployments.families.gpt_sovits.vocoder_cfm import CfmVocoder
from tests.families.gpt_sovits.cfm.parts import BIGVGAN, VERSIONS, GoldenSet

ITEMS = ("zh1", "en1", "mix1")
by_version = pytest.mark.parametrize("version", VERSIONS)


def a_vocoder(whole_set: GoldenSet, version: str) -> CfmVocoder:
    file, vocoder = whole_set.file(version), BIGVGAN if version == "v3" else "gsv-v4-pretrained/vocoder.pth"
    return CfmVocoder.load(file, file.tensors(), whole_set.bundle / vocoder, choose_device("cpu", threads=1))


def a_small_one(whole_set: GoldenSet, version: str) -> CfmVocoder:
    """With short prompts, chunks and windows, so that a segment has several of them."""
    file = whole_set.file(version)
    whole = a_vocoder(whole_set, version)
    layout = replace(LAYOUTS[version], most_prompt=48, most=160)
    features = Features.load(file, whole_set.weights(version), layout)
    made = CfmDecoder(features, whole_set.dit(version), whole.decoder.vocoder, torch.device("cpu"))
    made.codes, made.window = (40, 104), 96
    return CfmVocoder(made)


@pytest.fixture(scope="module")
def vocoders(whole_set: GoldenSet) -> dict[str, CfmVocoder]:
    return {version: a_vocoder(whole_set, version) for version in VERSIONS}


@pytest.fixture(scope="module")
def small(whole_set: GoldenSet) -> dict[str, CfmVocoder]:
    return {version: a_small_one(whole_set, version) for version in VERSIONS}


def a_voice(whole_set: GoldenSet, version: str, name: str = "ref", pitch: float = 1.0) -> VoicePrompt:
    """The golden set's. "ref_long" is longer than a prompt may be; pitch: another timbre."""
    waveform, rate = whole_set.reference(name)
    codes = whole_set.spoken["prompt.codes"]
    if name == "ref_long":
        codes = whole_set.tensors("joint")["ref_long.prompt_codes"]
    arrays = {
        "ge": pitch * whole_set.tensors("enc")[f"{version}.ge"].numpy(),
        "codes": codes.numpy(),
        "phones": whole_set.spoken["prompt.phones"].numpy(),
        "mel": reference_mel(waveform.numpy(), rate, LAYOUTS[version]),
    }
    return VoicePrompt.of("gpt_sovits", arrays)


def a_chunk(
    whole_set: GoldenSet, prompt: VoicePrompt, *items: str, seed: int = 1, sample_steps: int = 8
) -> VocoderChunk:
    """A segment of the golden set's items, one after the other."""
    codes, phones = (
        np.concatenate([whole_set.spoken[f"t2s.{item}.{name}"].numpy() for item in items])
        for name in ("greedy_codes", "phones")
    )
    controls = {"sample_steps": sample_steps}
    return VocoderChunk(codes, 0, 0, 0, prompt, seed=seed, conditions={"phones": phones}, controls=controls)


def spoken(
    vocoder: CfmVocoder, chunks: list[VocoderChunk], batches: tuple[int, ...] = ()
) -> list[np.ndarray]:
    inputs = vocoder.collate(chunks, len(chunks), 0)
    outputs = vocoder.staged(inputs, batches, lambda key, function, inputs: function(inputs))
    return [chunk.waveform for chunk in vocoder.split(outputs, chunks)]


def alone(vocoder: CfmVocoder, chunk: VocoderChunk) -> np.ndarray:
    inputs = vocoder.collate([chunk], 1, len(chunk.frames))
    return vocoder.split(vocoder.forward(inputs), [chunk])[0].waveform


@by_version
@pytest.mark.parametrize(
    ("case", "items", "speed"), [("naive_bucket", ("zh1", "mix1"), 1.0), ("naive_speed", ("mix1",), 1.1)]
)
def test_a_segment_of_one_chunk_has_the_published_samples(
    whole_set: GoldenSet,
    vocoders: dict[str, CfmVocoder],
    version: str,
    case: str,
    items: tuple[str, ...],
    speed: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TTS.run with `parallel_infer` false, the shorter item first. The noise is the golden set's."""
    prompt, layout = a_voice(whole_set, version), LAYOUTS[version]
    begin = layout.prompt_frames(len(prompt.tensors["mel"]), layout.frames(len(prompt.tensors["codes"])))
    waveforms = []
    for call, item in enumerate(items):

        def normal(seed: Tensor, counter: Tensor, call: int = call) -> Tensor:
            return whole_set.noise(call, 0, begin + len(counter))[begin:]

        monkeypatch.setattr(decoder, "normal", normal)
        chunk = replace(a_chunk(whole_set, prompt, item), speed=speed)
        samples = layout.frames(len(chunk.frames), speed) * layout.frame_samples
        waveform = alone(vocoders[version], chunk)
        whole = len(chunk.frames) * layout.output_rate // 25
        assert len(waveform) == (whole if speed == 1 else samples)
        assert not waveform[samples:].any()  # less than a frame of each code
        waveforms += [np.zeros(9600, np.float32), waveform[:samples]]
    found = np.concatenate(waveforms[::-1])  # text order
    found = (found * 32768).astype(np.int16).astype(np.int64)

    stored, facts = whole_set.tensors("e2e"), whole_set.facts("e2e")[f"{version}.{case}"]
    assert len(found) == sum(facts["chunk_lens"]) and facts["sr"] == layout.output_rate
    tail = facts["tail_start"]
    assert np.abs(found[:6000] - stored[f"{version}.{case}.head"].numpy()).max() <= 8
    assert np.abs(found[tail : tail + 2000] - stored[f"{version}.{case}.tail"].numpy()).max() <= 8
    blocks = found[: len(found) // 1000 * 1000].reshape(-1, 1000).astype(np.float64)
    rms = np.sqrt((blocks**2).mean(1))
    assert np.abs(rms - stored[f"{version}.{case}.block_rms"].numpy()).max() <= 2


@pytest.fixture(scope="module")
def requests(whole_set: GoldenSet) -> Callable[[str], list[VocoderChunk]]:
    """Of three voices, one of which is shorter than a prompt may be, of one to four chunks in `small`, and of two
    speeds."""

    def make(version: str) -> list[VocoderChunk]:
        voice, other = a_voice(whole_set, version), a_voice(whole_set, version, pitch=-0.7)
        mel = voice.tensors["mel"][:20]
        short = VoicePrompt.of("gpt_sovits", {**voice.tensors, "mel": mel})
        return [
            a_chunk(whole_set, voice, "en1", seed=1),
            a_chunk(whole_set, short, "en1", "zh1", seed=2),
            a_chunk(whole_set, other, "mix1", seed=3),
            a_chunk(whole_set, voice, "en1", seed=4),
            replace(a_chunk(whole_set, short, "en1", seed=5), frames=np.arange(6)),
            replace(a_chunk(whole_set, voice, "zh1", seed=6), speed=0.7),
        ]

    return make


@by_version
def test_a_batch_gives_each_request_what_it_gets_alone(
    small: dict[str, CfmVocoder],
    requests: Callable[[str], list[VocoderChunk]],
    version: str,
) -> None:
    """Padded, with the chunks of all requests in shared calls of at most four rows."""
    vocoder, chunks = small[version], requests(version)
    separate = [alone(vocoder, chunk) for chunk in chunks]
    for found, expected in zip(spoken(vocoder, chunks, (1, 2, 4)), separate, strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    assert np.abs(separate[0] - separate[3]).max() > 0.01  # another seed


@by_version
def test_the_seed_decides(whole_set: GoldenSet, small: dict[str, CfmVocoder], version: str) -> None:
    chunk = a_chunk(whole_set, a_voice(whole_set, version), "en1", seed=7)
    first = alone(small[version], chunk)
    np.testing.assert_array_equal(first, alone(small[version], chunk))
    assert np.abs(first - alone(small[version], replace(chunk, seed=8))).max() > 0.01


@by_version
def test_the_number_of_steps_is_the_requests(
    whole_set: GoldenSet, small: dict[str, CfmVocoder], version: str
) -> None:
    prompt = a_voice(whole_set, version)
    few, some, default = (
        alone(small[version], replace(a_chunk(whole_set, prompt, "en1"), controls=controls))
        for controls in ({"sample_steps": 4}, {"sample_steps": LAYOUTS[version].steps}, {})
    )
    np.testing.assert_array_equal(default, some)
    assert np.abs(default - few).max() > 1e-3


@pytest.mark.parametrize("steps", [0, 1, 7, 64, 128])
def test_other_numbers_of_steps_are_refused(
    whole_set: GoldenSet, small: dict[str, CfmVocoder], steps: int
) -> None:
    chunk = a_chunk(whole_set, a_voice(whole_set, "v4"), "en1", sample_steps=steps)
    with pytest.raises(InvalidInput, match="one of 4, 8, 16, 32") as raised:
        small["v4"].collate([chunk], 1, 0)
    assert raised.value.param == "sample_steps"


def test_a_voice_without_a_transcript_is_refused(whole_set: GoldenSet, small: dict[str, CfmVocoder]) -> None:
    prompt = a_voice(whole_set, "v4")
    none = np.zeros(0, np.int64)
    silent = VoicePrompt.of("gpt_sovits", {**prompt.tensors, "codes": none, "phones": none})
    with pytest.raises(InvalidInput, match="transcript") as raised:
        small["v4"].collate([a_chunk(whole_set, silent, "en1")], 1, 0)
    assert raised.value.param == "reference_text"


def mel_of(vocoder: CfmVocoder, chunk: VocoderChunk, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """(F, 100), what is vocoded."""
    seen: list[Tensor] = []

    def sounds(vocoder: Any, mels: list[Tensor], *_: Any) -> list[Tensor]:
        seen.extend(mels)
        return [torch.zeros(1) for _ in mels]

    monkeypatch.setattr(decoder, "sounds", sounds)
    alone(vocoder, chunk)
    return seen[0].numpy()


@by_version
def test_joins_of_chunks_are_no_place_where_the_sound_changes_more(
    whole_set: GoldenSet, small: dict[str, CfmVocoder], version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spectral flux: the change from frame to frame, in all bands. At the joins it is within the range of the rest."""
    chunk = a_chunk(whole_set, a_voice(whole_set, version), *ITEMS)
    mel = mel_of(small[version], chunk, monkeypatch)
    flux = np.abs(np.diff(mel, axis=0)).sum(1)
    layout = small[version].layout
    ends = decoder.chunks(len(mel), layout.most - layout.most_prompt)
    assert len(ends) >= 4
    joins = np.zeros(len(flux), bool)
    for start, _ in ends[1:]:
        joins[start - 2 : start + 14] = True
    assert flux[joins].max() < np.quantile(flux[~joins], 0.999)
    assert abs(flux[joins].mean() / flux[~joins].mean() - 1) < 0.25


@by_version
def test_neighbouring_chunks_start_from_the_same_noise(
    whole_set: GoldenSet, small: dict[str, CfmVocoder], version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    counters: list[Tensor] = []
    real = decoder.normal

    def normal(seed: Tensor, counter: Tensor) -> Tensor:
        counters.append(counter)
        return real(seed, counter)

    monkeypatch.setattr(decoder, "normal", normal)
    mel_of(small[version], a_chunk(whole_set, a_voice(whole_set, version), "en1"), monkeypatch)
    first, second, *_ = sorted(counters, key=lambda counter: int(counter[0, 0]))
    torch.testing.assert_close(first[-12:], second[:12], rtol=0, atol=0)


class Recorded:
    """A backend like CUDA graphs: all of them share memory, so a replay destroys the outputs of every other one."""

    def __init__(self) -> None:
        self.outputs: list[dict[str, Tensor]] = []
        self.replays = 0

    def warm_up(self, function: Callable[[], Any]) -> None:
        function()

    def capture(self, function: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        outputs = {name: value.clone() for name, value in function().items()}
        self.outputs.append(outputs)

        def replay() -> None:
            self.replays += 1
            made = function()
            for other in self.outputs:
                for value in other.values():
                    value.fill_(torch.nan)
            for name, value in made.items():
                outputs[name].copy_(value)

        return replay, outputs


@pytest.fixture
def thread() -> Iterator[DeviceThread]:
    device_thread = DeviceThread("device", threads=1)
    yield device_thread
    device_thread.close()


SPEC = FamilySpec(
    "gpt_sovits",
    48000,
    25.0,
    1920,
    0,
    0,
    ("zh", "en"),
    1000,
    3.0,
    10.0,
    chunking="whole",
    needs_transcript=True,
)


def through_the_worker(
    thread: DeviceThread,
    whole_set: GoldenSet,
    chunks: list[VocoderChunk],
    backend: Recorded | None = None,
    optimize: bool = True,
) -> tuple[list[VocodedChunk | ChoraleError], VocodeWorker]:
    def run() -> tuple[list[VocodedChunk | ChoraleError], VocodeWorker]:
        model = a_small_one(whole_set, "v4")
        if backend is not None:
            model.packing = replace(model.packing, frames=vocoder_cfm.PACKED)
        device = choose_device("cpu", threads=1)
        worker = VocodeWorker(
            model, device, SPEC, max_batch=4, batch_buckets=[1, 4], backend=backend, optimize=optimize
        )
        with torch.inference_mode():
            worker.warm_up(chunks[0].prompt)
            found: dict[str, VocodedChunk | ChoraleError] = {}
            waiting = [WorkItem(str(index), chunk) for index, chunk in enumerate(chunks)]
            while waiting or worker.active:
                while waiting and worker.active < worker.slots:
                    worker.admit(waiting.pop(0))
                for event in worker.step():
                    found[event.id] = event.error or event.value
        return [found[str(index)] for index in range(len(chunks))], worker

    return thread.submit(run).result(timeout=200)


def test_graphs_of_the_engine_give_the_same_samples(
    whole_set: GoldenSet,
    thread: DeviceThread,
    small: dict[str, CfmVocoder],
    requests: Callable[[str], list[VocoderChunk]],
) -> None:
    """Every call is a replay of a graph that was captured at start, and requests share them."""
    backend, chunks = Recorded(), requests("v4")
    found, worker = through_the_worker(thread, whole_set, chunks, backend)
    for result, chunk in zip(found, chunks, strict=True):
        assert isinstance(result, VocodedChunk)
        np.testing.assert_allclose(result.waveform, alone(small["v4"], chunk), rtol=0, atol=1e-4)
    status, stats = worker.status(), worker.stats()
    # two batch sizes, each of two lengths of codes, three of the inputs and the step, and the window of the vocoder
    assert len(status["captured"]) == 2 * (2 + 3 * 2 + 1) == len(backend.outputs)
    assert status["optimize"] and not status["reason"].startswith("plain")
    assert stats["mean_batch"] > 1 and stats["retries"] == 0 and backend.replays > 0


def test_the_plain_path_gives_the_same_samples(
    whole_set: GoldenSet,
    thread: DeviceThread,
    small: dict[str, CfmVocoder],
    requests: Callable[[str], list[VocoderChunk]],
) -> None:
    chunks = requests("v4")[:2]
    found, worker = through_the_worker(thread, whole_set, chunks, optimize=False)
    for result, chunk in zip(found, chunks, strict=True):
        assert isinstance(result, VocodedChunk)
        np.testing.assert_array_equal(result.waveform, alone(small["v4"], chunk))
    assert worker.status()["reason"] == "plain: optimize is false in the configuration"


def test_requests_with_other_steps_do_not_share_a_call(
    whole_set: GoldenSet, thread: DeviceThread, small: dict[str, CfmVocoder]
) -> None:
    prompt = a_voice(whole_set, "v4")
    chunks = [a_chunk(whole_set, prompt, "en1", sample_steps=steps) for steps in (4, 8, 4, 7)]
    found, _ = through_the_worker(thread, whole_set, chunks, Recorded())
    for result, chunk in zip(found[:3], chunks, strict=False):
        assert isinstance(result, VocodedChunk)
        np.testing.assert_allclose(result.waveform, alone(small["v4"], chunk), rtol=0, atol=1e-4)
    assert isinstance(found[3], InvalidInput) and found[3].param == "sample_steps"


def test_a_key_stands_for_one_shape(whole_set: GoldenSet, small: dict[str, CfmVocoder]) -> None:
    """What is rehearsed at start is all that a request needs."""
    vocoder, known = small["v4"], dict[Hashable, Any]()

    def rehearse(key: Hashable, function: Callable[..., Any], inputs: dict[str, Tensor]) -> Any:
        known[key] = {name: (value.shape, value.dtype) for name, value in inputs.items()}
        return function(inputs)

    def call(key: Hashable, function: Callable[..., Any], inputs: dict[str, Tensor]) -> Any:
        assert known[key] == {name: (value.shape, value.dtype) for name, value in inputs.items()}
        return function(inputs)

    vocoder.rehearse((1, 2), rehearse)
    chunks = [a_chunk(whole_set, a_voice(whole_set, "v4"), *["en1"] * count) for count in (1, 3)]
    vocoder.staged(vocoder.collate(chunks, 2, 0), (1, 2), call)
