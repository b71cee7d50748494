from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from deployments.contract.errors import InvalidInput
from deployments.contract.speech import GptRequest, Run, Sampling, Segment, VoicePrompt
from deployments.contract.work import WorkItem
from deployments.engine.decode import Decoder
from deployments.engine.decode.sampling import SamplingState
from deployments.engine.device.choose import choose_device
from deployments.engine.device.thread import DeviceThread
from deployments.families.checkpoint import read_tensors
from deployments.families.indextts.config import IndexConfig, read_config
from deployments.families.indextts.gpt import IndexGpt
from deployments.families.indextts.gpt_net import GptNet
from tests.families.prefill import prefill_at_once
from tests.golden.indextts_set import SENTENCES, STEPS, found

PENALTIES = [int(penalty) for penalty in found("gpt", r"s0\.greedy_rp(\d+)\.step_logits")]
CPU = choose_device("cpu", threads=1)
CODES = 40  # the limit in the published code's run
GREEDY = Sampling.of(temperature=0.0, top_k=30, top_p=0.8, repetition_penalty=10.0, max_tokens=CODES)
SAMPLED = Sampling.of(temperature=1.0, top_k=30, top_p=0.8, repetition_penalty=1.5, max_tokens=60)


@pytest.fixture(scope="module")
def config(golden) -> IndexConfig:
    return read_config(golden / "checkpoint")


@pytest.fixture(scope="module")
def tensors(golden, config) -> dict[str, Tensor]:
    return read_tensors(golden / "checkpoint" / config.gpt_checkpoint)


@pytest.fixture(scope="module")
def facts(expected) -> dict[str, Tensor]:
    return expected("gpt")


@pytest.fixture(scope="module")
def prompt(expected) -> VoicePrompt:
    reference = expected("reference")
    latents, speaker = reference["cond_latents"][0].numpy(), reference["speaker_embedding"][0, 0].numpy()
    return VoicePrompt.of("indextts", {"latents": latents, "speaker": speaker})


@pytest.fixture(scope="module")
def net(tensors, config) -> GptNet:
    return GptNet(tensors, config, torch.device("cpu"), torch.float32)


@pytest.fixture
def on() -> Iterator[Callable[..., Any]]:
    thread = DeviceThread("test", threads=1)
    yield lambda function, *args: thread.submit(function, *args).result()
    thread.close()


@pytest.fixture
def decode(on, tensors, config) -> Callable[..., list[Run]]:
    """decode(requests, slots=2, positions="trained") -> the run of each, decoded together."""

    def run(requests: Sequence[GptRequest], slots: int = 2, **options: Any) -> list[Run]:
        decoder = Decoder(IndexGpt(tensors, config, CPU, slots, **options), CPU)
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
    parts = ([run.codes for run in runs], [run.frames for run in runs], [run.kept for run in runs])
    return Run(*(np.concatenate(part) for part in parts))


def changed(sampling: Sampling, seed: int = 0, max_tokens: int | None = None, **controls: float) -> Sampling:
    return Sampling(seed, max_tokens or sampling.max_tokens, controls={**sampling.controls, **controls})


def request_of(facts, prompt, sentence: int, sampling: Sampling = GREEDY) -> GptRequest:
    return GptRequest(Segment("", facts[f"s{sentence}.text_ids"][0].numpy()), prompt, sampling)


def hidden_states(net: GptNet, x: Tensor) -> list[Tensor]:
    """The outputs of every block, of ln_f and of final_norm for the whole sequence x (T, M), without a cache."""
    outputs = []
    for block in net.blocks:
        q, k, v = (
            part.transpose(0, 1).unsqueeze(0) for part in net._heads(block.project(block.norm_1(x))).unbind(1)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)[0]
        x = block.finish(x, mixed.transpose(0, 1).flatten(1))
        outputs.append(x)
    outputs.append(net.norm(x))
    return [*outputs, net.final_norm(outputs[-1])]


def prefix_of(net: GptNet, facts, expected, sentence: int) -> Tensor:
    return torch.cat(
        [expected("reference")["cond_latents"][0], net.embed_text(facts[f"s{sentence}.text_ids"][0])]
    )


