#!/bin/sh
# Prints the interpreter for the environments. The pinned packages have wheels for Python 3.11 and 3.12.
right() {
  "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null
}
for python in python3 python3.12 python3.11; do
  if right "$python"; then
    echo "$python"
    exit
  fi
done
# A newer system has newer ones only. uv brings a right one, for this person alone.
if command -v uv >/dev/null; then
  python=$(uv python find --no-project --system 3.12 2>/dev/null) && right "$python" && echo "$python" && exit
  uv python install --quiet 3.12 >&2 && uv python find --no-project --system 3.12 && exit
fi
echo python3 # serving.preflight says what to do
