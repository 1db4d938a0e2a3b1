"""`python3 -m serving.preflight`: can the embedded server run on this machine with this Python?

It runs before the server's environment exists, so it needs the standard library only. If the answer is no, it
prints one line, and its exit status is 1.
"""

import sys

from serving.checks import check_libpython, check_machine, check_version
from serving.errors import ServingError
from serving.interpreter import describe


def main() -> int:
    """Exit status."""
    python = describe()
    try:
        check_machine(python)
        check_version(python)
        check_libpython(python)
    except ServingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
