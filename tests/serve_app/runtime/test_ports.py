"""Ports and hosts on which a server can listen, and the errors for others."""

from __future__ import annotations

import socket

import pytest

from deployments.contract.errors import ConfigError
from serve_app.runtime.ports import check_can_listen, free_port, is_loopback


def test_a_free_port_is_outside_the_ephemeral_range():
    assert all(20000 <= free_port() < 32768 for _ in range(20))


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost", "127.0.0.2"])
def test_a_free_port_can_be_bound(host):
    check_can_listen(host, free_port())


def test_a_port_in_use_is_distinguished_from_a_wrong_host():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"port {port} of 127\.0\.0\.1 is in use") as refused:
            check_can_listen("127.0.0.1", port)
        assert refused.value.param == "http_options.port"


@pytest.mark.parametrize(
    ("host", "says"),
    [
        ("203.0.113.9", "'203.0.113.9' is not an address of this machine"),
        ("2001:db8::9", "'2001:db8::9' is not an address of this machine"),
        ("not a host", "'not a host' is neither an address nor a host name"),
        ("nowhere.invalid", "'nowhere.invalid' is neither"),
        ("", "'' is neither"),
        ("a" * 300, "is neither"),
        ("..", "'..' is neither"),
        ("127.0.0.1\n", "is neither"),
        ("127.0.0.1\0", "is neither"),
        ("ümlaut", "is neither"),
        ("http://127.0.0.1", "is neither"),
    ],
)
def test_a_wrong_host_is_named_with_the_reason(host, says):
    with pytest.raises(ConfigError, match=says) as refused:
        check_can_listen(host, 8000)
    assert refused.value.param == "http_options.host"


@pytest.mark.parametrize("port", [0, -1, 65536, 99999, 10**30])
def test_an_invalid_port_is_refused(port):
    with pytest.raises(ConfigError, match="must be a port number, 1 to 65535") as refused:
        check_can_listen("127.0.0.1", port)
    assert refused.value.param == "http_options.port"


@pytest.mark.parametrize(
    ("host", "is_so"),
    [
        ("127.0.0.1", True), ("127.8.0.1", True), ("localhost", True), ("::1", True),
        ("0.0.0.0", False), ("::", False), ("192.0.2.1", False),
    ],
)  # fmt: skip
def test_loopback_addresses_are_recognised(host, is_so):
    assert is_loopback(host) is is_so
