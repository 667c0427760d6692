"""Every kind of file of a data root, some bytes of each flipped (`make crash` flips thousands): each is noticed or put
right."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from crash.flips import KINDS, Kind, flip_all
from crash.roots import Scene


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_flipped_byte_is_noticed(kind: Kind, tmp_path: Path) -> None:
    slow = kind.name == "chunk file"
    found = flip_all(kind, Scene(tmp_path), 15 if slow else 60, random.randrange(10**6))
    assert found.violations == []
    assert found.noticed + found.healed > found.flips * 0.9
