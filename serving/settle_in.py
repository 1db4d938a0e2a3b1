"""`python -IS settle_in.py PARENT COMMAND...`: set this process up as a child of PARENT, then become COMMAND.

This is a program, not a `preexec_fn`: so subprocess can use vfork, which runs no fork handlers. gRPC's fork
handlers wait for ever if another thread closes a channel at that moment.
"""

import ctypes
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1
MOST_FILES = 65_536  # each connection is a file; not more, as some programs go through all possible numbers
# For each thread of the child. Triton's JSON parser takes 270 bytes of stack for each "[": 40,000 of them
# overflow the usual 8 MiB, which ends the server. This reserves only address space.
STACK_BYTES = 256 << 20


def main(parent: int, command: list[str]) -> None:
    """Set the limits, ask for SIGTERM at the parent's end, and execute the command."""
    _limit(resource.RLIMIT_NOFILE, MOST_FILES)
    stack = resource.getrlimit(resource.RLIMIT_STACK)[0]
    if stack == resource.RLIM_INFINITY or stack < STACK_BYTES:  # unlimited means 2 MiB for threads
        _limit(resource.RLIMIT_STACK, STACK_BYTES)
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # the parent died before the call
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
