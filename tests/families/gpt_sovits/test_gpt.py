"""The GPT on the engine's slots against the published code's codes and logits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from deployments.contract.errors import InvalidInput
from deployments.contract.speech import GptRequest, Run, Sampling, Segment, VoicePrompt
from deployments.contract.work import WorkItem
from deployments.engine.decode import Decoder
from deployments.engine.device.choose import choose_device
from deployments.engine.device.thread import DeviceThread
from deployments.families.gpt_sovits.checkpoints import read_gpt
from deployments.families.gpt_sovits.gpt import FEWEST, GptSovitsGpt
from deployments.families.gpt_sovits.gpt_net import sinusoids
from deployments.families.gpt_sovits.sampling import PublishedSampling
from tests.families.gpt_sovits.files import CPU, HIDDEN, golden_prompt, near, tensors
from tests.families.prefill import prefill_at_once

ITEMS = ("zh1", "en1", "mix1")
GREEDY = Sampling.of(temperature=0.0, top_k=1, top_p=1.0, repetition_penalty=1.35)
SAMPLED = Sampling.of(temperature=1.0, top_k=15, top_p=1.0, repetition_penalty=1.35, max_tokens=80)
PHONES, CODES = 300, 400
HALF = choose_device("cpu", half=True, threads=1, half_on_cpu=True)
needs_bf16 = pytest.mark.skipif(HALF.dtype != torch.bfloat16, reason="this CPU has no instructions for bf16")


@pytest.fixture(scope="module")
def facts(gpt_sovits) -> dict[str, Tensor]:
    return tensors(gpt_sovits / "t2s_golden.safetensors")


@pytest.fixture(scope="module")
def prompt(gpt_sovits) -> VoicePrompt:
    return golden_prompt(gpt_sovits)


@pytest.fixture(scope="module")
def make(gpt_sovits) -> Callable[..., GptSovitsGpt]:
    gpt = read_gpt(gpt_sovits / "bundle" / "s1.ckpt")
    loaded = gpt.tensors()
    return lambda slots=2, device=CPU: GptSovitsGpt(gpt, loaded, device, slots, PHONES, CODES)


@pytest.fixture(scope="module")
def on() -> Iterator[Callable[..., Any]]:
    thread = DeviceThread("test", threads=1)
    yield lambda function, *args: thread.submit(function, *args).result()
    thread.close()


@pytest.fixture(scope="module")
def decode(on, make) -> Callable[..., list[Run]]:
    """decode(requests, slots=2) -> the run of each, decoded together."""

    def run(requests: Sequence[GptRequest], slots: int = 2, **options: Any) -> list[Run]:
        decoder = Decoder(make(slots), CPU, **options)
        decoder.warm_up()
        for number, request in enumerate(requests):
            decoder.admit(WorkItem(str(number), request))
        runs: dict[str, list[Run]] = {str(number): [] for number in range(len(requests))}
        while decoder.active:
            for event in decoder.step():
                assert event.error is None
                if event.value is not None:
                    runs[event.id].append(event.value)
        return [joined(parts) for parts in runs.values()]

    return lambda *args, **options: on(lambda: run(*args, **options))


def joined(runs: Sequence[Run]) -> Run:
    kept = np.concatenate([run.kept for run in runs if run.kept is not None])
    return Run(np.concatenate([run.codes for run in runs]), None, kept)


def segment_of(facts, item: str) -> Segment:
    bert = facts[f"t2s.{item}.bert"].T.numpy()
    return Segment("", facts[f"t2s.{item}.phones"].numpy(), features={"bert": bert})


def request_of(facts, prompt, item: str, sampling: Sampling = GREEDY) -> GptRequest:
    return GptRequest(segment_of(facts, item), prompt, sampling)


def without_transcript() -> VoicePrompt:
    none = np.zeros(0, np.int64)
    arrays = {"phones": none, "bert": np.zeros((0, 0), np.float32), "codes": none}
    return VoicePrompt.of("gpt_sovits", arrays)


@pytest.mark.parametrize("item", ITEMS)
def test_greedy_codes(decode, facts, prompt, item):
    (run,) = decode([request_of(facts, prompt, item)])
    np.testing.assert_array_equal(run.spoken, facts[f"t2s.{item}.greedy_codes"])
    assert len(run.spoken) == facts[f"t2s.{item}.idx"].item() == len(run.codes) - 1


def test_a_batch_gives_the_published_codes_of_each(decode, facts, prompt):
    runs = decode([request_of(facts, prompt, item) for item in ITEMS], len(ITEMS))
    for item, run in zip(ITEMS, runs, strict=True):
        np.testing.assert_array_equal(run.spoken, facts[f"t2s.batch3.{item}.greedy_codes"])
        assert len(run.spoken) == facts[f"t2s.batch3.{item}.idx"].item()


def test_codes_without_a_transcript(decode, facts):
    (run,) = decode([request_of(facts, without_transcript(), "zh1")])
    np.testing.assert_array_equal(run.spoken, facts["t2s.reffree.zh1.codes"])


@pytest.mark.parametrize("item", ITEMS)
def test_logits_of_every_step(on, make, facts, prompt, item):
    raw, penalised = facts[f"t2s.{item}.step_logits_raw"], facts[f"t2s.{item}.step_logits_penalised"]

    def run() -> tuple[list[Tensor], list[Tensor]]:
        model, rows = make(1), torch.tensor([0])
        found: tuple[list[Tensor], list[Tensor]] = ([], [])
        penalise = model.sampling.penalise

        def watched(logits: Tensor, rows: Tensor) -> Tensor:
            found[0].append(logits.clone())
            found[1].append(penalise(logits, rows))
            return found[1][-1]

        model.sampling.penalise = watched
        taken = prefill_at_once(model, 0, request_of(facts, prompt, item))
        for step in range(len(raw)):
            model.step(rows, taken + step + 1)
        return found

    before, after = (torch.cat(parts)[:, : raw.shape[1]] for parts in on(run))
    near(before, raw, **HIDDEN)
    near(after[: len(penalised)], penalised, **HIDDEN)
    assert torch.isinf(before[:FEWEST, -1]).all() and before[FEWEST:, -1].isfinite().all()


def test_first_logits_of_the_batch(on, make, facts, prompt):
    def run() -> Tensor:
        model, found = make(3), []
        inner = model.run
        model.run = lambda *args: found.append(inner(*args)) or found[-1].clone()
        lengths = [
            prefill_at_once(model, slot, request_of(facts, prompt, item)) for slot, item in enumerate(ITEMS)
        ]
        model.step(torch.arange(3), max(lengths) + 1)
        return found[0]

    wanted = facts["t2s.batch3.step0_logits_raw"]
    near(on(run)[:, : wanted.shape[1]], wanted, **HIDDEN)


@pytest.mark.parametrize("item", ITEMS)
def test_teacher_forced(on, make, facts, prompt, item):
    codes = torch.cat([facts["prompt.codes"], facts[f"t2s.{item}.greedy_codes"]])

    def run() -> tuple[Tensor, Tensor, Tensor, list[tuple]]:
        model = make(1)
        x, known = model._embedded(request_of(facts, prompt, item))
        y = model.net.embed_codes(codes, torch.arange(len(codes)))
        layers = list(model.net.prefix(x, y))
        last = layers[-1][1]
        start = len(x) + len(known) - 1
        return x, known, model.net.head(last[start : start + 16]), layers

    x, known, logits, layers = on(run)
    wanted = facts[f"t2s.{item}.teacher_forced_logits"]
    near(logits[:, : wanted.shape[1]], wanted, **HIDDEN)
    if item == "zh1":
        near(x, facts["t2s.zh1.x_pos_emb"], **HIDDEN)
        near(known, facts["t2s.zh1.prompt_pos_emb"], **HIDDEN)
        (k, v), _ = layers[0]
        near(k.flatten(1), facts["t2s.zh1.layer0_k"], **HIDDEN)
        near(v.flatten(1), facts["t2s.zh1.layer0_v"], **HIDDEN)
        near(layers[-1][1], facts["t2s.zh1.prefill_hidden_last"], **HIDDEN)


@pytest.mark.parametrize(
    ("name", "sampling"),
    [
        ("default", Sampling.of(top_k=15, top_p=1.0, temperature=1.0, repetition_penalty=1.35)),
        ("topp", Sampling.of(top_k=50, top_p=0.8, temperature=0.7, repetition_penalty=1.1)),
        ("hot", Sampling.of(top_k=5, top_p=0.95, temperature=1.5, repetition_penalty=1.0)),
    ],
)
def test_codes_are_drawn_from_the_published_distribution(facts, name, sampling):
    logits, rows = facts["sampler.logits"], torch.arange(2)
    state = PublishedSampling(2, logits.shape[1], torch.device("cpu"))
    assert state.seen is not None
    for row in range(2):
        state.set(row, sampling)
        state.seen[row, facts["sampler.prev"][row]] = True
    ordered = torch.sort(state.penalise(logits, rows), descending=True, stable=True)
    found = torch.zeros_like(logits).scatter(1, ordered.indices, state.shares(ordered.values, rows))
    wanted = facts[f"sampler.probs_{name}"]
    near(found, wanted, atol=1e-6)
    assert torch.equal(found > 0, wanted > 0)


def test_similarity_to_the_mute_code(on, make, facts):
    codes = on(lambda: make(1).net.codes)
    near(torch.cosine_similarity(codes[486:487], codes), facts["t2s.mute_sim"], **HIDDEN)


def test_eight_segments_together_equal_each_alone(decode, facts, prompt):
    requests = []
    for index in range(8):  # one is greedy, one without a transcript, half of them use top-p
        controls = {"temperature": 0.0 if index == 1 else 1.8, "top_p": (1.0, 0.8)[index % 2]}
        sampling = replace(SAMPLED, seed=index, controls={**SAMPLED.controls, **controls})
        voice = without_transcript() if index == 5 else prompt
        requests.append(request_of(facts, voice, ITEMS[index % 3], sampling))
    together = decode(requests, 8)
    assert len({run.codes.tobytes() for run in together}) == 8
    for request, run in zip(requests, together, strict=True):
        (alone,) = decode([request], 1)
        np.testing.assert_array_equal(run.codes, alone.codes)
        np.testing.assert_array_equal(run.kept, alone.kept)


@needs_bf16
def test_eight_segments_together_equal_each_alone_in_bf16(on, make, facts, prompt):
    """Nearly the published logits, one TorchScript call, and the same codes in every batch."""
    requests = [
        request_of(facts, prompt, ITEMS[index % 3], replace(SAMPLED, seed=index, max_tokens=40))
        for index in range(8)
    ]

    def codes(requests: list[GptRequest]) -> list[Run]:
        decoder, runs = Decoder(make(8, HALF), HALF), {}
        assert decoder.status()["step"] == "one TorchScript call"
        for number, request in enumerate(requests):
            decoder.admit(WorkItem(str(number), request))
        while decoder.active:
            for event in decoder.step():
                assert event.error is None
                if event.value is not None:
                    runs.setdefault(int(event.id), []).append(event.value)
        return [joined(runs[number]) for number in range(len(requests))]

    together = on(codes, requests)
    assert len({run.codes.tobytes() for run in together}) == 8
    for request, run in zip(requests, together, strict=True):
        (alone,) = on(codes, [request])
        np.testing.assert_array_equal(run.codes, alone.codes)
    for index in (1, 6):
        (rest,) = on(codes, [requests[index].resume([together[index][:5]])])
        np.testing.assert_array_equal(rest.codes, together[index].codes[5:])


@needs_bf16
def test_logits_in_bf16_are_near_the_published_ones(on, make, facts, prompt):
    def run() -> Tensor:
        model, found = make(1, HALF), []
        inner = model.run
        model.run = lambda *args: found.append(inner(*args).clone()) or found[-1].clone()
        taken = prefill_at_once(model, 0, request_of(facts, prompt, "zh1"))
        model.step(torch.tensor([0]), taken + 1)
        return found[0]

    wanted = facts["t2s.zh1.step_logits_raw"][:1]
    found = on(run)[:, : wanted.shape[1] - 1]  # the end is not allowed yet
    wanted = wanted[:, :-1]
    assert (found - wanted).abs().max() < 0.03 * wanted.abs().max()


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_resumed_segment_continues_bit_for_bit(decode, facts, prompt, share):
    request = request_of(facts, prompt, "zh1", replace(SAMPLED, seed=3))
    (whole,) = decode([request])
    cut = int(share * len(whole)) + 1
    (rest,) = decode([request.resume([whole[:cut]])])
    np.testing.assert_array_equal(rest.codes, whole.codes[cut:])
    np.testing.assert_array_equal(rest.kept, whole.kept[cut:])


def test_codes_read_one_step_late_with_static_shapes_are_the_same(decode, facts, prompt):
    """The GPU path, with a recorder instead of CUDA graphs."""

    class Recorder:
        def warm_up(self, function: Callable[[], Any]) -> None:
            function()

        def capture(self, function: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
            static = function()

            def replay() -> None:
                for name, value in function().items():
                    static[name].copy_(value)

            return replay, static

    requests = [request_of(facts, prompt, item, replace(SAMPLED, max_tokens=20)) for item in ITEMS]
    plain, late = decode(requests, 4), decode(requests, 4, backend=Recorder(), read_late=True)
    for one, other in zip(plain, late, strict=True):
        np.testing.assert_array_equal(one.codes, other.codes)


def test_rows_of_bert_features(on, make, facts, prompt):
    """The frontend sends a row for each character, and for each phone the number of its row or -1."""
    segment = segment_of(facts, "mix1")
    dense = segment.features["bert"]
    chosen = np.flatnonzero(dense.any(1))
    row = np.full(len(dense), -1, np.int32)
    row[chosen] = np.arange(len(chosen))
    sparse = replace(segment, features={"bert": dense[chosen], "bert_row": row})

    def run() -> list[Tensor]:
        model = make(1)
        return [model._embedded(GptRequest(one, prompt, GREEDY))[0] for one in (segment, sparse)]

    assert (row < 0).any()
    near(*on(run), atol=1e-6)


def test_a_segment_that_is_too_long_is_refused(on, make, facts, prompt):
    left = PHONES - len(facts["prompt.phones"])
    request = GptRequest(Segment("", np.full(left + 1, 9)), prompt, GREEDY)
    with pytest.raises(InvalidInput, match=f"{left + 1} phones is too long: at most {left}"):
        on(lambda: prefill_at_once(make(1), 0, request))


def test_a_voice_that_is_too_long_is_refused(on, make, facts, prompt):
    long = VoicePrompt.of("gpt_sovits", {**prompt.tensors, "codes": np.zeros(271, np.int64)})
    with pytest.raises(InvalidInput, match="a voice of 271 codes") as error:
        on(lambda: prefill_at_once(make(1), 0, request_of(facts, long, "zh1")))
    assert error.value.param == "voice"


def test_sinusoids():
    table = sinusoids(5, 8)
    assert table.shape == (5, 8)
    np.testing.assert_allclose(table[3, :2], [np.sin(3), np.cos(3)], atol=1e-6)
    np.testing.assert_allclose(table[3, 2:4], [np.sin(0.3), np.cos(0.3)], atol=1e-6)
