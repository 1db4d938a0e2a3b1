"""`python -m deploy.cluster`: several Triton servers on this machine behind HAProxy.

python -m deploy.cluster up --replicas 3   # in the foreground, until Ctrl-C
python -m deploy.cluster restart           # one by one: takes up what was published since; no request fails
python -m deploy.cluster reload            # HAProxy reads its configuration and its certificate again
"""

import signal
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console
from typer import Argument, Option

from deploy.cluster.balancer import MOST_REPLICAS, Ports
from deploy.cluster.cluster import Cluster
from deploy.cluster.control import Control, ask
from deploy.cluster.errors import ClusterError
from serving.errors import ServingError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
output = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)
Folder = Annotated[Path, Option(envvar="CLUSTER_FOLDER", help="Holds the sockets of the running cluster.")]
FOLDER = Path(".cache/cluster")
PORT = {"min": 1, "max": 65535}


@app.command()
def up(
    replicas: Annotated[int, Option(envvar="REPLICAS", min=1, max=MOST_REPLICAS)] = 3,
    model_repository: Annotated[Path, Option(envvar="MODEL_REPOSITORY")] = Path("model_repository"),
    http_port: Annotated[int, Option(envvar="HTTP_PORT", **PORT)] = 8000,
    grpc_port: Annotated[int, Option(envvar="GRPC_PORT", **PORT)] = 8001,
    stats_port: Annotated[
        int, Option(envvar="STATS_PORT", help="Stats page and metrics of HAProxy.", **PORT)
    ] = 8404,
    folder: Folder = FOLDER,
    extra: Annotated[list[str] | None, Argument(help="After --, options of `python -m serving`.")] = None,
) -> None:
    """Serve a model repository from several replicas until Ctrl-C."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        cluster = Cluster(
            model_repository,
            replicas,
            folder,
            Ports(http_port, grpc_port, stats_port),
            lambda line: errors.print(line, markup=False),
            serving_options=tuple(extra or ()),
        )
        with cluster:
            control = Control(
                folder / "control.sock",
                {"restart": cluster.restart_one_by_one, "reload": lambda report: cluster.reload_balancer()},
            )
            try:
                announce(cluster)
                errors.print(f"error: {cluster.wait()}", markup=False)
            finally:
                control.close()
        raise typer.Exit(1)
    except (ClusterError, ServingError) as error:
        errors.print(f"error: {error}", markup=False)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        return  # the person asked for it; everything is stopped


@app.command()
def restart(folder: Folder = FOLDER) -> None:
    """Restart the replicas one by one, while the others serve."""
    _tell(folder, "restart")


@app.command()
def reload(folder: Folder = FOLDER) -> None:
    """Let HAProxy read its configuration again without dropping a connection."""
    _tell(folder, "reload")


def _tell(folder: Path, command: str) -> None:
    try:
        for line in ask(folder / "control.sock", command):
            output.print(line, markup=False)
    except ClusterError as error:
        errors.print(f"error: {error}", markup=False)
        raise typer.Exit(1) from None


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def announce(cluster: Cluster) -> None:
    """Where the balancer and the replicas are."""
    ports = cluster.ports
    output.print(f"{len(cluster.addresses)} replicas are ready behind HAProxy")
    output.print(f"  HTTP     http://127.0.0.1:{ports.http}\n  gRPC     127.0.0.1:{ports.grpc}")
    output.print(f"  stats    http://127.0.0.1:{ports.stats}/stats (metrics: /metrics)")
    for number, (address, metrics) in enumerate(
        zip(cluster.addresses, cluster.metrics_ports, strict=True), start=1
    ):
        place = f"HTTP {address.http_port}, gRPC {address.grpc_port}, metrics {metrics}"
        output.print(f"  replica {number}: {place}")
    output.print("Rolling restart: .venv/server/bin/python -m deploy.cluster restart. Ctrl-C stops all.")


if __name__ == "__main__":
    app()
