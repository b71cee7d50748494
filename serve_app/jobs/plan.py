"""Splits a chapter of a book into the segments that a job speaks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from deployments.contract.errors import InvalidInput
from serve_app.books.book import Book, Chapter
from serve_app.books.pronunciations import Pronunciations, span_in
from serve_app.books.tags import Part, tagged
from serve_app.jobs.request import DEFAULT_VOICE, JobOptions, JobRequest
from serve_app.jobs.segments import Planned
from serve_app.service import Service

MOST_WARNINGS = 100  # about tags, in a job's row and in every answer about it


def chosen(book: Book, options: JobOptions) -> list[int]:
    """The indices of the chapters to speak, in the book's order. Raises InvalidInput (param "chapters")."""
    if options.chapters is None:
        return [index for index, chapter in enumerate(book.chapters) if chapter.included]
    if max(options.chapters) >= len(book.chapters):
        message = f"Invalid 'chapters': must be indices from 0 to {len(book.chapters) - 1}, as `dry_run` lists them."
        raise InvalidInput(message, param="chapters")
    return sorted(set(options.chapters))


def speakers(chapters: Iterable[Chapter]) -> dict[str, None]:
    """The speakers whose voices are needed, in order of appearance; DEFAULT_VOICE for text without a speaker."""
    return {
        speaker: None for chapter in chapters for _, part in _parts(chapter) for speaker in [_speaker(part)]
    }


def warnings(chapters: Iterable[Chapter]) -> list[str]:
    """What is wrong with the tags of voices: the first MOST_WARNINGS, and how many more."""
    parsed = (tagged([block.text for block in chapter.blocks]) for chapter in chapters)
    found = [f"{warning}." for each in parsed for warning in each.warnings]
    more = len(found) - MOST_WARNINGS
    return [*found[:MOST_WARNINGS], *([f"{more} more tags of voices are not in pairs."] if more > 0 else [])]


async def segments_of(
    service: Service, request: JobRequest, chapter: Chapter, respelled: Pronunciations
) -> list[Planned]:
    """The segments of a chapter, as the model's own frontend cuts it.

    A part that the model cannot read is one segment with an error. Raises Unavailable and NotFound (param "model").
    """
    planned: list[Planned] = []
    for number, part in _parts(chapter):
        kept, last = len(planned), planned[-1:]
        try:
            await _plan_part(service, request, respelled, planned, number, part)
        except InvalidInput as error:
            planned[kept - len(last) :] = last
            planned.append(Planned(number, part.span, part.text, _speaker(part), 0.0, error.message))
    return planned


async def _plan_part(
    service: Service,
    request: JobRequest,
    respelled: Pronunciations,
    planned: list[Planned],
    number: int,
    part: Part,
) -> None:
    """Adds the segments of a part. If it raises, some are added and the pause of the last one before may be longer."""
    said = respelled.respelled(part.text)
    async for segment in service.read(said.text, request.model, request.language, request.controls):
        begin, end = span_in(said, segment.span or (0, len(said.text)))
        pause = segment.pause_after / request.speed
        if len(segment.token_ids):
            text, offset = part.text[begin:end], part.span[0]
            planned.append(Planned(number, (begin + offset, end + offset), text, _speaker(part), pause))
        elif planned:  # silence alone
            planned[-1] = replace(planned[-1], pause_after=planned[-1].pause_after + pause)


def _parts(chapter: Chapter) -> Iterator[tuple[int, Part]]:
    """The parts of each block in one voice, with the block's index."""
    blocks = chapter.blocks
    for number, parts in enumerate(tagged([block.text for block in blocks]).parts):
        for part in parts:
            yield number, part if part.voice else replace(part, voice=blocks[number].speaker)


def _speaker(part: Part) -> str:
    return part.voice or DEFAULT_VOICE
