"""Each decoder gets garbage, and valid messages with a few bytes changed: a moment of what `make fuzz` does long."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.targets import TARGETS, Target, try_once

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "inos"
NAMES = ("decode", "parse")

by_name = pytest.mark.parametrize("name", TARGETS)


@st.composite
def mutations(draw: st.DrawFn, samples: list[bytes]) -> bytes:
    """A sample with some bytes replaced, a piece cut out or doubled, or its end lost."""
    data = bytearray(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        length = draw(st.sampled_from((1, 1, 2, 8, 64)))
        match draw(st.sampled_from(("set", "set", "set", "cut", "double", "end"))):
            case "set":
                data[at : at + length] = draw(st.sampled_from((b"\0", b"\xff", b"\1", b"\x80"))) * length
            case "cut":
                del data[at : at + length]
            case "double":
                data[at:at] = data[at : at + length]
            case _:
                del data[at:]
    return bytes(data)


@by_name
def test_samples_are_accepted(name: str) -> None:
    for sample in TARGETS[name].samples():
        TARGETS[name].decode(sample)


@by_name
def test_garbage_is_refused_properly(name: str) -> None:
    run(TARGETS[name], st.binary(max_size=300))


@by_name
def test_damaged_messages_are_refused_properly(name: str) -> None:
    if samples := list(TARGETS[name].samples()):
        run(TARGETS[name], mutations(samples))


def run(target: Target, inputs: st.SearchStrategy[bytes]) -> None:
    @given(inputs)
    @settings(max_examples=60)
    def feed(data: bytes) -> None:
        try_once(target, data)

    feed()


def decoders() -> set[str]:
    """Public functions and class methods of src/inos that are called decode or parse, or begin so."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        module = path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".")
        tree = ast.parse(path.read_text())
        for scope, prefix in [(tree, module)] + [
            (c, f"{module}.{c.name}") for c in tree.body if isinstance(c, ast.ClassDef)
        ]:
            for node in scope.body:
                if isinstance(node, ast.FunctionDef) and node.name.split("_")[0] in NAMES:
                    found.add(f"{prefix}.{node.name}")
    return found


def test_every_decoder_is_a_target() -> None:
    missing = sorted(decoders() - set(TARGETS))
    assert not missing, f"add to fuzz/targets.py: {missing}"
