"""Who may use the service: API keys and their limits, and which web pages and hosts."""

from __future__ import annotations

import base64
import binascii
import math
import time
from collections.abc import Callable, Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from deployments.contract.errors import Forbidden, InvalidInput, RateLimited, Unauthorized
from serve_app.config.access import AccessSettings, KeyOptions, hashed

OPEN = ("/health", "/ready")  # without a key, for probes
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
SPEAK = ("/tts", "/tts_with_cached_voice")  # with GET, too
ADMIN = {("POST", "/v1/cache/free"), ("POST", "/v1/jobs/clean")}
ADMIN_PREFIX = ("DELETE", "/v1/audio/voices/")
MINUTE = 60.0
MAX_KEY = 512  # characters


class Bucket:
    """Refills by `per_minute` a minute, and holds as many.

    A cost above that needs a full bucket and leaves a debt, so that a long text is possible and delays the next one.
    """

    def __init__(self, per_minute: int, now: float) -> None:
        self.per_minute, self._left, self._at = per_minute, float(per_minute), now

    def left(self, now: float) -> float:
        self._left = min(self.per_minute, self._left + (now - self._at) * self.per_minute / MINUTE)
        self._at = now
        return self._left

    def take(self, cost: float, now: float) -> float:
        """0 if the cost was taken, else the seconds until it can be."""
        missing = min(cost, self.per_minute) - self.left(now)
        if missing <= 0:
            self._left -= cost
        return max(0.0, missing * MINUTE / self.per_minute)


class Account:
    """The use of one key in this process."""

    def __init__(self, name: str, options: KeyOptions, clock: Callable[[], float] = time.monotonic) -> None:
        self.name, self.options, self._clock = name, options, clock
        limits = {"requests": options.requests_per_minute, "characters": options.characters_per_minute}
        self._buckets = {what: Bucket(limit, clock()) for what, limit in limits.items() if limit}
        self._ongoing = 0

    def begin(self) -> None:
        """Counts a request until `end`. Raises RateLimited."""
        most = self.options.concurrent_requests
        if most is not None and self._ongoing >= most:
            raise RateLimited(f"This key has {most} requests in progress, which is its limit.")
        self._take("requests", 1)
        self._ongoing += 1

    def end(self) -> None:
        self._ongoing -= 1

    def charge(self, characters: int) -> None:
        """Raises RateLimited if the key has spoken too much in the last minutes."""
        self._take("characters", characters)

    def headers(self) -> dict[str, str]:
        """OpenAI's headers about the limits of the key."""
        now, found = self._clock(), {}
        for what, bucket in self._buckets.items():
            found[f"x-ratelimit-limit-{what}"] = str(bucket.per_minute)
            found[f"x-ratelimit-remaining-{what}"] = str(max(0, int(bucket.left(now))))
        return found

    def _take(self, what: str, cost: int) -> None:
        if (bucket := self._buckets.get(what)) is None:
            return
        if wait := bucket.take(cost, self._clock()):
            seconds = max(1, math.ceil(wait))
            message = f"This key may use {bucket.per_minute} {what} per minute; try again in {seconds} s."
            raise RateLimited(message, retry_after=wait)


class Access:
    """Without keys, every client has access. origins: of the pages that may call (CORS); hosts: allowed, () is any."""

    def __init__(
        self, settings: AccessSettings, origins: Collection[str] = (), hosts: Collection[str] = ()
    ) -> None:
        self._accounts = {key.hash: Account(name, key) for name, key in settings.keys.items()}
        self._origins, self._hosts = origins, hosts

    def check(self, method: str, path: str, headers: Headers) -> Account | None:
        """The account of the request's key. Raises Unauthorized, Forbidden and InvalidInput."""
        if path in OPEN:
            return None
        if self._hosts and _name(headers.get("host", "")) not in self._hosts:
            raise InvalidInput("Unknown host: the service does not answer to this name.", code="unknown_host")
        acts = method not in SAFE_METHODS or (method == "GET" and path in SPEAK)
        if acts and _from_another_page(headers) and not self._allows(headers):
            message = "Pages of this origin may not call the service (http.cors_origins)."
            raise Forbidden(message, code="cross_origin")
        if not self._accounts:
            return None
        if (key := presented(headers)) is None:
            raise Unauthorized(
                "An API key is required: send 'Authorization: Bearer KEY'.", code="missing_api_key"
            )
        if (account := self._accounts.get(hashed(key))) is None:
            raise Unauthorized("The API key is not valid.")
        admin = (method, path) in ADMIN or (method == ADMIN_PREFIX[0] and path.startswith(ADMIN_PREFIX[1]))
        if admin and not account.options.admin:
            raise Forbidden("This needs a key with admin: true.")
        return account

    def _allows(self, headers: Headers) -> bool:
        return "*" in self._origins or headers.get("origin") in self._origins


def presented(headers: Headers) -> str | None:
    """The key in a request: a bearer token, x-api-key, or the password of HTTP's basic scheme, for browsers."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    key = value.strip() if scheme.lower() == "bearer" else headers.get("x-api-key")
    if scheme.lower() == "basic":
        try:
            key = base64.b64decode(value.strip(), validate=True).decode().partition(":")[2]
        except (binascii.Error, ValueError):
            key = None
    return key if key and len(key) <= MAX_KEY else None


def _from_another_page(headers: Headers) -> bool:
    """Whether a browser sent this for a page of another origin. A form or an image needs no permission to send it."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return site not in ("same-origin", "none")
    try:
        return origin is not None and urlsplit(origin).netloc != headers.get("host", "")
    except ValueError:  # such as "http://[", which no browser sends
        return True


def _name(host: str) -> str:
    """Without the port."""
    return host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and ":" in host else host
