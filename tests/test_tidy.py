"""Rules over the whole tree that no linter knows (see tidy_rules.py), and proof that each of them bites."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from statistics import median, quantiles

import pytest

import tidy_rules as rules

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "inos"
TEXT_SUFFIXES = {".py", ".md", ".toml", ".txt", ".sh", ".capnp", ".in", ".lock", ".service", ".json", ""}
TEXT_SUFFIXES |= {".ts", ".svelte", ".css", ".html", ".js"}
WRITTEN_BY_US = (
    "src",
    "tests",
    "bench",
    "fuzz",
    "crash",
    "docs",
    "scripts",
    "deploy",
    "changes",
    "requirements",
    ".ci",
    "web/src",
)


@cache
def sources() -> tuple[rules.Source, ...]:
    return tuple(
        rules.Source.parse(path.relative_to(PACKAGE).as_posix(), path.read_text())
        for path in sorted(PACKAGE.rglob("*.py"))
    )


def texts(folders: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(path, text) of every text file of ours in `folders`, and of the files at the root."""
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*"))]
    for path in [*paths, *sorted(ROOT.glob("*"))]:
        # `.git` is a file in a second work tree of the same repository.
        generated = {".git", "__pycache__", "corpus", "crashes", "results"} & set(path.parts) or ".egg-info" in str(
            path
        )
        if path.is_file() and path.suffix in TEXT_SUFFIXES and not generated:
            yield path.relative_to(ROOT).as_posix(), path.read_text()


def summary() -> str:
    """How large files and functions are; the good ones have files of 150-250 lines and 9 functions of 10 under 30."""
    files = [source.text.count("\n") for source in sources()]
    functions = [rules.function_lines(f) for source in sources() for f in rules.functions(source.tree)]
    return (
        f"{len(files)} files: median {median(files):.0f} lines, longest {max(files)}; "
        f"{len(functions)} functions: median {median(functions):.0f}, "
        f"9 of 10 under {quantiles(functions, n=10)[-1]:.0f}"
    )


