"""Makes pages of the repository's own files, results and drawings; mkdocs calls what begins with `on_`."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import committed
import pictures
from links import CARDS, PAGES, ROOT, place_of, relinked, with_names
from mkdocs.structure.files import File, Files, InclusionLevel
from public_names import public_names

_LANGUAGES = {".py": "python", ".pyi": "python", ".toml": "toml", ".json": "json", ".md": "markdown", ".cff": "yaml"}
_SOURCE = """---
search: {{exclude: true}}
---
# {name}

```{language} linenums="1"
{text}
```
"""
_wanted: set[str] = set()


def on_config(config: Any) -> Any:
    """A page in the list of benchmarks for each folder of results, and one for each trained network."""
    listed = {name: pages for part in config.nav for name, pages in part.items()}
    listed["Benchmarks"] += [f"benchmarks/{name}.md" for name in committed.folders()]
    listed["Trained networks"] += [f"trained/{name}" for name in CARDS]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Adds what is made: pages of files, of results, and the drawings."""

    def add(place: str, content: str | bytes, inclusion: InclusionLevel = InclusionLevel.INCLUDED) -> None:
        if old := files.get_file_from_path(place):
            files.remove(old)
        files.append(File.generated(config, place, content=content, inclusion=inclusion))

    for source, place in PAGES.items():
        add(place, (ROOT / source).read_text(encoding="utf-8"))
    for name in committed.folders():
        written = ROOT / "docs" / "benchmarks" / f"{name}.md"
        has = _shown(name)
        add(f"benchmarks/{name}.md", committed.page(name, written.read_text("utf-8") if written.exists() else "", has))
        for figure, content in has.figures.items():
            add(f"benchmarks/{name}/{figure}", content)
    index = (ROOT / "docs" / "benchmarks" / "index.md").read_text(encoding="utf-8")
    add("benchmarks/index.md", f"{index}\n{committed.others(index)}")
    for name in pictures.PICTURES:
        add(f"pictures/{name}.png", _picture(name))
    # links are followed as far as they lead: pages of files hold none that count
    _wanted.clear()
    for file in list(files.documentation_pages()):
        relinked(file.content_string, _source_of(file.src_uri), file.src_uri, _wanted.add)
    for path in sorted(_wanted):
        if not files.get_file_from_path(place_of(path)):
            add(place_of(path), _file(path), InclusionLevel.NOT_IN_NAV)
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links and names as the site has them."""
    place = page.file.src_uri
    if place.startswith("source/"):
        return markdown
    return with_names(relinked(markdown, _source_of(place), place, _wanted.add), public_names())


def _source_of(place: str) -> str:
    """The file of the repository that a page is of."""
    return next((source for source, page in PAGES.items() if page == place), f"docs/{place}")


def _file(path: str) -> str | bytes:
    """A picture as it is; a text as a page."""
    file = ROOT / path
    if file.suffix == ".png":
        return file.read_bytes()
    text = "\n".join(sorted(f"{one.name}" for one in file.iterdir())) if file.is_dir() else file.read_text("utf-8")
    return _SOURCE.format(name=path, language=_LANGUAGES.get(file.suffix, "text"), text=text)


@cache
def _shown(name: str) -> committed.Shown:
    with tempfile.TemporaryDirectory() as into:
        return committed.shown(name, Path(into))


@cache
def _picture(name: str) -> bytes:
    with tempfile.TemporaryDirectory() as into:
        path = Path(into) / f"{name}.png"
        pictures.PICTURES[name]().savefig(path, dpi=110)
        return path.read_bytes()
