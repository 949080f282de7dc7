"""What makes a site of the documentation: hooks that mkdocs calls by their names (`mkdocs.yml`).

The pages are written to be read in a forge's view of the repository: their links are relative, may
lead out of `docs/`, and `docs/README.md` is the index. So the navigation is read from the index,
and pages out there that it names come along.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

INDEX = "README.md"
_ROOT = Path(__file__).parents[2]
# Outside of docs/, by their names on the site.
PROJECT = {
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "benchmarks/README.md": "project/benchmarks.md",
    "deploy/README.md": "project/deployment.md",
    "torture/README.md": "project/torture.md",
}
_SOURCE = {uri: source for source, uri in PROJECT.items()}
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)")
_BREAK = re.compile(r"^(>.*)\\$", re.MULTILINE)
_HEADING = re.compile(r"(##+) (.*)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Have the navigation follow the index."""
    config.nav = [{"Start": INDEX}, *navigation(Path(config.docs_dir, INDEX).read_text("utf-8"))]
    return config


def navigation(index: str) -> list[Any]:
    """The pages under each heading of the index, as mkdocs takes them: names, and maps of a title
    to what is below it."""
    levels: list[list[Any]] = [[]]
    for line in index.splitlines():
        if heading := _HEADING.fullmatch(line):
            below: list[Any] = []
            del levels[len(heading[1]) - 1 :]
            levels[-1].append({heading[2]: below})
            levels.append(below)
        places = (place(INDEX, link[2]) for link in _LINK.finditer(line))
        levels[-1] += [found for found in places if found and found.endswith(".md")]
    return [entry for entry in levels[0] if isinstance(entry, dict)]


def place(page: str, target: str) -> str | None:
    """Where on the site a page's link leads; none if that is not there."""
    source = _SOURCE.get(page) or posixpath.join("docs", page)
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    if path.startswith("deploy/") and (_ROOT / path).is_file():
        return PROJECT.get(path, path)
    return path.removeprefix("docs/") if path.startswith("docs/") else PROJECT.get(path)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Have the pages from outside of docs/ come along, and the files that they lead to."""
    for source, uri in PROJECT.items():
        files.append(File.generated(config, uri, content=(_ROOT / source).read_text("utf-8")))
    for path in filter(Path.is_file, (_ROOT / "deploy").rglob("*")):
        if path.suffix != ".md":
            uri = path.relative_to(_ROOT).as_posix()
            files.append(File.generated(config, uri, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Have links lead to where their page is on the site (what is not there is only named), and
    lines of a quotation end where mkdocs would go on with them."""
    led = _LINK.sub(lambda link: _led(page.file.src_uri, link), markdown)
    return _BREAK.sub(r"\1  ", led)


def _led(page: str, link: re.Match[str]) -> str:
    text, target, anchor = link.groups("")
    found = place(page, target)
    if found is None:
        return text
    return f"[{text}]({posixpath.relpath(found, posixpath.dirname(page) or '.')}{anchor})"