RULES: tuple[Callable[[rules.Source], Iterator[rules.Complaint]], ...] = (
    rules.doors,
    rules.sizes,
    rules.docstrings,
    rules.broad_excepts,
    rules.star_raises,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_source_keeps(rule: Callable[[rules.Source], Iterator[rules.Complaint]]) -> None:
    complaints = [str(complaint) for source in sources() for complaint in rule(source)]
    assert not complaints, "\n".join(["", *complaints, summary()])


def test_nothing_is_left_over() -> None:
    found = [
        line
        for path, text in texts(("src", "tests", "bench", "fuzz", "crash", "web/src"))
        for line in rules.unfinished(path, text)
    ]
    assert not found, "\n" + "\n".join(found)


def test_no_test_is_skipped() -> None:
    found = [line for path, text in texts(("tests", "src/inos/testing")) for line in rules.skipped(path, text)]
    assert not found, "\n" + "\n".join(found)


def test_no_foreign_places_are_named() -> None:
    found = [line for path, text in texts(WRITTEN_BY_US) for line in rules.foreign(path, text)]
    assert not found, "\n" + "\n".join(found)


def test_every_door_is_in_use() -> None:
    """A door that no file uses any more is closed; a file that catches everything still exists."""
    paths = {source.path for source in sources()}
    named = {file for files in rules.USE_DOORS.values() for file in files if "*" not in file} | set(rules.BROAD_EXCEPT)
    assert not named - paths, f"doors name files that are not there: {sorted(named - paths)}"


def test_what_is_imported_is_what_is_required() -> None:
    shipped = [source for source in sources() if not source.path.startswith("testing/")]
    providers = packages_distributions()
    imported = {name for source in shipped for name in rules.third_parties(source)}
    used = {re.sub(r"[-_.]+", "-", providers[name][0]).lower() for name in imported}
    lines = (ROOT / "requirements" / "runtime.in").read_text().splitlines()
    required = {re.split(r"[=<>[]", line)[0].strip().lower() for line in lines if line and not line.startswith("#")}
    assert used == required, f"missing in requirements/runtime.in: {used - required}; idle: {required - used}"


def test_test_files_have_names_of_their_own() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    twice = sorted({name for name in names if names.count(name) > 1})
    assert not twice, f"pytest imports tests by file name; these exist twice: {twice}"


# What follows shows that the rules above can fail.

OFFENCES = [
    (rules.doors, "import time\ntime.sleep(1)", 1),
    (rules.doors, "from time import monotonic", 1),
    (rules.doors, "import random\nx = random.random()", 1),
    (rules.doors, "import random\nx = random.Random(1)", 1),
    (rules.doors, "import random as r\nx = r.choice([1])", 1),
    (rules.doors, "import os\nkey = os.urandom(32)", 1),
    (rules.doors, "from os import urandom", 1),
    (rules.doors, "from threading import Thread", 1),
    (rules.doors, "import threading\nthreading.Thread().start()", 1),
    (rules.doors, "import trio\nasync def f(): await trio.to_thread.run_sync(f)", 1),
    (rules.doors, "from trio import to_thread", 1),
    (rules.doors, "def f():\n    import libp2p.peer.id", 1),
    (rules.doors, "from cryptography.hazmat import x", 1),
    (rules.doors, "print('x')", 1),
    (rules.doors, "from datetime import datetime\ndatetime.now()", 1),
    (rules.sizes, "x = 1\n" * 501, 1),
    (rules.sizes, "def f():\n" + "    x = 1\n" * 71, 1),
    (rules.docstrings, "'''Too short.'''", 1),
    (rules.docstrings, "'''Owns a thing, says so.'''\ndef f():\n" + "    x = 1\n" * 13, 1),
    (rules.broad_excepts, "try: pass\nexcept Exception: pass", 1),
    (rules.broad_excepts, "try: pass\nexcept (ValueError, BaseException): pass", 1),
    (rules.broad_excepts, "try: pass\nexcept: pass", 1),
    (rules.star_raises, "try: pass\nexcept* ValueError as group:\n    raise group.exceptions[0] from None", 1),
]


@pytest.mark.parametrize(("rule", "text", "count"), OFFENCES)
def test_rule_bites(rule: Callable[[rules.Source], Iterator[rules.Complaint]], text: str, count: int) -> None:
    assert len(list(rule(rules.Source.parse("vault/example.py", text)))) == count


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("vault/example.py", "import random\ndef f(chance: random.Random) -> float: return chance.random()"),
        ("vault/example.py", "import trio\nasync def f(): await trio.sleep(1)"),
        ("vault/example.py", "import threading\nlock = threading.Lock()"),
        ("vault/example.py", "import os\nos.fsync(1)"),
        ("core/env.py", "import time\ntime.time()"),
        ("cli/example.py", "print('x')"),
        ("vault/example.py", "try: pass\nexcept BaseException:\n    x = 1\n    raise"),
    ],
)
def test_rule_lets_pass(path: str, text: str) -> None:
    source = rules.Source.parse(path, text)
    assert [*rules.doors(source), *rules.broad_excepts(source)] == []


def test_line_rules_bite() -> None:
    assert list(rules.unfinished("a.py", "# TO" + "DO later"))
    assert list(rules.skipped("a.py", "@pytest.mark." + "skipif(True)"))
    assert list(rules.foreign("a.md", "see /wo" + "rk/main"))
    assert not list(rules.foreign("a.md", "see docs/wo" + "rk/main and network/"))


def test_docstring_is_no_part_of_a_function() -> None:
    tree = ast.parse('def f():\n    """One.\n\n    Two.\n    """\n    x = 1\n    return x\n')
    assert [rules.function_lines(function) for function in rules.functions(tree)] == [2]
