"""Runs in every process of a Ray that serves this machine only (see node.py)."""

from __future__ import annotations

from typing import Any


def bind_replicas() -> None:
    """Binds the port where a Serve replica accepts calls from other stages to Ray's address of the node, which is on
    loopback: in Ray 2.60 it is "[::]:0".

    Ray binds its others there itself. Importing ray.serve here instead would slow down every worker's start.
    """
    import ray
    from ray._common import tls_utils

    add_port = tls_utils.add_port_to_grpc_server

    def on_loopback(server: Any, address: str) -> int:
        return add_port(server, address.replace("[::]:", f"{ray.util.get_node_ip_address()}:"))

    tls_utils.add_port_to_grpc_server = on_loopback
