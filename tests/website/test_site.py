"""The site, built by MkDocs itself: whole, strict, and without the internet."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def build(config: Path, site: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--config-file", str(config), "--site-dir", str(site)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=config.parent, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, reference: Path) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = build(ROOT / "mkdocs.yml", folder)
    assert built.returncode == 0, built.stderr
    return folder


def test_every_page_of_docs_is_on_the_site(site: Path) -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").with_suffix("")
        assert (site / name.parent / ("" if name.name == "index" else name.name) / "index.html").exists(), (
            page
        )


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    loads = re.compile(
        r"<(?:script|img|iframe|source)[^>]*\bsrc=\"(?:https?:)?//|<link[^>]*\bhref=\"(?:https?:)?//"
    )
    assert [page for page in site.rglob("*.html") if loads.search(page.read_text(encoding="utf-8"))] == []


def test_a_document_beside_the_code_is_a_page_with_its_pictures(site: Path) -> None:
    card = site / "repository/checkpoints/mobilebert-imdb"
    assert 'src="calibration.png"' in (card / "index.html").read_text(encoding="utf-8")
    assert (card / "calibration.png").exists()
    assert 'href="../../repository/clients/"' in (site / "guides/requests/index.html").read_text(
        encoding="utf-8"
    )


def test_a_source_file_goes_by_its_name(site: Path) -> None:
    text = (site / "guides/requests/index.html").read_text(encoding="utf-8")
    assert "<code>clients/examples/curl.sh</code>" in text
    assert 'clients/examples/curl.sh"' not in text


@pytest.mark.parametrize("link", ["gone.md", "#gone", "../../gone.py", "serve.md#gone"])
def test_a_broken_link_fails_the_build(link: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "website", tmp_path / "website")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(f"# A page\n[a link]({link})\n")
    (tmp_path / "docs" / "serve.md").write_text("# Serve\n")
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("nav:\n")[0]
    (tmp_path / "mkdocs.yml").write_text(config)
    built = build(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert built.returncode == 1
    assert f"'{link}'" in built.stderr
