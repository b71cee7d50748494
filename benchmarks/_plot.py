"""Plots, saved next to the results under the same name with `.png`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 4.6, 3.4  # inches of one panel


@contextmanager
def panels(results: Path, title: str, *names: str) -> Iterator[list[Axes]]:
    """Yields one panel per name, in a row. The plot is saved next to `results` at the end."""
    from matplotlib.figure import Figure  # without pyplot: no window system, no global state

    figure = Figure(figsize=(WIDTH * len(names), HEIGHT), layout="constrained")
    axes = list(figure.subplots(1, len(names), squeeze=False)[0])
    for axis, name in zip(axes, names, strict=True):
        axis.set_title(name, fontsize=10)
        axis.grid(alpha=0.3)
    figure.suptitle(title, fontsize=11)
    yield axes
    results.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(results.with_suffix(".png"), dpi=110)
