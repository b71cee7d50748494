"""Tables: a row of short cells is one passage; cells with several blocks are layout and are read one by one."""

from __future__ import annotations

from serve_app.books.furniture import local_name
from serve_app.books.markup import Element

_CELLS = frozenset("td th".split())
_LARGE = frozenset("table ul ol dl h1 h2 h3 h4 h5 h6 blockquote pre section article figure".split())
_SMALL = frozenset("p div".split())


def is_row(row: Element) -> bool:
    """Whether the cells of a <tr> are read as one passage, with commas between them."""
    cells = [cell for cell in row if local_name(cell) in _CELLS]
    return len(cells) > 1 and not any(map(_is_layout, cells))


def _is_layout(cell: Element) -> bool:
    small = 0
    for inner in cell.iterdescendants():
        name = local_name(inner)
        small += name in _SMALL
        if name in _LARGE or small > 1:
            return True
    return False
