"""The baseline of the IndexTTS benchmark reproduces the results of the published code."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from benchmarks.published_indextts import PublishedIndexTts, buckets, pad_texts, pcm16
from deployments.contract.speech import Sampling
from deployments.families.indextts.text.frontend import IndexFrontend
from tests.golden.indextts_set import FOLDER, LONG, SENTENCES, SPOKEN, TEXT_CASES

GREEDY = Sampling.of(temperature=0.0, repetition_penalty=10.0, max_tokens=24)


@pytest.fixture(scope="module")
def published() -> PublishedIndexTts:
    return PublishedIndexTts(FOLDER / "checkpoint")


@pytest.fixture(scope="module")
def mel() -> torch.Tensor:
    return load_file(FOLDER / "expected" / "reference.safetensors")["mel"]


@pytest.fixture(scope="module")
def expected() -> dict[str, torch.Tensor]:
    return load_file(FOLDER / "expected" / "e2e.safetensors")


def sentence(index: int) -> torch.Tensor:
    return torch.tensor(TEXT_CASES["sentences"][index]["ids"])


def long_text(published: PublishedIndexTts, limit: int) -> list[torch.Tensor]:
    count = published.config.gpt.number_text_tokens
    frontend = IndexFrontend(FOLDER / "checkpoint" / "bpe.model", count, limit)
    return [torch.from_numpy(s.token_ids) for s in frontend.segments(TEXT_CASES["sentences"][-1]["text"])]


def same_pcm(found: np.ndarray, wanted: torch.Tensor) -> None:
    assert found.shape == wanted[0].shape
    assert np.abs(found.astype(int) - wanted[0].numpy()).max() <= 2


@pytest.mark.parametrize("index", SPOKEN)
def test_infer(published, mel, expected, index):
    same_pcm(pcm16(published.infer([sentence(index)], mel, GREEDY)), expected[f"infer.s{index}.pcm16"])


@pytest.mark.parametrize("limit", LONG)
def test_infer_and_infer_fast_of_a_long_text(published, mel, expected, limit):
    sentences = long_text(published, limit)
    brief = Sampling.of(temperature=0.0, repetition_penalty=10.0, max_tokens=10)
    same_pcm(pcm16(published.infer(sentences, mel, brief)), expected[f"infer.long{limit}.pcm16"])
    same_pcm(
        pcm16(published.infer_fast(sentences, mel, brief, bucket=1)),
        expected[f"infer_fast.long{limit}.pcm16"],
    )


@pytest.mark.parametrize("penalty", [1, 10])
def test_batched_decoding(published, mel, penalty):
    facts = load_file(FOLDER / "expected" / "gpt.safetensors")
    with torch.inference_mode():
        prefix = published.conditioner(mel)[0]
        prompts = [published.gpt.prompt(prefix, sentence(index)) for index in SENTENCES]
        sampling = Sampling.of(temperature=0.0, repetition_penalty=float(penalty), max_tokens=40)
        found = published.gpt.decode(prompts, sampling, torch.Generator())
    for row, codes in zip(facts[f"batch.greedy_rp{penalty}.codes"], found, strict=True):
        assert torch.equal(codes, row[: len(codes)])
        assert (row[len(codes) :] == published.config.gpt.stop_mel_token).all()


def test_sampled_codes_follow_the_seed(published, mel):
    sampling = Sampling.of(temperature=1.0, top_k=30, top_p=0.8, repetition_penalty=1.0, max_tokens=12)
    first, again, other = (published.infer([sentence(1)], mel, sampling, seed=seed)[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first[: len(other)], other[: len(first)])


@pytest.mark.parametrize("probe", TEXT_CASES["bucket_probes"], ids=lambda probe: str(len(probe["lengths"])))
def test_buckets(probe):
    assert buckets(probe["lengths"], probe["bucket_max_size"]) == probe["buckets"]


def test_padding_of_the_golden_sentences(published):
    facts = load_file(FOLDER / "expected" / "gpt.safetensors")
    texts = [sentence(index).tolist() for index in SENTENCES]
    assert pad_texts(texts, published.config.version) == facts["batch.text_ids_padded"].tolist()


@pytest.mark.parametrize("version", [None, 1.5])
def test_padding(version):
    probe = TEXT_CASES["pad_probe"]
    assert pad_texts(probe["tokens"], version) == probe["out"][str(version)]
