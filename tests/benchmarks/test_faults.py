"""What the benchmark of faults counts, and that its page shows the last run."""

from __future__ import annotations

import json
import shutil

import pytest

from benchmarks import faults
from benchmarks._common import ROOT
from benchmarks._load import CUT, Answer, Say

SAY, SAMPLES = Say("Hello.", "clara", 1), b"abcdef"


def answer(at: float, data: bytes = SAMPLES, status: int = 200, code: str | None = None) -> Answer:
    arrivals = [(at, len(data))] if data else []
    return Answer(SAY, at, status=status, code=code, data=data, arrivals=arrivals)


def request(asked: float, *attempts: Answer) -> faults.Request:
    ended = attempts[-1].arrivals[-1][0] if attempts[-1].arrivals else attempts[-1].asked
    return faults.Request(SAY, asked, ended, list(attempts))


def rows(*requests: faults.Request) -> list[dict]:
    """Without a fault for ten requests, then a death at 10, back at 13, until 20."""
    quiet = [request(n, answer(n + 0.1)) for n in range(10)]
    struck = [faults.Struck("Gpt", 10.0, 13.0)]
    return faults.report([*quiet, *requests], {SAY: SAMPLES}, struck, 0.0, 20.0)["rows"]


def test_a_request_that_was_answered_in_full_is_neither_failed_nor_different():
    none, gpt = rows(request(11.0, answer(11.3)))
    assert (none["fault"], none["requests"], none["back_s"]) == ("none", 10, None)
    assert (gpt["requests"], gpt["failed"], gpt["different"], gpt["broken"]) == (1, [], 0, 0)
    assert gpt["back_s"] == 3.0


def test_other_samples_and_errors_are_counted():
    _, gpt = rows(
        request(11.0, answer(11.1, b"abcdeg")),
        request(12.0, answer(12.1, SAMPLES[:4])),
        request(13.0, answer(13.1, b"", 503, "unavailable")),
    )
    assert (gpt["different"], gpt["failed"]) == (2, ["unavailable"])


def test_a_broken_connection_is_asked_again_and_its_beginning_is_compared():
    cut, wrong = answer(11.1, b"abc", code=CUT), answer(12.1, b"abd", code=CUT)
    unanswered = answer(13.0, b"", 0, "ConnectError")
    _, gpt = rows(
        request(11.0, cut, answer(14.0)),
        request(12.0, wrong, answer(14.0)),
        request(13.0, unanswered, answer(15.0)),
    )
    assert (gpt["broken"], gpt["asked_again"], gpt["failed"], gpt["different"]) == (3, 3, [], 1)
    assert gpt["ttfa_s"]["p50"] == 0.1  # of 0.1, 0.1 and 2: a first sound counts even if its connection broke


def test_slow_requests_count_until_the_last_one_has_sounded():
    _, gpt = rows(request(11.0, answer(14.0)), request(12.0, answer(14.5)), request(15.0, answer(15.1)))
    assert gpt["slow_s"] == 4.5


def test_changes_of_a_section_leave_its_other_keys():
    args = {"gpt": {"replicas": 2}, "limits": {"max_voices": 1}}
    found = faults.merged(args, {"gpt": {"slots": 6}, "ingress": {"window": 2}})
    assert found == {**args, "gpt": {"replicas": 2, "slots": 6}, "ingress": {"window": 2}}
    assert args["gpt"] == {"replicas": 2}


@pytest.mark.nightly
@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
def test_no_request_fails_when_a_replica_a_scheduler_and_the_gcs_die(run):
    struck = ["Gpt", "GptScheduler", "head's GCS"]
    result = run("faults", "--minutes", "2", "--faults", ",".join(struck))
    assert [row["fault"] for row in result["rows"]] == ["none", *struck]
    for row in result["rows"]:
        assert row["requests"] and (row["failed"], row["different"], row["broken"]) == ([], 0, 0), row


def test_the_page_shows_the_last_run():
    file = ROOT / "benchmarks" / "results" / "faults.json"
    if not file.exists():
        pytest.skip("it was not run yet")
    _, table, _ = (ROOT / "docs" / "faults.md").read_text("utf-8").split(faults.MARK)
    assert table == faults.markdown(json.loads(file.read_text("utf-8")))