def near(found: Tensor, wanted: Tensor, tolerance: float = 1e-4) -> None:
    assert found.shape == wanted.shape
    torch.testing.assert_close(found, wanted, rtol=0, atol=tolerance)


@pytest.mark.parametrize("sentence", SENTENCES)
def test_prefix_embeddings(net, facts, expected, sentence):
    near(prefix_of(net, facts, expected, sentence), facts[f"s{sentence}.prefix_embeds"][0])


def test_prefixes_of_a_batch_padded_on_the_left(net, facts, expected):
    """Ours are not padded: a row of the published batch is zeros followed by the sentence's own prefix."""
    embeds, mask = facts["batch.prefix_embeds"], facts["batch.attention_mask"]
    for row, sentence in enumerate(SENTENCES):
        own = prefix_of(net, facts, expected, sentence)
        near(embeds[row, -len(own) :], own)
        assert not embeds[row, : -len(own)].any()
        assert int(mask[row].sum()) == len(own) + 1  # the start token


def test_hidden_states_of_the_prefill(net, config, facts, expected):
    start = torch.tensor([config.gpt.start_mel_token])
    x = torch.cat([prefix_of(net, facts, expected, 0), net.embed_mel(start, torch.tensor([0]))])
    *blocks, normed, _ = hidden_states(net, x)
    for index, block in enumerate(blocks):
        near(block, facts[f"s0.prefill.block{index}_out"][0])
    near(normed, facts["s0.prefill.ln_f_out"][0])


@pytest.mark.parametrize("sentence", SENTENCES)
def test_teacher_forced_logits_and_latents(net, tensors, config, facts, expected, sentence):
    start, stop = config.gpt.start_mel_token, config.gpt.stop_mel_token
    codes = torch.cat([torch.tensor([start]), facts[f"s{sentence}.fwd.codes"][0], torch.tensor([stop])])
    prefix = prefix_of(net, facts, expected, sentence)
    hidden = hidden_states(net, torch.cat([prefix, net.embed_mel(codes, torch.arange(len(codes)))]))[-1]
    text, mel = hidden[32 : len(prefix)], hidden[len(prefix) :]
    near(net.mel_head(mel)[:, : config.gpt.number_mel_codes], facts[f"s{sentence}.fwd.mel_logits"][0])
    text_head = tensors["text_head.weight"].float(), tensors["text_head.bias"].float()
    near(F.linear(text, *text_head), facts[f"s{sentence}.fwd.text_logits"][0])
    near(mel[:-2], facts[f"s{sentence}.fwd.latent"][0])


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("sentence", SENTENCES)
def test_greedy_codes_under_the_published_rule(decode, facts, prompt, sentence, penalty):
    request = request_of(facts, prompt, sentence, changed(GREEDY, repetition_penalty=float(penalty)))
    (run,) = decode([request], positions="published")
    np.testing.assert_array_equal(run.codes, facts[f"s{sentence}.greedy_rp{penalty}.codes"][0])


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("sentence", SENTENCES)
def test_logits_of_every_step(on, tensors, config, facts, prompt, sentence, penalty):
    wanted = facts[f"s{sentence}.greedy_rp{penalty}.step_logits"]
    request = request_of(facts, prompt, sentence, changed(GREEDY, repetition_penalty=float(penalty)))

    def run() -> Tensor:
        model, rows, found = IndexGpt(tensors, config, CPU, 1, positions="published"), torch.tensor([0]), []
        head = model.net.mel_head
        model.net.mel_head = lambda hidden: found.append(head(hidden)) or found[-1]
        taken = prefill_at_once(model, 0, request)
        for step in range(len(wanted)):
            model.step(rows, taken + step + 1)
        return torch.cat(found)[:, : config.gpt.number_mel_codes]

    near(on(run), wanted)


@pytest.mark.parametrize("sentence", SENTENCES)
def test_greedy_codes_under_the_rule_of_training(decode, facts, prompt, sentence):
    (run,) = decode([request_of(facts, prompt, sentence)], positions="trained")
    np.testing.assert_array_equal(run.codes, facts[f"s{sentence}.greedy_rp10_nocache.codes"][0])


