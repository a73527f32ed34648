"""What mkdocs needs to know about this repository: pages and files outside docs/, and links to them and to folders.

Links in the pages work in the repository. On the site, some files of other folders are pages, every other linked file
is under ``files/``, and a link to a folder leads to the file that explains it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
    "profiles/README.md": "profiles.md",
}
"""Files outside docs/ that are pages, and their addresses on the site."""
EXPLAINING = ("README.md", "train.py", "space.yaml")
"""The files that represent their folder, the best one first."""
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)(#[^)\s]*)?(?=\))")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of `PAGES`, and what any page links to outside docs/."""
    for source, uri in PAGES.items():
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / source)))
    linked = {target for file in files.documentation_pages() for target in _targets(file)}
    for target in linked:
        if not target.startswith("docs/") and target not in PAGES:
            files.append(File.generated(config, _site_uri(target), abs_src_path=str(ROOT / target)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turn links of the repository into links of the site; one that leads nowhere stays, and mkdocs warns of it."""
    here = posixpath.dirname(page.file.src_uri) or "."

    def changed(match: re.Match[str]) -> str:
        target = _target(_repository_path(page.file), match[1])
        return match[0] if target is None else posixpath.relpath(_site_uri(target), here) + (match[2] or "")

    return LINK.sub(changed, markdown)


def _targets(file: File) -> Iterator[str]:
    """The files that a page links to, by their paths in the repository."""
    for match in LINK.finditer(file.content_string):
        target = _target(_repository_path(file), match[1])
        if target is not None:
            yield target


def _repository_path(file: File) -> str:
    return next((source for source, uri in PAGES.items() if uri == file.src_uri), f"docs/{file.src_uri}")


def _target(source: str, link: str) -> str | None:
    """The file that `link` leads to from the page `source`, both in the repository; None if there is no such file."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
    if (ROOT / path).is_dir():
        found = [posixpath.join(path, name) for name in EXPLAINING if (ROOT / path / name).is_file()]
        return found[0] if found else None
    return path if (ROOT / path).is_file() else None


def _site_uri(path: str) -> str:
    if path in PAGES:
        return PAGES[path]
    return path.removeprefix("docs/") if path.startswith("docs/") else f"files/{path}"
