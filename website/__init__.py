"""The documentation's site: `make docs` builds it from docs/ (mkdocs.yml, hooks.py)."""
