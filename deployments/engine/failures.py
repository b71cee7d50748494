"""What a caller may see of an exception inside a model."""

import logging

from deployments.contract.errors import ChoraleError, SynthesisFailed

log = logging.getLogger(__name__)


def as_failure(error: Exception, message: str) -> ChoraleError:
    """Typed errors pass as they are; others are logged with their traceback and become SynthesisFailed(message)."""
    if isinstance(error, ChoraleError):
        return error
    log.error("%s", message, exc_info=error)
    return SynthesisFailed(message)