@pytest.mark.parametrize("sentence", SENTENCES)
def test_latents_without_a_second_pass_equal_the_second_pass(decode, facts, prompt, sentence):
    (run,) = decode([request_of(facts, prompt, sentence)], positions="published")
    near(torch.from_numpy(run.spoken), facts[f"s{sentence}.fwd.latent"][0])


@pytest.mark.parametrize("sentence", SENTENCES)
def test_under_the_rule_of_training_a_code_and_its_latent_share_one_state(
    decode, net, config, facts, expected, prompt, sentence
):
    (run,) = decode([request_of(facts, prompt, sentence)], positions="trained")
    codes = torch.tensor([config.gpt.start_mel_token, *run.codes.tolist()])
    prefix = prefix_of(net, facts, expected, sentence)
    hidden = hidden_states(net, torch.cat([prefix, net.embed_mel(codes, torch.arange(len(codes)))]))[-1]
    latents = hidden[len(prefix) : len(prefix) + len(run.spoken)]
    near(torch.from_numpy(run.spoken), latents)


@pytest.mark.parametrize("positions", ["published", "trained"])
def test_a_batch_gives_the_published_codes_of_each_row(decode, config, facts, prompt, positions):
    requests = [request_of(facts, prompt, sentence) for sentence in SENTENCES]
    runs = decode(requests, len(requests), positions=positions)
    name = {"published": "greedy_rp10", "trained": "greedy_rp10_nocache"}[positions]
    for sentence, run in enumerate(runs):
        np.testing.assert_array_equal(run.codes, facts[f"s{sentence}.{name}.codes"][0])
    stop = config.gpt.stop_mel_token
    batch = facts["batch.greedy_rp10.codes"]
    if positions == "published":
        for row, run in zip(batch, runs, strict=True):
            np.testing.assert_array_equal(run.codes, row[: len(run.codes)])
            assert (row[len(run.codes) :] == stop).all()


@pytest.mark.parametrize("positions", ["published", "trained"])
def test_eight_segments_together_equal_each_alone(decode, facts, prompt, positions):
    requests = [
        request_of(
            facts, prompt, index % 4, changed(SAMPLED, seed=index, temperature=(1.0, 0.0, 0.7)[index % 3])
        )
        for index in range(8)
    ]
    together = decode(requests, 8, positions=positions)
    assert len({run.codes.tobytes() for run in together}) == 8
    for request, run in zip(requests, together, strict=True):
        (alone,) = decode([request], 2, positions=positions)
        np.testing.assert_array_equal(run.codes, alone.codes)
        np.testing.assert_array_equal(run.frames, alone.frames)
        np.testing.assert_array_equal(run.kept, alone.kept)


