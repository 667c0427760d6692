"""Manifests: what is taken, what is refused and how that is said."""

from __future__ import annotations

import json
from typing import Any

import pytest
from component_packages import manifest
from hypothesis import given
from hypothesis import strategies as st

from inos.components.manifest import MAX_MANIFEST_BYTES, Manifest, parse_manifest
from inos.core.errors import BadInput

FULL = manifest(
    "2.0.1-rc.1",
    'description = "Tells the time"',
    'application = "org.example.desk"',
    'arguments = ["--utc"]',
    'permissions = ["api"]',
    "heartbeat_s = 2",
    "stop_s = 0.5",
    "[environment]",
    'ZONE = "UTC"',
    "[restart]",
    'policy = "always"',
    "crashes = 3",
    "within_s = 30",
)


def test_a_whole_manifest() -> None:
    found = parse_manifest(FULL.encode())
    assert (found.version, found.heartbeat_s, found.stop_s) == ("2.0.1-rc.1", 2.0, 0.5)
    assert found.arguments == ("--utc",) and found.permissions == ("api",) and found.environment == {"ZONE": "UTC"}
    assert (found.restart.policy, found.restart.crashes, found.restart.within_s) == ("always", 3, 30.0)
    assert Manifest.from_dict(json.loads(json.dumps(found.to_dict()))) == found


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('id = "../x"', "id must be"),
        ('id = ".x"', "id must be"),
        ('version = "v1"', "version must be"),
        ('version = "1/.."', "version must be"),
        ('version = ".."', "version must be"),
        ('kind = "docker"', "kind must be one of"),
        ('entry = "../main.py"', "entry must be a path within"),
        ('entry = "/bin/sh"', "entry must be a path within"),
        ('entry = "main.sh"', "entry must end with .py"),
        ('name = "a\\u001b[31m"', "name holds a control character"),
        ("name = 5", "name must be text"),
        ('entri = "main.py"', "entri is no field"),
        ("heartbeat_s = nan", "heartbeat_s must be a number"),
        ("heartbeat_s = 0.01", "heartbeat_s must be a number"),
        ("stop_s = 31", "stop_s must be a number"),
        ("stop_s = true", "stop_s must be a number"),
        ('permissions = ["root"]', "permissions[0] must be one of api"),
        ('arguments = ["a\\u0000"]', "arguments[0] holds a control character"),
        ("environment = {PATH = 5}", "environment.PATH must be text"),
        ('environment = {INOS_API_TOKEN = "x"}', "environment holds"),
        ('environment = {"A=B" = "x"}', "environment holds"),
        ("restart = {crashes = 0}", "restart.crashes must be a whole number"),
        ("restart = {crash = 1}", "restart.crash is no field"),
        ("restart = 5", "restart must be a table"),
        ('application = "A B"', "application must be"),
    ],
)
def test_what_is_refused_and_why(line: str, complaint: str) -> None:
    name = line.partition(" ")[0]
    kept = [each for each in manifest().splitlines() if not each.startswith(name + " ")]
    with pytest.raises(BadInput) as caught:
        parse_manifest("\n".join([*kept, line]).encode())
    assert complaint in caught.value.message and caught.value.hint


def test_a_row_of_another_release_is_read_without_what_is_not_known_here() -> None:
    found = parse_manifest(FULL.encode())
    values = found.to_dict()
    del values["stop_s"]
    other = values | {"colour": "red", "limits": {"memory_mib": 5, "run_s": 2.0}}
    read = Manifest.from_row(other)
    assert (read.id, read.limits.memory_mib, read.limits.cpu_s, read.stop_s) == (found.id, 5, 0, 5.0)
    with pytest.raises(BadInput, match="colour is no field"):
        Manifest.from_dict(other)


@pytest.mark.parametrize("name", ["id", "name", "version", "kind", "entry"])
def test_what_is_needed(name: str) -> None:
    lines = [line for line in manifest().splitlines() if not line.startswith(name + " ")]
    with pytest.raises(BadInput, match=f"{name} is missing"):
        parse_manifest("\n".join(lines).encode())


@pytest.mark.parametrize(
    "data", [b"\xff", b"a", b"a = [" * 500, b"x" * (MAX_MANIFEST_BYTES + 1), b"", b"id = 1979-05-27"]
)
def test_what_is_no_manifest(data: bytes) -> None:
    with pytest.raises(BadInput):
        parse_manifest(data)


def test_a_front_end_has_no_process_to_give_anything_to() -> None:
    assert parse_manifest(manifest(kind="static").encode()).kind == "static"
    with pytest.raises(BadInput, match="no process"):
        parse_manifest(manifest("1", 'permissions = ["api"]', kind="static").encode())


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=8), each, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from([*parse_manifest(FULL.encode()).to_dict(), "other"])


@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_whatever_a_field_holds_is_taken_whole_or_refused(changes: dict[str, Any]) -> None:
    values = parse_manifest(FULL.encode()).to_dict() | changes
    try:
        found = Manifest.from_dict(values)
    except BadInput as error:
        assert len(error.message) < 2000
    else:
        assert Manifest.from_dict(found.to_dict()) == found
