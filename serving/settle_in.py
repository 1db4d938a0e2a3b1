"""`python -IS settle_in.py PARENT COMMAND...`: set this process up as a child of PARENT, then become COMMAND.

A program of its own, and not code between fork and exec: subprocess then needs no fork(2) (it uses vfork),
and so none of its handlers. gRPC's wait for ever where another thread closes a channel at that moment.
"""

import ctypes
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1
MOST_FILES = 65_536  # each connection is one; some programs walk through all that they may open
# For each thread of the child. Triton's JSON parser takes 270 bytes of stack for each "[", and overflowing
# the 8 MiB of a usual thread ends the server: 40,000 of them are enough. Only address space is reserved.
STACK_BYTES = 256 << 20


def main(parent: int, command: list[str]) -> None:
    """Set the limits, ask for SIGTERM at the parent's end, and execute the command."""
    _limit(resource.RLIMIT_NOFILE, MOST_FILES)
    stack = resource.getrlimit(resource.RLIMIT_STACK)[0]
    if stack == resource.RLIM_INFINITY or stack < STACK_BYTES:  # unlimited means 2 MiB for threads
        _limit(resource.RLIMIT_STACK, STACK_BYTES)
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the call
        sys.exit(1)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"{error.strerror}: {command[0]}")


def _limit(kind: int, wanted: int) -> None:
    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
