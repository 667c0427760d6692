"""Faults of the past that a whole mesh can show, as what happened to it then. Each docstring says what went wrong.

Each fails where what was done about it is taken out of the code. Others are better shown
by a look inside: `tests/replication`, `tests/vault`.
"""

from __future__ import annotations

import pytest

from inos.sim.script import cluster

KIB = 1 << 10
STRIPES = {"erasure_from_bytes": 384 * KIB, "chunk_bytes": 128 * KIB}


# Removing


def test_an_absent_machine_brings_back_what_was_removed() -> None:
    """It had the placement, the others had nothing against it."""
    cluster(5).put("letter", 100_000, "a").wait(seconds=10).stop("b").wait(seconds=10).remove("letter", "a").wait(
        minutes=3
    ).start("b").run(minutes=5)


def test_a_holder_that_is_no_replica_never_hears_of_the_removal() -> None:
    """In a mesh too large for everybody to keep all placements, holders kept their pieces for ever."""
    cluster(22).put("letter", 1_000, "a").put("photo", 200_000, "b").wait(seconds=10).remove("letter", "c").remove(
        "photo", "d"
    ).run(minutes=2)


def test_a_machine_that_missed_a_second_name_removes_the_first() -> None:
    """It knew of one name only, removed it, and with it the object that had a second by then."""
    cluster(5).put("letter", 1_000, "a").wait(seconds=10).stop("b").wait(seconds=10).put_again(
        "copy", "letter", "a"
    ).start("b").remove("letter", "b").wait(minutes=2).get("copy", "c").run(minutes=5)


@pytest.mark.parametrize("remove_delay_s", [5, 60, 3600])
def test_named_on_one_side_of_a_cut_and_removed_on_the_other(remove_delay_s: float) -> None:
    """The removal was made in ignorance of the second name, and won; with a short delay for good, and with a long one
    for half of it."""
    script = cluster(5, remove_delay_s=remove_delay_s).put("letter", 1_000, "a").wait(seconds=10)
    script = (
        script.partition("", "d e")
        .wait(seconds=10)
        .put_again("copy", "letter", "b")
        .put("note", 10, "d")
        .put("note2", 10, "d")
        .remove("letter", "d")
    )
    script.wait(seconds=10).heal().wait(minutes=3).get("copy", "e").run(minutes=5)


def test_removed_in_a_minority_by_a_machine_that_dies() -> None:
    """Its removal of the object was heard and that of the name was not: the object was taken back, for a name that
    went as soon as the machine was there again, and stayed without one for ever."""
    cluster(7, seed=137, regions=3).at(6).put("letter", 366_959, "a").at(99.35).partition("", "c d e").at(
        102.24
    ).remove("letter", "d").at(111.83).stop("d").run(minutes=4)


def test_stored_while_the_clock_was_ahead() -> None:
    """Chunks were as young as their machine's clock had said, and stayed until it was that late."""
    cluster(5).set_clock("a", 30 * 86_400.0).put("letter", 1_000, "a").wait(seconds=10).remove("letter", "b").run(
        seconds=30
    )


def test_what_was_overtaken_is_tried_again_for_ever() -> None:
    """What a machine had written behind a cut and the others had replaced meanwhile found no majority, ever."""
    script = cluster(7)
    for number in range(8):
        script = script.put(f"o{number}", 1_000, "a")
    script.wait(seconds=10).partition("", "a b").wait(minutes=2).heal().run(minutes=3)


def test_a_disk_that_fills_up_while_its_machine_joins() -> None:
    """A node that could not begin for want of room said so in a group of errors, which nobody understood."""
    cluster(3).put("letter", 20_000, "a").at(20).join().fill_disk("d", 0).run(seconds=40)


# Names


def test_a_name_and_its_removal_side_by_side() -> None:
    """A second name came between the look for names and the removal of the object; both were acknowledged."""
    script = cluster(5, seed=1).put("letter", 1_000, "a").busy("a", 0.3)
    script.at(10).put_again("copy", "letter", "a").at(11.2).remove("letter", "a").run(seconds=60)


# Repair


@pytest.mark.parametrize("emptied", "abcdef")
def test_a_disk_replaced_within_a_blink(emptied: str) -> None:
    """Back before anybody had missed it, and taken for what it was before: holding its pieces."""
    cluster(6, seed=3, **STRIPES).put("letter", 200_000, "a").put("film", 600_000, "b").wait(seconds=30).lose_disk(
        emptied
    ).run(minutes=1)


def test_a_steward_that_lost_its_disk() -> None:
    """It knew nothing of its objects, and all others left them to it."""
    script = cluster(7, seed=5, settle_s=400)
    for number in range(6):
        script = script.put(f"o{number}", 1_000, "g")
    script.wait(seconds=10).lose_disk("a").wait(seconds=30).destroy("b").run(minutes=2)


def test_a_member_that_was_thrown_out_is_replaced() -> None:
    """It still answered, so nobody replaced it, and its copy was counted."""
    cluster(7, settle_s=120).put("letter", 200_000, "b").wait(seconds=10).revoke("b", "a").run(minutes=2)


def test_a_mesh_too_small_for_its_objects_grows() -> None:
    """What was as whole as four machines allow was not looked at again when a fifth came."""
    cluster(4).put("letter", 200_000, "a").wait(minutes=1).join().join().wait(minutes=2).whole().run(minutes=3)


@pytest.mark.parametrize("seconds", [46, 49, 52])
def test_machines_that_come_back_while_repair_makes_do_without_them(seconds: float) -> None:
    """What was short of members when its round began was noted as seen with those that had come by its end."""
    script = cluster(7, settle_s=200)
    for number in range(3):
        script = script.put(f"o{number}", 100_000, "d")
    for name in "bdef":
        script = script.slow_disk(name, 1.0)
    script = script.at(10).stop("a").stop("c").stop("g")
    script.at(seconds).start("a").start("c").start("g").run(seconds=80)


def test_a_failed_round_of_repair_forgets_nothing() -> None:
    """The steward's disk was full while it looked; what it had found to do was gone with the round."""
    script = cluster(7, seed=2, settle_s=400)
    for number in range(4):
        script = script.put(f"o{number}", 100_000, "a")
    script = script.wait(seconds=10)
    for name in "abcdefg":
        script = script.fill_disk(name)
    script.destroy("g").run(minutes=2)


def test_all_machines_lose_their_power_right_after_an_answer() -> None:
    """What an answer says must be on the disks: a chunk whose name was not synced was gone."""
    cluster(5).put("letter", 200_000, "a").blackout().wait(seconds=30).get("letter", "b").run(minutes=2)


# Messages


def test_a_hub_that_was_replaced_hears_of_a_later_segment_first() -> None:
    """Not knowing of the new hub, the old one took in that hub's second segment before the first; when it was the hub
    again, its agents' messages were out of order."""
    script = cluster(5, seed=248, settle_s=200, hubs=2).wait(seconds=10).append("e", 2).wait(seconds=20)
    script = script.partition("a", "b c d e").append("e", 2).wait(seconds=60).heal().weather(loss=0.05, jitter_s=0.2)
    script.wait(seconds=2).append("e", 2).mark("e").wait(seconds=15).take_hub("a").run(minutes=2.5)
