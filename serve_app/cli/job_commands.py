"""The commands of `chorale jobs`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serve_app.cli.common import plain_errors, print_table

DEFAULT_SERVER = "http://127.0.0.1:8000"
Server = Annotated[str, typer.Option(help="The address of the service.")]
JobId = Annotated[str, typer.Argument(help="The id of a job.")]


jobs = typer.Typer(help="Jobs of a service: books and long texts that it speaks.", no_args_is_help=True)


@jobs.command(name="list")
def list_jobs(
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many jobs to list.")] = 20,
    server: Server = DEFAULT_SERVER,
) -> None:
    """List the newest jobs."""
    with plain_errors():
        from serve_app.cli.jobs import Client, rows

        with Client(server) as client:
            found = client.list(limit)
    print_table(("id", "state", "done", "left", "title"), rows(found))


@jobs.command(name="show")
def show_job(job: JobId, server: Server = DEFAULT_SERVER) -> None:
    """Print a job and its log."""
    with plain_errors():
        from serve_app.cli.jobs import Client, details

        with Client(server) as client:
            lines = list(details(client.get(job), client.log(job)))
    for line in lines:
        typer.echo(line)


@jobs.command()
def cancel(job: JobId, server: Server = DEFAULT_SERVER) -> None:
    """Cancel a job."""
    with plain_errors():
        from serve_app.cli.jobs import Client

        with Client(server) as client:
            typer.echo(client.cancel(job)["state"])


@jobs.command()
def delete(job: JobId, server: Server = DEFAULT_SERVER) -> None:
    """Delete a job and its files."""
    with plain_errors():
        from serve_app.cli.jobs import Client

        with Client(server) as client:
            client.delete(job)


@jobs.command()
def clean(server: Server = DEFAULT_SERVER) -> None:
    """Delete all finished jobs."""
    with plain_errors():
        from serve_app.cli.jobs import Client

        with Client(server) as client:
            typer.echo(f"{client.clean()} deleted")


@jobs.command()
def download(
    job: JobId,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Path of the main file; default: all files, in the current folder."),
    ] = None,
    server: Server = DEFAULT_SERVER,
) -> None:
    """Download the files of a job."""
    with plain_errors():
        from serve_app.cli.jobs import Client, main_output, name_of

        with Client(server) as client:
            found = client.get(job)
            main = main_output(found)
            wanted = [(main, out)] if out else [(each, Path(name_of(each))) for each in found["outputs"]]
            for output, path in wanted:
                client.download(output, path)
                typer.echo(str(path))
