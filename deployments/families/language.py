"""Maps the language of a request to one of a frontend."""

from collections.abc import Sequence
from typing import TypeVar

from deployments.contract.errors import InvalidInput

Language = TypeVar("Language", bound=str)


def language_of(language: str | None, allowed: Sequence[Language]) -> Language | None:
    """The one of `allowed` that `language` names, in any case and region ("zh-CN"). Raises InvalidInput."""
    if not language:
        return None
    asked = language.replace("_", "-").split("-")[0].strip().lower()
    for known in allowed:
        if known == asked:
            return known
    raise InvalidInput(
        f"language {language[:20]!r} is not supported by this model; allowed: {', '.join(allowed)}",
        param="language",
        code="unsupported_language",
    )
