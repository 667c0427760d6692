"""A restored state put in the place of the present one, with what comes in between: real folders, real deaths."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from dying import DIED, DONE, run
from inos.core.errors import Conflict
from inos.store.swap import Along, begin_swap, finish_swap, new_folder, swap_pending


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def texts(home: Path) -> dict[str, str]:
    """What is there, but for what the swap works with."""
    files = (path for path in home.rglob("*") if not path.is_dir())
    named = {path.relative_to(home).as_posix(): path.read_text() for path in files}
    return {name: text for name, text in named.items() if not name.startswith("restore/")}


def begun(home: Path, along: Along | None = None) -> None:
    """A swap of folders and a file that was decided."""
    for name in ("m/a/known", "m/a/gone", "m/x", "f"):
        put(home / name / "state" if name != "f" else home / name, "present")
    for name in ("m/a/known/state", "m/x/state", "f"):
        put(new_folder(home) / name, "restored")
    begin_swap(home, ["m", "f"], [], along)


WANTED = {"m/a/known/state": "restored", "m/x/state": "restored", "f": "restored"}


@pytest.mark.parametrize(
    ("come", "where_none"),
    [("m/a/late/state", "m/a/late"), ("m/a/known/state", "m/a/known"), ("m/note", "m"), ("f", "f")],
)
def test_a_swap_is_finished_whatever_comes_wherever_it_dies(tmp_path: Path, come: str, where_none: str) -> None:
    """Nothing of what comes goes away: folders that go along are beside the restored, the rest under a free name."""
    at, code, kept = 0, DIED, set()
    while code != DONE:
        at += 1
        home = tmp_path / f"at{at}"
        begun(home, Along("m/a", ["known"]))
        code, _ = run(partial(finish_swap, home), home, "death", at)
        assert code in (DIED, DONE), at
        came = swap_pending(home) and not (home / where_none).exists()
        if came:
            put(home / come, "came")
        if swap_pending(home):
            finish_swap(home)
        found = texts(home)
        assert WANTED.items() <= found.items() and found["m/a/gone/state"] == "present", at
        rest = {name for name, text in found.items() if text == "came"}
        assert len(rest) == came and len(found) == len(WANTED) + 1 + came, at
        kept |= rest
    assert at > 8
    beside = {"m/a/late/state": "m/a/late/state", "m/a/known/state": "m/a/known.lost-1/state", "f": "f.lost-1"}
    assert beside.get(come, "m.lost-1/note") in kept


def test_what_comes_before_the_old_state_is_put_away_goes_along(tmp_path: Path) -> None:
    begun(tmp_path, Along("m/a", ["gone"]))
    put(tmp_path / "m/a/late/state", "came")
    finish_swap(tmp_path)
    late = {"m/a/late/state": "came", "m/a/known.lost-1/state": "present", "m/a/gone/state": "present"}
    assert texts(tmp_path) == WANTED | late


def test_links_are_in_nobodys_way(tmp_path: Path) -> None:
    """What they lead to may be on another disk: it stays there, and what goes along does not go through them."""
    begun(tmp_path / "one", Along("m/a"))
    (tmp_path / "one/m").rename(tmp_path / "elsewhere")
    (tmp_path / "one/m").symlink_to(tmp_path / "elsewhere")
    finish_swap(tmp_path / "one")
    assert texts(tmp_path / "one") == WANTED and (tmp_path / "elsewhere/a/gone/state").read_text() == "present"
    begun(tmp_path / "two", Along("m/a"))
    (new_folder(tmp_path / "two") / "m/a").rename(tmp_path / "away")
    (new_folder(tmp_path / "two") / "m/a").symlink_to(tmp_path / "nowhere")
    finish_swap(tmp_path / "two")
    assert (tmp_path / "two/m/a").is_symlink()
    assert {path.name for path in (tmp_path / "two/m/a.lost-1").iterdir()} == {"known", "gone"}


def test_names_that_are_no_line_and_more_than_fit(tmp_path: Path) -> None:
    begun(tmp_path / "one", Along("m/a", ["known\nput x", "\udcff", "known"]))
    finish_swap(tmp_path / "one")
    assert texts(tmp_path / "one") == WANTED | {"m/a/gone/state": "present"}
    with pytest.raises(Conflict, match="too many"):
        begun(tmp_path / "two", Along("m/a", [f"{number:0200}" for number in range(6_000)]))
    assert not swap_pending(tmp_path / "two") and texts(tmp_path / "two")["f"] == "present"
