"""Addresses to listen at: finds free ports, recognises loopback, and explains why an address cannot be used."""

from __future__ import annotations

import errno
import random
import re
import socket
from contextlib import suppress
from ipaddress import ip_address

from deployments.contract.errors import ConfigError
from serve_app.config.settings import ServiceSettings

QUIET_PORTS = range(20000, 32768)  # between those of Ray's workers and those that the system chooses
HOST = re.compile(r"[A-Za-z0-9_.:%-]{1,253}")  # names and addresses


def free_port() -> int:
    """A port that nothing on this machine listens at. Raises OSError if none is free.

    Below those that Linux chooses for outgoing connections: Ray opens hundreds before the port is bound.
    """
    for port in random.SystemRandom().sample(QUIET_PORTS, 100):
        with suppress(OSError):
            _bind(socket.AF_INET, ("127.0.0.1", port))
            return port
    raise OSError(f"no free port from {QUIET_PORTS.start} to {QUIET_PORTS.stop - 1}")


def check_can_listen(host: str, port: int) -> None:
    """Raises ConfigError (param "http_options.host" or "http_options.port") if no server can listen there."""
    if not 0 < port < 65536:
        raise ConfigError(f"must be a port number, 1 to 65535 (is {port})", param="http_options.port")
    for family, address in _addresses(host, port):
        try:
            _bind(family, address)
        except OSError as error:
            option, message = "host", f"cannot listen on {host}:{port}: {error.strerror}"
            if error.errno == errno.EADDRINUSE:
                option, message = "port", f"port {port} of {host} is in use"
            elif error.errno == errno.EACCES:
                option, message = "port", f"this user may not listen on port {port}: choose 1024 or above"
            elif error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                use = "use 127.0.0.1 for this machine only, 0.0.0.0 for all its addresses"
                message = f"{host!r} is not an address of this machine: {use}"
            raise ConfigError(message, param=f"http_options.{option}") from None


def check_access(host: str, settings: ServiceSettings) -> None:
    """Raises ConfigError (param "http_options.host") if other machines could use the service without a key."""
    if settings.access.keys or settings.access.anyone or is_loopback(host):
        return
    message = (
        f"other machines can reach {host}, and access.keys is empty: add keys (chorale key), or set "
        "access.anyone: true if everyone who can reach it may use it"
    )
    raise ConfigError(message, param="http_options.host")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server at `host`."""
    return all(ip_address(address[0].partition("%")[0]).is_loopback for _, address in _addresses(host, 0))


def _addresses(host: str, port: int) -> list[tuple[int, tuple]]:
    try:
        if not HOST.fullmatch(host):
            raise ValueError
        family = socket.AF_INET6 if ":" in host else socket.AF_INET  # as Serve chooses
        found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
    except (OSError, ValueError):  # UnicodeError, of a name with an empty part, is a ValueError
        message = f"{host!r} is neither an address nor a host name that this machine can resolve"
        raise ConfigError(message, param="http_options.host") from None
    return [(family, address) for family, *_, address in found]


def _bind(family: int, address: tuple) -> None:
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
