"""backup and restore as a user runs them: through a node, without one, used wrongly."""

from __future__ import annotations

from typing import Any

import pytest

from inos.cli.backup import _show_list
from inos.cli.backup_gaps import say_gaps
from inos.core.backups import SnapshotReport
from inos.core.reports import BackupReport


def test_a_backup_through_the_node(inos: Any) -> None:
    done = inos("backup", "copies", "--json")
    place = str(inos.cwd / "copies")  # the node works in another folder
    assert done.json["snapshot"] == f"full of {place}" and done.json["finished"]
    assert inos("backup", "copies").text == f"full of {place}\n"
    assert (done.json["messages"], done.json["config"]) == (0, 0)


@pytest.mark.parametrize(
    "words",
    [
        ("backup", "one", "two"),
        ("backup", "list", "mesh:"),
        ("backup", "check", "here", "--percent", "lots"),
        ("backup", "check", "here", "--percent", "101"),
        ("restore", "here", "--object", "/a"),
        ("restore", "here", "-o", "a"),
        ("restore", "mesh:"),
        ("restore", "here"),
        ("backup", ""),
        ("backup", "prune"),
        ("backup", "prune", "here", "12345678"),
        ("backup", "prune", "mesh:"),
        ("backup", "prune", "here", "--keep-last", "0"),
        ("backup", "prune", "here", "--keep-daily", "many"),
        ("backup", "check", "here", "--keep-last", "3"),
        ("backup", "here", "--dry-run"),
        ("backup", "forget", "here"),
    ],
)
def test_used_wrongly(alone: Any, words: tuple[str, ...]) -> None:
    error = alone(*words, "--json").error
    assert error["code"] == "bad_input" and error["hint"]


def test_without_a_node(alone: Any) -> None:
    assert alone("init", "--no-passphrase", "--json").code == 0
    assert alone("backup", "copies", "--json").json["finished"]
    assert len(alone("backup", "list", "copies", "--json").lines) == 1
    assert alone("backup", "check", "copies").text.startswith("1 of 1 snapshot")
    assert alone("backup", "copies", "--json").json["finished"]
    [first, second] = [line["snapshot"] for line in alone("backup", "list", "copies", "--json").lines]
    planned = alone("backup", "prune", "copies", "--keep-last", "1", "--dry-run", "--json").json
    assert [each["kept"] for each in planned["snapshots"]] == ["", "last"] and planned["dry_run"]
    shown = alone("backup", "prune", "copies", "--keep-last", "1", "--keep-daily", "7")
    assert f"{second[:12]}" in shown.text and "kept: last, daily" in shown.text and "gone" in shown.text
    assert "freed" in shown.err and [
        line["snapshot"] for line in alone("backup", "list", "copies", "--json").lines
    ] == [second]
    assert alone("backup", "forget", "copies", first[:12], "--json").error["code"] == "not_found"
    assert alone("backup", "prune", "nothing", "--json").error["code"] == "not_found"
    assert alone("backup", "check", "copies").text.startswith("1 of 1 snapshot")
    (alone.home / "config").mkdir()
    (alone.home / "config/node.yaml").write_text("role: coder\n")
    assert "1 file of settings" in alone("backup", "copies").err
    (alone.home / "config/node.yaml").unlink()
    done = alone("restore", "copies", "--json").json
    assert (alone.home / "config/node.yaml").read_text() == "role: coder\n"
    assert done["home"] == str(alone.home) and done["node_name"] and done["peer"].startswith("12D3")
    assert f"(…{done['peer'][-12:]})" in alone("restore", "copies", "--node", done["node_name"]).err
    assert alone("restore", "copies", "--node", "nobody", "--json").error["code"] == "not_found"
    assert alone("restore", "nothing", "--json").error["code"] == "not_found"
    assert alone("restore", "copies", "--at", "2001-01-01", "--json").error["code"] == "not_found"
    assert alone("backup", "mesh:", "--json").error["code"] == "no_node"


def test_what_is_not_in_a_backup_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    names = ("components/a/1/data/pipe: not a file",)
    say_gaps(BackupReport(1, 1, 1, 2, "id", finished=True, left_out=3, left_out_names=names))
    said = capsys.readouterr().err
    assert "2 chunks" in said and f"{names[0]}, and 2 more" in said and "messages" not in said
    say_gaps(BackupReport(1, 1, 1, messages=1, config=2))
    assert "with 1 database of messages and 2 files of settings\n" in capsys.readouterr().err


def test_a_snapshot_of_an_earlier_release_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    _show_list([SnapshotReport("a" * 64, 1, "desk", "full", 1, 1, 0, whole=False)], as_json=False)
    assert "without messages and settings, by an earlier release: aaaaaaaaaaaa" in capsys.readouterr().err
