"""The soak test detects a leak, and measures every process of a real service."""

from __future__ import annotations

import random

import numpy as np
import pytest

from benchmarks._memory import RAY, Held, Sample
from benchmarks._text_length import long_text
from benchmarks.soak import OURS, TOTAL, asking, slopes

KIB = 1024


def samples(leak_kib: float, count: int = 60, requests: int = 20) -> list[Sample]:
    """Samples of a part that leaks `leak_kib` per request, and of one that does not leak."""
    rng = np.random.default_rng(3)
    found = []
    for index in range(count):
        leaking = Held(rss=round(KIB * (9000 + leak_kib * requests * index + rng.normal(0, 30))))
        steady = Held(rss=round(KIB * (5000 + rng.normal(0, 30))))
        found.append(Sample({"Gpt": leaking, "Vocoder": steady, RAY: steady}, frozenset({1, 2})))
    return found


def test_a_leak_is_found_in_its_process_and_in_the_total():
    found = slopes(samples(leak_kib=2.0), requests=20)
    for name in ("Gpt", OURS, TOTAL):
        slope = found[name]["rss_kib_per_request"]
        assert not found[name]["zero_within"]
        assert slope["low"] <= 2.0 <= slope["high"]
    assert found["Vocoder"]["zero_within"]


def test_without_a_leak_the_interval_contains_zero():
    assert all(row["zero_within"] for row in slopes(samples(leak_kib=0.0), requests=20).values())


def test_growth_without_requests_is_subtracted():
    waiting = samples(leak_kib=0.6, requests=10)  # 2 KiB per second
    found = slopes(samples(leak_kib=2.0), 20, waiting, seconds_per_request=0.5)
    assert not found["Gpt"]["zero_within"]
    beyond = found["Gpt"]["beyond_idle_kib_per_request"]
    assert beyond["low"] <= 1.0 <= beyond["high"] and not found["Gpt"]["zero_within_beyond_idle"]
    found = slopes(samples(leak_kib=2.0), 20, waiting, seconds_per_request=1.0)
    assert found["Gpt"]["zero_within_beyond_idle"]


def test_every_kind_of_listener_occurs():
    rng = random.Random(1)
    asked = [asking(rng, ["clara", "kai"]) for _ in range(200)]
    assert {tuple(fate) for _, fate in asked} == {(), ("leave_after_s",), ("leave_after_bytes",)}
    assert {say.voice for say, _ in asked} == {"clara", "kai"}
    lengths = [len(say.text.split()) for say, _ in asked]
    assert min(lengths) == 2
    assert max(lengths) > 10


@pytest.mark.parametrize("chars", [100, 500, 50_000])
def test_a_text_has_the_requested_length(chars):
    text = long_text(chars, seed=1)
    assert len(text) == chars
    assert text.endswith(".")


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_a_real_service_is_measured(run, tmp_path):
    result = run("soak", "--requests", "32", "--round", "2", "--clients", "2", "--trim", "--idle-s", "30")
    assert {"Gpt", "Vocoder", "Ingress", "GptScheduler", "VocoderScheduler", TOTAL} <= set(result["slopes"])
    assert {"TextFrontend", "VoiceEncoder", "ProxyActor", "chorale serve"} <= set(result["slopes"])
    assert not result["processes_replaced"]
    assert result["slopes"][OURS]["end_mib"] < result["slopes"][TOTAL]["end_mib"]
    assert sum(result["outcomes"].values()) == 32
    assert set(result["outcomes"]) <= {"heard", "left in the middle", "left before the first sound"}
    assert result["outcomes"]["heard"] > 10
    assert all(len(series) == 16 for series in result["rss_mib"].values())
    assert all("beyond_idle_kib_per_request" in row for row in result["slopes"].values())
    assert (tmp_path / "soak.png").exists()


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_texts_longer_than_the_limit_are_compared(run):
    (row,) = run("soak", "--text-length", "--chars", "5050", "--budget-s", "5")["lengths"]
    assert row["chars"] == 5050
    assert row["peak_mib"] >= row["before_mib"] * 0.9
    assert row["audio_s"] > 0
