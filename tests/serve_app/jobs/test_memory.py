"""A long job holds no more memory than a short one."""

from __future__ import annotations

import pytest

from deployments.engine.device import memory
from serve_app.jobs.jobs import Jobs
from tests.books import prose
from tests.serve_app.jobs.conftest import finished, running, submission, until

GROWTH = 30e6  # bytes


WHOLE = pytest.param(500_000, marks=[pytest.mark.nightly, pytest.mark.timeout(3600)])


@pytest.mark.parametrize("characters", [25_000, WHOLE])
async def test_the_memory_of_a_long_job_is_flat(jobs: Jobs, characters: int) -> None:
    row = await jobs.submit(submission("\n\n".join(prose(characters))))
    async with running(jobs):
        row = await until(jobs, row.id, lambda row: _share(row.figures) >= 0.25)
        quarter = held()
        row = await finished(jobs, row.id)
    grown = held() - quarter
    sound = row.figures["audio_seconds"] * row.plan["rate"] * 4
    print(f"grown by {grown / 1e6:.1f} MB after a quarter of {sound / 1e6:.0f} MB of sound")
    assert row.state == "done" and sound > 3 * GROWTH
    assert grown < GROWTH


def held() -> int:
    """Bytes of this process without garbage and free pages, which depend on the tests before this one."""
    return memory.free()["after"]["rss_bytes"]


def _share(figures: dict) -> float:
    return figures.get("characters_done", 0) / max(1, figures.get("characters", 0))
