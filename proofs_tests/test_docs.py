"""The pages: their code runs, links lead somewhere, every public name is there, figures are those measured."""

import doctest
import json
import re
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import yaml

import scalegroup
from benchmarks import report

ROOT = Path(__file__).parent.parent
DOCS, RESULTS = ROOT / "docs", ROOT / "benchmarks" / "results"

sys.path.insert(0, str(DOCS / "hooks"))
try:
    links, public_names = import_module("links"), import_module("public_names")
finally:
    sys.path.remove(str(DOCS / "hooks"))

README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "benchmarks" / "README.md"]
PAGES += sorted(DOCS.rglob("*.md"))
NAMED = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in PAGES}
DRAWN = re.compile(r"^pictures/(\w+)\.png$")  # when the pages are built
CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)


def blocks_of(text: str) -> list[str]:
    return CODE.findall(text)


def anchors_of(text: str) -> set[str]:
    """Of its headings, as Python-Markdown names them."""
    found: list[str] = []
    links.outside_fences(text, lambda line: found.extend(re.findall(r"^#+ (.*)", line)) or line)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", head.replace("`", "")).strip().lower()) for head in found}


def broken(page: str, text: str) -> list[str]:
    """The links that lead nowhere."""
    pictures = set(re.findall(r"^    \"([\w-]+)\": ", (DOCS / "hooks" / "pictures.py").read_text(), re.MULTILINE))
    pictures |= {"filters", "channels", "scales", "evidence"}  # of examples/look_inside.py
    found = []
    for link in links.links(text):
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        drawn = DRAWN.match(link)
        if re.match(r"https?:", link) or (drawn and drawn[1] in pictures):
            continue
        there = target.exists() and (ROOT in target.resolve().parents)
        if not there or (anchor and anchor not in anchors_of(target.read_text(encoding="utf-8"))):
            found.append(link)
    return found


@pytest.mark.parametrize("page", [name for name, text in NAMED.items() if blocks_of(text)])
def test_python_on_pages_runs(page, monkeypatch):
    module = ModuleType("page")  # a real one: what it defines can be pickled
    monkeypatch.setitem(sys.modules, "page", module)
    for block in blocks_of(NAMED[page]):
        exec(block, vars(module))


@pytest.mark.parametrize("name", ["links", "public_names", "docstrings"])
def test_what_builds_the_pages_does_as_its_examples_say(name, monkeypatch):
    if name == "docstrings":
        pytest.importorskip("griffe")
    monkeypatch.syspath_prepend(DOCS / "hooks")
    assert doctest.testmod(import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0


def test_the_readme_is_short_and_says_what_it_is_for():
    text = README.read_text(encoding="utf-8")
    assert len(text.split()) <= 700
    assert "two-dimensional images" in " ".join(text.splitlines()[:4])
    assert "https://arxiv.org/abs/2011.14759" in text
    assert len(blocks_of(text)[0].strip().splitlines()) <= 10


def test_figures_of_the_readme_are_those_of_the_committed_results():
    accuracy = json.loads((RESULTS / "demo" / "results.json").read_text(encoding="utf-8"))["accuracy"]
    sizes = ("0.5000", "0.7071", "1.0000", "1.4142", "2.0000", "4.0000")
    for network, measured in accuracy.items():
        cells = " | ".join(f"{100 * measured[size]:.1f}" for size in sizes)
        assert f"| {network.replace('_', '-')} | {cells} |" in README.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", NAMED)
def test_links_lead_somewhere(page):
    assert not broken(page, NAMED[page])


def test_links_that_lead_nowhere_are_found():
    nowhere = ["missing.md", "docs/start.md#missing", "docs/pictures/missing.png", "pictures/missing.png"]
    somewhere = ["docs/start.md#install", "https://example.org", "benchmarks/results/demo/accuracy.png"]
    assert broken("README.md", "\n".join(f"[a]({link})" for link in [*nowhere, *somewhere])) == nowhere


def test_every_public_name_is_on_a_page_of_the_reference():
    shown = [name for path in (DOCS / "api").glob("*.md") for name in re.findall(r"^::: (\S+)", path.read_text(), re.M)]
    public = {public_names.where(of, name) for of, names in public_names.documented().items() for name in names}
    assert sorted(shown) == sorted(public)
    assert {f"scalegroup.nn.{name}" for name in scalegroup.nn.__all__} < public


def test_laws_on_pages_are_tests():
    law = re.compile(r"\[`(test_\w+)`\]\(\S*?(proofs_tests/\w+\.py)\)")
    told = [(test, file) for text in NAMED.values() for test, file in law.findall(text)]
    assert len(told) > 50
    missing = [test for test, file in told if f"def {test}(" not in (ROOT / file).read_text(encoding="utf-8")]
    assert not missing


def test_every_page_is_in_the_list_of_pages():
    listed = re.findall(r"[\w/]+\.md$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    made = set(links.PAGES.values()) | {f"benchmarks/{path.name}.md" for path in RESULTS.iterdir() if path.is_dir()}
    written = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}
    assert written - made <= set(listed)
    assert set(listed) <= written | made


def test_results_are_of_kinds_that_pages_can_show():
    kinds = set(report.KINDS)
    for folder in (path for path in RESULTS.iterdir() if path.is_dir()):
        found = [json.loads(path.read_text(encoding="utf-8")).get("benchmark") for path in folder.rglob("*.json")]
        assert kinds.intersection(found) or any((folder / name).exists() for name in ("README.md", "report.md"))


def test_the_citation_is_of_this_version_and_names_the_paper():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["version"] == scalegroup.__version__
    assert {"cff-version", "message", "title", "authors"} <= set(cited)
    assert [reference["url"] for reference in cited["references"]] == ["https://arxiv.org/abs/2011.14759"]
