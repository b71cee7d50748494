"""The section `access`: API keys and their limits."""

from __future__ import annotations

import hashlib
from typing import Annotated

from pydantic import Field, StringConstraints, field_validator

from deployments.contract.options import Options, Positive

SCHEME = "sha256:"
KeyName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*$", max_length=64)]


class KeyOptions(Options):
    """hash: of the key (`hashed`). The limits hold in each ingress process; None is no limit.

    admin: may also delete voices, delete all finished jobs and free caches.
    """

    hash: Annotated[str, StringConstraints(pattern=rf"^{SCHEME}[0-9a-f]{{64}}$")]
    requests_per_minute: Positive | None = None
    characters_per_minute: Positive | None = None
    concurrent_requests: Positive | None = None
    admin: bool = False


class AccessSettings(Options):
    """anyone: serve without keys on addresses that other machines can reach."""

    keys: dict[KeyName, KeyOptions] = Field(default_factory=dict, max_length=10_000)
    anyone: bool = False

    @field_validator("keys")
    @classmethod
    def distinct(cls, keys: dict[str, KeyOptions]) -> dict[str, KeyOptions]:
        owners: dict[str, str] = {}
        for name, key in keys.items():
            if (other := owners.setdefault(key.hash, name)) != name:
                raise ValueError(f"{other} and {name} have the same key")
        return keys


def hashed(key: str) -> str:
    """A plain hash is enough for a random key of 256 bits, and fast enough for every request."""
    return SCHEME + hashlib.sha256(key.encode()).hexdigest()
