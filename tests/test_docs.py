"""What the documents say of this tree holds: links lead somewhere, commands exist, examples parse, nouns are owned."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "changes").glob("*.md")])
WORDS = """
    node mesh owner member chunk shard stripe piece manifest page cid reference placement holding steward sector table
    record tombstone ticket invitation certificate genesis cocoon catalogue level survives repair collection scrub
    worker door seam
"""
NOUNS = [*WORDS.split(), "data root", "Lamport time"]


def page_id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text())
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing, f"{page_id(page)} links to what is not there: {missing}"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_make_targets_exist(page: Path) -> None:
    known = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", page.read_text(), re.MULTILINE))
    assert named <= known, f"{page_id(page)} names targets that are not there: {named - known}"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_python_examples_parse(page: Path) -> None:
    for example in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        body = "".join(f"    {line}\n" for line in example.splitlines())
        compile(f"async def example():\n{body}", page_id(page), "exec")


def test_every_make_target_has_its_line_of_help() -> None:
    text = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", text, re.MULTILINE))
    assert targets == set(re.findall(r"^([a-z]+):[^#\n]*## ", text, re.MULTILINE))
    assert targets == set((re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE) or [""])[1].split())


@pytest.mark.parametrize("noun", NOUNS)
def test_glossary_owns_the_noun(noun: str) -> None:
    text = (ROOT / "docs" / "GLOSSARY.md").read_text()
    assert len(re.findall(rf"\*\*{noun}\*\*", text)) == 1


def test_decisions_are_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = set(re.findall(r"\((\d{4}-[a-z0-9-]+\.md)\)", (folder / "README.md").read_text()))
    assert listed == {page.name for page in folder.glob("0*.md")}
