"""The blocking form, targets by their form, and what importing the client costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import inos
from inos.client.targets import is_name, name_of
from inos.core.errors import NotFound

CID = "bafkr4i" + "a" * 52


def test_the_blocking_form_does_the_same(node: Any, tmp_path: Path) -> None:
    with inos.connect_sync(node.home) as mesh:
        put = mesh.put(b"0123456789", name="/s/a")
        assert b"".join(mesh.stream(put)) == b"0123456789"
        with mesh.open(put, 2, 5) as content:
            assert (content.size, b"".join(content.chunks)) == (10, b"234")
        assert [item.name for item in mesh.list()] == ["/s/a"]
        for item in mesh.list():
            assert item.size == 10
            break
        assert mesh.get("/s/a", tmp_path / "out").size == 10
        assert mesh.stat(put).cid == put.cid
        assert list(mesh.verify())[-1].finished
        with pytest.raises(NotFound):
            mesh.stat("/missing")
        with pytest.raises(NotFound):
            list(mesh.stream("/missing"))
        assert {"put", "get", "list", "open", "stream", "status"} <= set(dir(mesh))
        assert "catalogue" in str(mesh.put.__doc__)
        with pytest.raises(AttributeError):
            mesh.nonsense  # noqa: B018
    assert (tmp_path / "out").read_bytes() == b"0123456789"


@pytest.mark.parametrize("text", ["a", "/a", "a/b#c", "inos:/a", "bafkr4i", "bafkr4ix.txt", "/" + CID, "x#y"])
def test_names(text: str) -> None:
    assert is_name(text)


@pytest.mark.parametrize("text", [CID, f"inos:{CID}", f"inos:{CID}#key", "inos:nonsense", f"{CID}#key"])
def test_references(text: str) -> None:
    assert not is_name(text)


def test_one_spelling_of_a_name() -> None:
    assert {name_of(text) for text in ("a/b", "/a/b", "inos:/a/b", "a/b/")} == {"/a/b"}


def test_the_client_loads_nothing_heavy() -> None:
    program = "import sys, inos; inos.connect; print(*sorted(sys.modules))"
    loaded = set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    )
    assert "inos.client.mesh" in loaded
    heavy = {"trio", "httpx", "capnp", "libp2p", "fastapi", "pydantic", "rich", "cryptography", "blake3", "apsw"}
    assert not heavy & loaded
    assert not {name for name in loaded if name.startswith("inos.") and name.split(".")[1] not in ("client", "core")}


def test_importing_the_package_alone_loads_nothing() -> None:
    program = "import sys, inos; inos.__version__; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert [name for name in loaded if name.startswith("inos.")] == []
    with pytest.raises(AttributeError):
        inos.nothing  # noqa: B018
