"""The outcome of every segment of a job, which shows that nothing is missing."""

from __future__ import annotations

from typing import Any

from serve_app.jobs.models import JobRow
from serve_app.jobs.segments import Counts, SegmentStore

MOST_FAULTS = 1000  # that are listed with their texts


def report(row: JobRow, segments: SegmentStore) -> dict[str, Any]:
    """Blocks. Per chapter: its segments, those spoken, retried, cut and faulty, characters, and seconds of sound."""
    rate, counts = row.plan.get("rate") or 0, segments.counts(row.id)
    titles = dict(segments.chapters(row.id))
    faults = segments.page(row.id, state="faulty", limit=MOST_FAULTS)
    chapters = [
        {"index": index, "title": titles[index]} | _about(counts.get(index, Counts()), rate)
        for index in titles
    ]
    total = Counts.sum(counts.values())
    return {
        "object": "job.report",
        "id": row.id,
        "state": row.state,
        "complete": bool(row.plan.get("complete")) and total.spoken == total.segments,
        **_about(total, rate),
        "chapters": chapters,
        "faults": [
            {"index": s.index, "chapter": s.chapter, "text": s.text, "error": s.error} for s in faults
        ],
        "warnings": row.plan.get("warnings", []),
    }


def _about(counts: Counts, rate: int) -> dict[str, Any]:
    return {
        "segments": counts.segments,
        "spoken": counts.spoken,
        "retried": counts.retried,
        "cut": counts.cut,
        "faulty": counts.faulty,
        "characters": counts.characters,
        "seconds": round(counts.samples / rate, 3) if rate else 0.0,
    }
