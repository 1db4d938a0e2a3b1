"""The generated parts of docs/reference/: `python -m website.reference ENVIRONMENT` writes them.

A page in docs/reference/ says `<!-- generated: NAME -->` where a part goes; website/hooks.py puts it there.
"""

from pathlib import Path

ROOT = Path(__file__).parents[2]
GENERATED = ROOT / ".cache" / "reference"
