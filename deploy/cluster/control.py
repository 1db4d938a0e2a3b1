"""Commands for a running cluster, over a socket: a line in, lines of progress out, then `ok` or `error: `."""

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from deploy.cluster.errors import ClusterError
from serving.errors import ServingError

Report = Callable[[str], None]
Command = Callable[[Report], None]
OK = "ok"
FAILED = "error: "


class Control:
    """Serves named commands, one at a time, until it is closed."""

    def __init__(self, path: Path, commands: Mapping[str, Command]) -> None:
        path.unlink(missing_ok=True)
        turn = threading.Lock()

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                def report(line: str) -> None:
                    self.wfile.write(f"{line}\n".encode())

                name = self.rfile.readline().decode().strip()
                try:
                    with turn:
                        commands[name](report)
                    report(OK)
                except (ClusterError, ServingError) as error:
                    report(f"{FAILED}{error}")
                except KeyError:
                    report(f"{FAILED}there is no command {name!r}")

        self._server = socketserver.ThreadingUnixStreamServer(str(path), Handler)
        self._server.daemon_threads = True
        path.chmod(0o600)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Take no further command."""
        self._server.shutdown()
        self._server.server_close()


def ask(path: Path, name: str) -> Iterator[str]:
    """Lines of progress of a command. Raises ClusterError when it fails, or when no cluster runs there."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(path))
        except OSError:
            raise ClusterError("no cluster runs here: start one with `make cluster`") from None
        connection.sendall(f"{name}\n".encode())
        line = ""
        for line in map(str.rstrip, connection.makefile()):
            if line not in (OK,) and not line.startswith(FAILED):
                yield line
    if line != OK:
        raise ClusterError(line.removeprefix(FAILED) or "the cluster ended meanwhile")
