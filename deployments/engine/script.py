"""A module as one TorchScript call: no Python between its operations, and the GIL is released once and not at each.

torch prefers torch.compile, which needs a C++ compiler on every machine and a compilation for every shape. A program
takes any shape, is made in a fraction of a second, and runs the same kernels: the results are the module's own bits.
"""

import logging
import warnings
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

log = logging.getLogger(__name__)


@runtime_checkable
class Compilable(Protocol):
    """A GptModel whose steps can be made cheaper on some devices."""

    def compile(self) -> str:
        """Makes further steps cheaper, with the same bits, and says how; "" if it cannot. Called before any step."""
        ...


def scripted(module: nn.Module) -> tuple[Callable[..., Any], str]:
    """The module's program, or the module itself if TorchScript cannot compile it, and which of them in words."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            program = torch.jit.script(module.eval())
    except Exception as error:  # what TorchScript refuses depends on torch's release
        said = next((line for line in str(error).splitlines() if line.strip()), "")
        reason = f"eager: TorchScript cannot compile it ({type(error).__name__}: {said})"
        log.warning("%s: %s", type(module).__name__, reason, exc_info=True)
        return module, reason

    def run(*arguments: Any) -> Any:
        with torch.jit.optimized_execution(False):  # it would profile shapes, and gains nothing here
            return program(*arguments)

    return run, "one TorchScript call"
