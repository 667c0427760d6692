"""docs/cli.md and docs/api.md name everything there is."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from every_command import every_command

from inos.api.documents import describe
from inos.api.sessions import Sessions
from inos.api.timing import Timings
from inos.api.whole import make_whole
from inos.core import errors, reports
from inos.core.env import RealEnv
from inos.core.errors import InosError
from inos.testing.memory_service import MemoryService

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
CLI = (DOCS / "cli.md").read_text()
API = (DOCS / "api.md").read_text()
COMMANDS = dict(every_command())


def section(text: str, title: str) -> str:
    """The text under the heading that starts with `title`."""
    match = re.search(rf"^### `{re.escape(title)}[ `\[].*?(?=^##|\Z)", text + "\n", re.MULTILINE | re.DOTALL)
    assert match, f"no section {title}"
    return match[0]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_and_option_is_described(name: str) -> None:
    described = section(CLI, f"inos {name}")
    for parameter in COMMANDS[name].params:
        for option in parameter.opts if parameter.param_type_name == "option" else []:
            assert re.search(rf"`{option}[ `]", described if option not in ("--home", "--json") else CLI), option


def test_no_command_is_described_that_is_not_there() -> None:
    assert set(re.findall(r"^### `inos ([a-z]+(?: [a-z]+)?)", CLI, re.MULTILINE)) == set(COMMANDS)


def test_every_call_is_described_and_no_other() -> None:
    env = RealEnv()
    paths = describe(make_whole(MemoryService(env), [], Sessions(env), Timings(), env=env, version="0"))["paths"]
    calls = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert set(re.findall(r"^### `((?:GET|HEAD|PUT|POST|DELETE) \S+)`", API, re.MULTILINE)) == calls
    for call in calls:
        method, _, path = call.partition(" ")
        for parameter in paths[path][method.lower()].get("parameters", []):
            assert parameter["name"] in API


def codes(kind: type[InosError]) -> set[tuple[str, int, bool]]:
    found = {(kind.code, kind.http_status, kind.retryable)}
    return found.union(*(codes(child) for child in kind.__subclasses__() if child.__module__ == errors.__name__))


def test_every_error_code_is_described_with_its_status() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", API, re.MULTILINE))
    found = codes(InosError)
    assert set(rows) == {code for code, _, _ in found}
    for code, status, retryable in found:
        if code != "no_node":
            assert rows[code].startswith(str(status)) and ("retryable" in rows[code]) == retryable, code


def test_every_field_of_every_answer_is_described() -> None:
    kinds = [kind for kind in vars(reports).values() if dataclasses.is_dataclass(kind)]
    for kind in kinds:
        for field in dataclasses.fields(kind):  # type: ignore[arg-type]
            known = API + CLI if kind is reports.TreeReport else API
            assert re.search(rf"\b{field.name}\b", known), f"{kind.__name__}.{field.name}"  # type: ignore[union-attr]


def test_every_metric_is_described() -> None:
    from inos.api import metrics

    for name in re.findall(r'"(inos_\w+)"', Path(metrics.__file__).read_text()):
        assert f"`{name}" in API


def test_every_setting_is_described() -> None:
    sources = [
        path.read_text()
        for part in ("cli", "client", "core")
        for path in (DOCS.parent / "src/inos" / part).glob("*.py")
    ]
    for name in set(re.findall(r'"(INOS_[A-Z_]+)"', "\n".join(sources))):
        assert name in CLI, name
