"""How commands print for people: tables without lines, and text that a pipe does not fold."""

import json
import os
from typing import Any

from flows.terminal import one_line, printable

_PIPE_COLUMNS = 240


def _lines(cell: Any) -> list[str]:
    """A cell's lines: those of a list are wanted, those in a text are not."""
    return list(map(str, cell)) if isinstance(cell, list) else [str(cell)]


def typed(value: Any) -> str:
    """A value as it is typed in a config."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def minute(time: str) -> str:
    """A UTC time as people read it."""
    return time[:16].replace("T", " ")


def new_table(*columns: str) -> Any:
    """An empty table with these columns."""
    from rich.table import Table

    class PrintableTable(Table):
        def add_row(self, *cells: Any, **options: Any) -> None:
            shown = ("\n".join(map(one_line, _lines(cell))) for cell in cells)
            super().add_row(*shown, **options)

    table = PrintableTable(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def show_all(*things: Any) -> None:
    """Print tables and lines of text on stdout."""
    from rich.console import Console

    # A file or a pipe has no width to keep to: lines that are not folded can be searched.
    console = Console(highlight=False, markup=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _PIPE_COLUMNS
    for thing in things:
        console.print(printable(thing) if isinstance(thing, str) else thing)
