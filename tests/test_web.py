"""The pages in the package are those that web/ builds, as far as can be told without node: nothing changed since."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
WEB = ROOT / "web"
MANIFEST = json.loads((WEB / "built.json").read_text())
SOURCES = ("src", "build.js", "pages.js", "package.json", "package-lock.json", "tsconfig.json")
REBUILD = "run: make web, and commit what it changes"
INBOX = WEB / "../src/inos/api/inbox"
PAGE_MAX_GZIP_BYTES = 60_000


def digests(root: Path, names: tuple[str, ...] = (".",)) -> dict[str, str]:
    """SHA-256 of every file below `root`."""
    paths = [path for name in names for path in ((root / name).rglob("*") if (root / name).is_dir() else [root / name])]
    files = [path for path in paths if path.is_file()]
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_pages_are_built_of_the_sources_that_are_here() -> None:
    assert digests(WEB, SOURCES) == MANIFEST["sources"], f"web/ changed since the pages were built; {REBUILD}"


@pytest.mark.parametrize("folder", MANIFEST["built"])
def test_built_pages_were_not_touched(folder: str) -> None:
    assert digests((WEB / folder).resolve()) == MANIFEST["built"][folder], f"{folder} is not what was built; {REBUILD}"


def test_changes_are_noticed(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.ts").write_text("1")
    before = digests(tmp_path, ("src",))
    (tmp_path / "src" / "a.ts").write_text("2")
    changed = digests(tmp_path, ("src",))
    (tmp_path / "src" / "b.ts").write_text("1")
    assert len({str(each) for each in (before, changed, digests(tmp_path, ("src",)))}) == 3


def test_the_page_names_no_other_place_and_holds_no_script_or_style_of_its_own() -> None:
    page = (INBOX / "index.html").read_text()
    urls = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert urls and all(url.startswith(("/messages/", "data:")) for url in urls)
    assert "style=" not in page and "<style" not in page
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", page))


def test_the_inbox_is_small() -> None:
    files = [path for path in INBOX.rglob("*") if path.is_file()]
    assert sum(len(gzip.compress(path.read_bytes(), 9)) for path in files) < PAGE_MAX_GZIP_BYTES


def test_the_lock_names_no_place_to_fetch_from() -> None:
    assert '"resolved"' not in (WEB / "package-lock.json").read_text()
