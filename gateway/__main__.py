"""`python -m gateway`: serve; `python -m gateway add-key ID`: let somebody in."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Context, Option

from gateway.errors import GatewayError
from gateway.keys import add_key
from gateway.server import serve
from gateway.settings import Settings

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
Listen = Annotated[int | None, Option(min=0, max=65535, help="GATEWAY_PORT; 8080, and 0 picks a free one.")]


@app.callback(invoke_without_command=True)
def main(
    context: Context,
    host: Annotated[
        str | None, Option(help="GATEWAY_HOST; 127.0.0.1. 0.0.0.0 opens it to the network.")
    ] = None,
    port: Listen = None,
    triton_url: Annotated[str | None, Option(help="TRITON_URL, gRPC; 127.0.0.1:8001.")] = None,
    access_log: Annotated[str | None, Option(help="ACCESS_LOG: a file, - or off.")] = None,
) -> None:
    """Serve the gateway in the foreground. Settings come from the environment; see docs/guides/gateway.md."""
    if context.invoked_subcommand:
        return
    given = {"GATEWAY_HOST": host, "GATEWAY_PORT": port, "TRITON_URL": triton_url, "ACCESS_LOG": access_log}
    with _one_line():
        settings = Settings.from_environment()
        named = {name: value for name, value in given.items() if value is not None}
        settings = Settings.checked(settings.model_dump(by_alias=True) | named)
        raise typer.Exit(serve(settings))


@app.command("add-key")
def add(
    name: Annotated[str, Argument(metavar="ID", help="Who gets it: shown in logs, owns the tasks.")],
    file: Annotated[Path, Option(envvar="API_KEYS_FILE", help="The key file; made if missing.")] = Path(
        "api-keys.txt"
    ),
    limit: Annotated[int | None, Option(min=0, help="Texts a minute; default RATE_LIMIT, 0 none.")] = None,
) -> None:
    """Make a new API key and add its hash to the key file. The key is printed once and stored nowhere."""
    with _one_line():
        typer.echo(add_key(file, name, limit))


class _one_line:
    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, GatewayError):
            print(f"error: {error}", file=sys.stderr)
            raise typer.Exit(1)


if __name__ == "__main__":
    app(prog_name="python -m gateway")
