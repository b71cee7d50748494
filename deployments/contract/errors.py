"""Typed errors of every layer. `serve_app.http.errors` maps them to HTTP; nothing else does.

Only the message is positional, so that pickling (as Ray does between processes) restores every field.
"""

from collections.abc import Sequence

NAMES = 8  # of unknown fields in an error


class ChoraleError(Exception):
    """Base of all errors that a caller may see. The message is safe to show: no path, no traceback.

    param: the request field at fault, in the caller's words, or None. code: a short machine-readable reason.
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


class RateLimited(Overloaded):
    """The client has reached a limit of its API key (HTTP 429)."""

    code = "rate_limit_exceeded"


class Unauthorized(ChoraleError):
    """No API key, or an unknown one (HTTP 401)."""

    code = "invalid_api_key"


class Forbidden(ChoraleError):
    """The client may not do this (HTTP 403)."""

    code = "insufficient_permissions"


class Unavailable(ChoraleError):
    """A stage is starting, restarting or no longer running (HTTP 503)."""

    code = "unavailable"


class DiskFull(ChoraleError):
    """The disk is full (HTTP 507)."""

    code = "disk_full"


class SynthesisFailed(ChoraleError):
    """The model could not finish this request, though its input was valid (HTTP 500)."""

    code = "synthesis_failed"


class StateLost(ChoraleError):
    """The replica that has this chunk does not have the state of the one before. Never shown: its sender recovers."""

    code = "state_lost"


class ConfigError(ChoraleError):
    """A configuration file is wrong: the message names the line, the key and what is allowed."""

    code = "invalid_config"


class CheckpointError(ConfigError):
    """A file of a model is missing or broken. The message names the file, never its folder."""

    code = "invalid_checkpoint"


class DoesNotFit(ConfigError):
    """A size that the model or the device cannot take.

    size: which one: "slots", "max_batch", "buckets" or "first_chunk". `deployments.assembly` names the option instead.
    """

    def __init__(self, message: str, *, size: str = "", **fields: str | None) -> None:
        super().__init__(message, **fields)
        self.size = size


def unknown_fields(names: Sequence[str], hint: str = "") -> InvalidInput:
    """The error for fields that a request must not have."""
    shown = [printable(name, 50) for name in names[:NAMES]]
    more = f", and {len(names) - NAMES} more" if len(names) > NAMES else ""
    quoted = ", ".join(f"'{name}'" for name in shown)
    message = f"Unknown field {quoted}." if len(names) == 1 else f"Unknown fields: {quoted}{more}."
    return InvalidInput(message + hint, param=shown[0], code="unknown_parameter")


def printable(text: str, limit: int = 100) -> str:
    """What can be shown of `text`, at most `limit` characters."""
    clean = "".join(c if c.isprintable() else "?" for c in text[:limit])
    return clean if len(text) <= limit else clean + "…"
