"""MkDocs calls this: links from docs/ to the rest of the repository lead somewhere on the site, too.

In the Markdown such a link is relative, so that it works wherever the repository is read. On the site
- a document (README, model card, report) becomes a page under repository/, with its pictures,
- a source file or a folder becomes its name in code type, or a link where `repo_url` is set.

`<!-- generated: NAME -->` in a page becomes the part of that name that `python -m website.reference` wrote.
"""

import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from website.reference import GENERATED, ROOT

ELSEWHERE = "repository/"
SHOWN = {".md", ".png", ".svg"}
LINK = re.compile(r"(?P<picture>!?)\[(?P<label>[^\]]*)\]\((?P<target>[^)\s#]+)(?P<anchor>#[^)\s]*)?\)")
ROW = re.compile(r"^\|.*\|$", re.MULTILINE)
PART = re.compile(r"<!-- generated: (?P<name>[\w-]+) -->")
FENCE = re.compile(r"(^```.*?^```)", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the documents outside docs/ that its pages link to, and those that they link to."""
    waiting = [ROOT / "docs" / file.src_uri for file in files.documentation_pages()]
    seen = set(waiting)
    while waiting:
        page = waiting.pop()
        found = {target for target in _targets(page) if target.suffix in SHOWN and target.is_file()} - seen
        seen |= found
        waiting += [target for target in found if target.suffix == ".md"]
        for target in found:
            if not target.is_relative_to(ROOT / "docs"):
                files.append(File.generated(config, site_uri(target), abs_src_path=str(target)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite the links of a page, and put in its generated parts."""
    source = source_of(page.file.src_uri)
    parts = FENCE.split(markdown)
    parts[::2] = [LINK.sub(lambda link: _turned(link, source, config, files), part) for part in parts[::2]]
    return ROW.sub(_plain_bars, PART.sub(_generated, "".join(parts)))


def site_uri(path: Path) -> str:
    """Where a file of the repository stands on the site."""
    docs = ROOT / "docs"
    return (
        str(path.relative_to(docs)) if path.is_relative_to(docs) else ELSEWHERE + str(path.relative_to(ROOT))
    )


def source_of(uri: str) -> Path:
    """The opposite of site_uri."""
    return ROOT / uri.removeprefix(ELSEWHERE) if uri.startswith(ELSEWHERE) else ROOT / "docs" / uri


def _turned(link: re.Match[str], source: Path, config: MkDocsConfig, files: Files) -> str:
    """A link as the site has it; one that leads nowhere stays, so that MkDocs complains."""
    target = _path(source, link["target"])
    if target is None or not target.exists():
        return link[0]
    uri = site_uri(target)
    if files.get_file_from_path(uri):
        relative = os.path.relpath(uri, Path(site_uri(source)).parent)
        return f"{link['picture']}[{link['label']}]({relative}{link['anchor'] or ''})"
    name = target.relative_to(ROOT)
    label = link["label"] if "`" in link["label"] or "." not in link["label"] else f"`{link['label']}`"
    if config.repo_url:
        return f"[{label}]({config.repo_url.rstrip('/')}/{'tree' if target.is_dir() else 'blob'}/HEAD/{name})"
    return f"`{name}`" if link["label"] in str(name) + "/`" else f"{link['label']} (`{name}`)"


def _generated(part: re.Match[str]) -> str:
    path = GENERATED / f"{part['name']}.md"
    if not path.exists():
        raise PluginError(f"{path.name} was not generated: run `make docs`, or `python -m website.reference`")
    return path.read_text(encoding="utf-8")


def _plain_bars(row: re.Match[str]) -> str:
    r"""GitHub wants `a\|b` in a table, where Python-Markdown would show the backslash."""
    return re.sub(r"`[^`]*`", lambda code: code[0].replace(r"\|", "|"), row[0])


def _targets(page: Path) -> set[Path]:
    text = "".join(FENCE.split(page.read_text(encoding="utf-8"))[::2])
    return {path for link in LINK.finditer(text) if (path := _path(page, link["target"]))}


def _path(source: Path, target: str) -> Path | None:
    """The file that a relative link of a page means."""
    if re.match(r"[a-z]+:|/", target):
        return None
    path = Path(os.path.normpath(source.parent / target))
    return path if path.is_relative_to(ROOT) else None
