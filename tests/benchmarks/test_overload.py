"""The overload benchmark counts from the time at which a request was due, and tells accepted from rejected ones."""

from __future__ import annotations

import pytest

from benchmarks._load import BYTES_PER_S, Answer, Load, Say
from benchmarks._memory import MIB
from benchmarks.overload import Phase, endless, verdict

SAY = Say("Hello.", "clara", 1)


def accepted(due: float, first_s: float) -> Answer:
    return Answer(SAY, due, status=200, arrivals=[(due + first_s, BYTES_PER_S), (due + 2, 2 * BYTES_PER_S)])


def refused(due: float, after_s: float, retry_after: str | None = "1") -> Answer:
    return Answer(SAY, due, status=429, code="overloaded", refused_at=due + after_s, retry_after=retry_after)


def phase(*answers: Answer, memory: float = 100.0) -> Phase:
    return Phase("one", 3.0, 10.0, 20.0, list(answers), [round(memory * MIB)], 0.1)


def test_a_phase_tells_what_became_of_its_requests():
    failed = Answer(SAY, 12.0, status=500, code="internal_error")
    figures = phase(accepted(11.0, 0.4), refused(11.5, 0.02), refused(11.7, 0.3, None), failed).figures()
    assert (figures["requests"], figures["accepted"], figures["refused"]) == (4, 1, 2)
    assert figures["errors"] == {"500 internal_error": 1}
    assert figures["accepted_per_s"] == 0.1
    assert figures["ttfa_s"]["p50"] == pytest.approx(0.4)
    assert figures["refusal_s"]["max"] == pytest.approx(0.3)
    assert (figures["refused_late"], figures["without_retry_after"]) == (1, 1)


def test_the_verdict_compares_with_the_capacity_and_with_the_phase_before():
    capacity = Load([accepted(1.0, 0.2)], 0.0, 10.0, 0.1, 10.0)
    below, over = phase(accepted(11.0, 0.1)), phase(accepted(12.0, 0.4), refused(13.0, 0.05), memory=103)
    after = phase(accepted(11.0, 9.0), accepted(16.0, 0.1), refused(12.0, 0.1))
    said = verdict(capacity, below, over, after, settle_s=5.0)
    assert said["ttfa_over_capacity"]["p50"] == pytest.approx(2.0)
    assert said["ttfa_over_below"]["p95"] == pytest.approx(4.0)
    assert said["refusals_within_100_ms"] == 1.0
    assert said["memory_growth_mib"] == pytest.approx(3.0)
    assert (said["after"]["requests"], said["after"]["refused"]) == (1, 0), "from five seconds on"


def test_every_request_has_a_seed_of_its_own():
    found = [say for say, _ in zip(endless(["clara", "kai"], seed=1), range(50), strict=False)]
    assert len({say.seed for say in found}) == 50 and {say.voice for say in found} == {"clara", "kai"}


@pytest.mark.nightly
def test_a_real_service_is_measured(run, tmp_path):
    result = run("overload", "--requests", "16", "--seconds", "8", "--settle-s", "4")
    below, over, after = result["phases"]
    assert result["capacity"]["requests_per_s"] > 0
    assert over["refused"] > 0 and over["accepted"] > 0 and below["accepted"] > 0 and after["accepted"] > 0
    assert all(not row["errors"] and not row["without_retry_after"] for row in result["phases"])
    assert over["memory_mib"]["most"] > 500
    assert (tmp_path / "overload.png").exists()
