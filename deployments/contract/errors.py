"""Typed errors of every layer. `serve_app.http.errors` maps them to HTTP; nothing else does.

Only the message is positional, so that pickling (as Ray does between processes) restores every field.
"""

from __future__ import annotations


class ChoraleError(Exception):
    """Base of all errors that a caller may see. The message is safe to show: no path, no traceback.

    Attributes:
        param: the request field at fault, in the caller's words, or None.
        code: a short machine-readable reason.
    """

    code = "internal_error"

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        if code is not None:
            self.code = code


class InvalidInput(ChoraleError):
    """A field of the request holds something that is not allowed (HTTP 400)."""

    code = "invalid_value"


class NotFound(ChoraleError):
    """The named thing (voice, model, route) does not exist (HTTP 404)."""

    code = "not_found"


class Overloaded(ChoraleError):
    """A bounded queue is full (HTTP 429). `retry_after` is in seconds."""

    code = "overloaded"

    def __init__(self, message: str, *, retry_after: float = 1.0, **fields: str | None) -> None:
        super().__init__(message, **fields)
        self.retry_after = retry_after


class Unavailable(ChoraleError):
    """A stage is starting, restarting or gone (HTTP 503)."""

    code = "unavailable"


class SynthesisFailed(ChoraleError):
    """The model could not finish this request, though its input was valid (HTTP 500)."""

    code = "synthesis_failed"


class ConfigError(ChoraleError):
    """A configuration file is wrong: the message names the line, the key and what is allowed."""

    code = "invalid_config"


class CheckpointError(ConfigError):
    """A file of a model is missing or broken: the message names the file, never its folder."""

    code = "invalid_checkpoint"
