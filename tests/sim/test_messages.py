"""Messages on simulated machines: hubs that stop, lose their disk, are taken over; agents that are cut off or full."""

from __future__ import annotations

from inos.sim.script import Script, cluster


def writing(**settings: object) -> Script:
    """Five machines, three of which may be the hub, with messages from two that never are."""
    return cluster(5, hubs=3, settle_s=400, **settings).wait(seconds=25).append("d", 6).append("e", 6).wait(seconds=20)


def test_a_hub_that_loses_its_disk_is_replaced_and_nothing_with_it() -> None:
    script = writing().mark("d").append("d", 4).lose_disk("a").append("e", 4).wait(seconds=30).destroy("a")
    script.append("d", 3).wait(seconds=60).mark("e").append("e", 2).run(minutes=4)


def test_hubs_go_from_hand_to_hand() -> None:
    script = writing(seed=1).take_hub("c").append("d", 3).kill("c").append("e", 3).wait(seconds=5).start("c")
    script = script.take_hub("b").append("d", 3).stop("b").wait(seconds=2).start("b").append("e", 3).take_hub("a")
    script.append("d", 2).wait(seconds=30).mark("b").blackout().append("e", 3).run(minutes=4)


def test_two_sides_of_a_partition_and_weather() -> None:
    script = writing(seed=2).partition("a d", "b c e").append("d", 4).append("e", 4).wait(seconds=60)
    script = script.append("d", 3).append("e", 3).heal().weather(loss=0.05, duplicates=0.1, jitter_s=0.2)
    script.append("d", 5).append("e", 5).wait(seconds=40).take_hub("a").append("d", 2).run(minutes=4)


def test_full_disks_wrong_clocks_and_a_flood() -> None:
    script = writing(seed=3).fill_disk("a").append("d", 30).append("e", 30).wait(seconds=20).set_clock("d", -86_400.0)
    script = script.set_clock("a", 864_000.0).append("d", 5).empty_disk("a").wait(seconds=20).mark("c")
    script = script.fill_disk("d").append("d", 3).empty_disk("d").append("d", 3).set_clock("a", -864_000.0).mark("c")
    script.cut_off("e").append("e", 5).kill("e").wait(seconds=5).start("e").append("e", 5).rejoin("e").run(minutes=4)
