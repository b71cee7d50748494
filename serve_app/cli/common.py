"""What the commands share: options, errors on one line, sampling parameters as options, tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from typer import Option
from typer.core import TyperCommand

from deployments.contract.errors import CheckpointError, ChoraleError

if TYPE_CHECKING:
    from serve_app.config.settings import Settings

FAULT = 2  # exit code of errors that the user can fix
Config = Annotated[Path | None, Option(help="A Serve config file that sets the models and their options.")]
Model = Annotated[str | None, Option(help="A model of the config file; default: its default model.")]


@contextmanager
def plain_errors() -> Iterator[None]:
    """Errors that the user can fix take one line on stderr. Others are bugs and keep their traceback."""
    try:
        yield
    except (ChoraleError, OSError) as error:
        text = error.message if isinstance(error, ChoraleError) else str(error)
        if isinstance(error, OSError) and error.filename:
            text = f"{error.filename}: {error.strerror}"
        typer.echo(f"chorale: {'; '.join(text.splitlines())}", err=True)
        raise typer.Exit(FAULT) from None


class WithControls(TyperCommand):
    """A command that also takes `--NAME VALUE` for each sampling parameter of the model."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Moves undeclared options to `ctx.obj`, as text: the configuration decides which exist."""
        own = {name for param in self.get_params(ctx) for name in (*param.opts, *param.secondary_opts)}
        rest, ctx.obj = [], {}
        words = iter(args)
        for word in words:
            name, equals, value = word.partition("=")
            if not name.startswith("--") or name in own or name == "--":
                rest.append(word)
            else:
                ctx.obj[name[2:].replace("-", "_")] = value if equals else next(words, "")
        return super().parse_args(ctx, rest)


def settings_of(config: Path | None) -> Settings:
    """From the file and the environment, or from the environment alone."""
    from serve_app.config.settings import Settings

    if config is None:
        return Settings.from_args(None)
    from serve_app.config.file import load_config

    return load_config(config)[1]


def settings_and_name(config: Path | None, model: str | None) -> tuple[Settings, str]:
    """As `settings_of`, and the name of the model that will speak. Raises NotFound and CheckpointError for it."""
    from serve_app.config.document import check_models

    settings = settings_of(config)
    name = settings.name(model)
    if name in (broken := check_models(settings, config)):
        raise CheckpointError(broken[name])
    return settings, name


def print_table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(width=None if Console().is_terminal else 160).print(table)
