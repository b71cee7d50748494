"""The logs of a Serve replica: our loggers write where Serve's own does, as text or JSON."""

import logging

OURS = ("chorale", "deployments", "serve_app")


def join_serve() -> None:
    """Without this, Serve's file has only the records of the logger ray.serve."""
    for name in OURS:
        logging.getLogger(name).parent = logging.getLogger("ray.serve")
