"""A program: drains a node that streams, as `drain-node` does. Its argument is the JSON file for what happened."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import ray
from ray import serve
from ray.cluster_utils import Cluster

ITEMS = 16  # one a second
DEADLINE_S = 50
SMALL = {"num_cpus": 1, "object_store_memory": 80 * 2**20}


@serve.deployment(
    ray_actor_options={"num_cpus": 0.1, "resources": {"worker": 0.1}}, graceful_shutdown_timeout_s=20
)
class Slow:
    async def __call__(self) -> AsyncIterator[str]:
        for _ in range(ITEMS):
            await asyncio.sleep(1)
            yield ray.get_runtime_context().get_node_id()


def main() -> None:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    cluster = Cluster(initialize_head=True, head_node_args={**SMALL, "include_dashboard": False})
    node = cluster.add_node(resources={"worker": 1}, **SMALL)
    ray.init(address=cluster.address, namespace="serve", log_to_driver=False)
    handle = serve.run(Slow.bind(), route_prefix=None).options(stream=True)
    items: list[str] = []
    reader = threading.Thread(target=lambda: items.extend(handle.remote()))
    reader.start()
    time.sleep(2)  # the stream has begun
    other = cluster.add_node(resources={"worker": 1}, **SMALL)
    command = [Path(sys.executable).parent / "ray", "drain-node", "--address", cluster.address]
    reason = ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "the pod is being deleted"]
    until = ["--deadline-remaining-seconds", str(DEADLINE_S)]
    subprocess.run([*command, "--node-id", node.node_id, *reason, *until], check=True, capture_output=True)
    reader.join(60)
    code, end = None, time.monotonic() + DEADLINE_S + 10
    while code is None and time.monotonic() < end:
        code = node.all_processes["raylet"][0].process.poll()
        time.sleep(0.5)
    later = next(iter(handle.remote()))
    names = {node.node_id: "drained", other.node_id: "other"}
    said = {"stream": [names[item] for item in items], "ended": code, "next": names[later]}
    Path(sys.argv[1]).write_text(json.dumps(said))
    serve.shutdown()
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main()
