"""A chapter of a book as the segments that a job speaks."""

from __future__ import annotations

from dataclasses import replace

from deployments.contract.errors import InvalidInput
from serve_app.books.book import Book, Chapter
from serve_app.jobs.request import DEFAULT_VOICE, JobOptions, JobRequest
from serve_app.jobs.segments import Planned
from serve_app.service import Service


def chosen(book: Book, options: JobOptions) -> list[int]:
    """The indices of the chapters to speak, in the book's order. Raises InvalidInput (param "chapters")."""
    if options.chapters is None:
        return [index for index, chapter in enumerate(book.chapters) if chapter.included]
    if max(options.chapters) >= len(book.chapters):
        last = len(book.chapters) - 1
        message = f"Invalid 'chapters': must be indices from 0 to {last}, as `dry_run` lists them."
        raise InvalidInput(message, param="chapters")
    return sorted(set(options.chapters))


async def segments_of(service: Service, request: JobRequest, chapter: Chapter) -> list[Planned]:
    """The segments of a chapter, as the model's own frontend cuts it.

    A block that the model cannot read is one segment with an error. Raises Unavailable and NotFound (param "model").
    """
    planned: list[Planned] = []
    for number, block in enumerate(chapter.blocks):
        try:
            planned = await _with_block(service, request, planned, number, block.text)
        except InvalidInput as error:
            whole = (0, len(block.text))
            planned.append(Planned(number, whole, block.text, DEFAULT_VOICE, 0.0, error.message))
    return planned


async def _with_block(
    service: Service, request: JobRequest, planned: list[Planned], number: int, text: str
) -> list[Planned]:
    """`planned` and the segments of one more block. `planned` itself stays as it is if this raises."""
    found = list(planned)
    async for segment in service.read(text, request.model, request.language):
        span = segment.span or (0, len(text))
        pause = segment.pause_after / request.speed
        if len(segment.token_ids):
            said = text[slice(*segment.span)] if segment.span else segment.text
            found.append(Planned(number, span, said, DEFAULT_VOICE, pause))
        elif found:  # silence alone
            found[-1] = replace(found[-1], pause_after=found[-1].pause_after + pause)
    return found