@pytest.mark.parametrize("positions", ["published", "trained"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_a_resumed_segment_continues_bit_for_bit(decode, facts, prompt, positions, share):
    requests = [request_of(facts, prompt, 3, replace(SAMPLED, seed=seed)) for seed in range(16)]
    longest = max(
        zip(decode(requests, 16, positions=positions), requests, strict=True), key=lambda r: len(r[0])
    )
    whole, request = longest
    cut = int(share * len(whole)) + 1
    assert len(whole) > cut
    (rest,) = decode([request.resume([whole[:cut]])], positions=positions)
    np.testing.assert_array_equal(rest.codes, whole.codes[cut:])
    np.testing.assert_array_equal(rest.frames, whole.frames[cut:])
    np.testing.assert_array_equal(rest.kept, whole.kept[cut:])


def test_the_stop_code_makes_no_sound(decode, config, facts, prompt):
    stop = config.gpt.stop_mel_token
    sentence = next(s for s in SENTENCES if facts[f"s{s}.greedy_rp10.codes"][0, -1] == stop)
    (run,) = decode([request_of(facts, prompt, sentence)], positions="published")
    assert run.codes[-1] == stop
    assert run.kept.tolist() == [True] * (len(run.codes) - 1) + [False]


def test_the_prefill_of_a_voice_is_cached(on, tensors, config, facts, prompt):
    def run() -> tuple[int, int]:
        model = IndexGpt(tensors, config, CPU, 2)
        calls = []
        prefix = model.net.prefix
        model.net.prefix = lambda *args: calls.append(len(args)) or prefix(*args)
        for slot in range(2):
            prefill_at_once(model, slot, request_of(facts, prompt, slot))
        return calls.count(1), calls.count(2)

    assert on(run) == (1, 2)


def test_codes_are_limited_by_the_position_table(decode, config, facts, prompt):
    for positions in ("published", "trained"):
        endless = changed(GREEDY, repetition_penalty=1.0, max_tokens=5000)
        (run,) = decode([request_of(facts, prompt, 0, endless)], positions=positions)
        assert len(run.codes) <= config.max_codes


@pytest.mark.parametrize("positions", ["published", "trained"])
def test_the_scratch_row_of_padded_batches_never_ends(on, tensors, config, facts, prompt, positions):
    def run() -> Tensor:
        model = IndexGpt(tensors, config, CPU, 3, positions=positions)
        taken = prefill_at_once(model, 1, request_of(facts, prompt, 0))
        for _ in range(3 * config.max_codes):
            model.step(torch.tensor([3, 3]), 64)
        codes = [model.step(torch.tensor([1, 3]), taken + step + 1).codes[0] for step in range(20)]
        return torch.stack(codes)

    name = {"published": "greedy_rp10", "trained": "greedy_rp10_nocache"}[positions]
    wanted = facts[f"s0.{name}.codes"][0][:20]
    assert torch.equal(on(run)[: len(wanted)], wanted)


@pytest.mark.parametrize("positions", ["published", "trained"])
def test_codes_read_one_step_late_with_static_shapes_are_the_same(
    on, tensors, config, facts, prompt, positions
):
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

    requests = [request_of(facts, prompt, index % 4, replace(SAMPLED, seed=index)) for index in range(3)]

    def run(**options: Any) -> list[Run]:
        decoder = Decoder(IndexGpt(tensors, config, CPU, 4, positions=positions), CPU, **options)
        decoder.warm_up()
        for number, request in enumerate(requests):
            decoder.admit(WorkItem(str(number), request))
        found: dict[str, list[Run]] = {}
        while decoder.active:
            for event in decoder.step():
                assert event.error is None
                if event.value is not None:
                    found.setdefault(event.id, []).append(event.value)
        return [joined(found[name]) for name in sorted(found)]

    plain, late = on(run), on(lambda: run(backend=Recorder(), read_late=True))
    for one, other in zip(plain, late, strict=True):
        np.testing.assert_array_equal(one.codes, other.codes)
        np.testing.assert_array_equal(one.spoken, other.spoken)


def test_a_segment_that_is_too_long_is_refused(on, tensors, config, facts, prompt):
    limit = min(120, config.gpt.max_text_tokens)
    request = GptRequest(Segment("", np.full(limit + 1, 9)), prompt, GREEDY)
    with pytest.raises(InvalidInput, match=f"{limit + 1} pieces is too long: at most {limit}"):
        on(lambda: prefill_at_once(IndexGpt(tensors, config, CPU, 1), 0, request))


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (Sampling.of(temperature=1.0, top_k=30, top_p=0.8, repetition_penalty=10.0), "default"),
        (Sampling.of(temperature=0.7, top_k=10, top_p=0.95, repetition_penalty=10.0), "t07k10p95"),
    ],
)
def test_codes_are_drawn_from_the_published_distribution(expected, step, settings, name):
    facts = expected("sampling")
    logits, history = facts[f"step{step}.logits"], facts[f"step{step}.history"][0]
    state, rows = SamplingState(1, logits.shape[1], torch.device("cpu")), torch.tensor([0])
    state.set(0, settings)
    assert state.seen is not None
    state.seen[0, history] = True
    ordered = torch.sort(state.penalise(logits, rows), descending=True, stable=True)
    shares = state.shares(ordered.values, rows)
    found = torch.zeros_like(logits).scatter(1, ordered.indices, shares / shares.sum())
    near(found, facts[f"step{step}.{name}.probs"], 1e-6)


def test_the_initial_penalised_history(on, tensors, config, facts, prompt, expected):
    history = expected("sampling")["step0.history"][0].unique().tolist()

    def run() -> list[int]:
        model = IndexGpt(tensors, config, CPU, 1)
        prefill_at_once(model, 0, request_of(facts, prompt, 0))
        assert model.sampling.seen is not None
        return model.sampling.seen[0].nonzero()[:, 0].tolist()

    assert on(run) == history
