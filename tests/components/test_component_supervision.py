"""Components as real processes under a real supervisor: they beat, crash, hang, ignore, flood, and leave children."""

from __future__ import annotations

import errno
import json
import os
import signal
from pathlib import Path

import psutil
import pytest
import trio
from component_bench import OpenBench
from component_packages import BEATING, ID, WAITING, program

from inos.components import guard
from inos.components.guard import MAX_LOG_BYTES
from inos.core.errors import BadInput, NotFound
from inos.testing.run import trio_test

SAY_ALL = (
    "import json, os, sys; print(json.dumps([dict(os.environ), sys.argv, os.getcwd(), sys.path[0]]), flush=True)\n"
)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@trio_test
async def test_one_that_beats_runs_until_it_is_stopped(bench: OpenBench) -> None:
    async with bench() as at:
        await at.install(program(BEATING, "1.0", "heartbeat_s = 0.5"))
        started = await at.desk.start(ID)
        assert (started.status, started.wanted) == ("running", "running")
        assert started.pid is not None and started.last_heartbeat_s is not None
        assert at.rows.registry.need(ID).pid == started.pid
        stopped = await at.desk.stop(ID)
        assert (stopped.status, stopped.wanted, stopped.pid, stopped.restarts) == ("stopped", "stopped", None, 0)
        assert gone(started.pid)
        assert await at.said(ID) == "up\n"


@trio_test
async def test_one_that_is_killed_is_started_again(bench: OpenBench) -> None:
    async with bench() as at:
        await at.install(program(WAITING))
        first = await at.desk.start(ID)
        assert first.pid is not None
        os.kill(first.pid, signal.SIGKILL)
        crashed = await at.until(ID, lambda report: report.status == "crashed")
        assert crashed.last_error == "killed by signal 9" and crashed.pid is None
        again = await at.until(ID, lambda report: report.status == "running")
        assert again.pid != first.pid and again.restarts == 1


@trio_test
async def test_one_that_cannot_run_is_given_up_and_says_so(bench: OpenBench) -> None:
    async with bench() as at:
        await at.install(program("raise SystemExit(7)", "1.0", "[restart]", "crashes = 2"))
        assert (await at.desk.start(ID)).status == "crashed"
        given_up = await at.until(ID, lambda report: "gave up" in report.last_error)
        assert given_up.last_error == "gave up after 2 ends within 60 s; the last: exit code 7"
        assert (given_up.status, given_up.wanted, given_up.restarts) == ("crashed", "running", 1)
        while at.rows.registry.need(ID).last_error != given_up.last_error:
            await trio.sleep(0.02)
        detail: dict[str, int | float | str] = {}
        await at.supervisor.step(detail)
        assert detail["crashed"] == 1
        assert (await at.desk.stop(ID)).status == "stopped"


@trio_test
async def test_one_that_hangs_is_ended_and_counts_as_crashed(bench: OpenBench) -> None:
    once = "import os, time\nos.write(int(os.environ['INOS_HEARTBEAT_FD']), b'beat\\n')\ntime.sleep(600)"
    async with bench() as at:
        await at.install(program(once, "1.0", "heartbeat_s = 0.2", "[restart]", 'policy = "never"'))
        started = await at.desk.start(ID)
        hung = await at.until(ID, lambda report: report.status == "crashed")
        assert hung.last_error == "no heartbeat for 0.6 s"
        assert started.pid is not None and gone(started.pid)


@trio_test
async def test_one_that_ignores_sigterm_and_leaves_children_is_ended_with_them(bench: OpenBench) -> None:
    stubborn = (
        "import signal, subprocess, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        "print(child.pid, flush=True)\ntime.sleep(600)"
    )
    async with bench() as at:
        await at.install(program(stubborn, "1.0", "stop_s = 0.2"))
        started = await at.desk.start(ID)
        while not (said := await at.said(ID)):
            await trio.sleep(0.02)
        assert (await at.desk.stop(ID)).status == "stopped"
        assert started.pid is not None and gone(started.pid) and gone(int(said))


@trio_test
async def test_one_whose_guard_is_killed_ends_too(bench: OpenBench) -> None:
    async with bench() as at:
        await at.install(program(WAITING, "1.0", "[restart]", 'policy = "never"'))
        started = await at.desk.start(ID)
        assert started.pid is not None
        psutil.Process(started.pid).parent().kill()  # type: ignore[union-attr]
        crashed = await at.until(ID, lambda report: report.status == "crashed")
        assert crashed.last_error == "its guard was killed"
        while not gone(started.pid):
            await trio.sleep(0.02)


@trio_test
async def test_a_node_that_ends_takes_its_components_along_and_brings_them_back(bench: OpenBench) -> None:
    async with bench() as at:
        await at.install(program(WAITING))
        first = await at.desk.start(ID)
        assert first.pid is not None
    assert gone(first.pid)
    async with bench() as at:
        again = await at.until(ID, lambda report: report.status == "running")
        assert again.pid != first.pid and again.restarts == 0
        await at.desk.stop(ID)
    async with bench() as at:
        await trio.sleep(0.3)
        assert (await at.desk.get(ID)).status == "stopped"


@trio_test
async def test_it_is_told_where_its_data_is_and_gets_the_token_only_where_it_was_granted(bench: OpenBench) -> None:
    asks = ("1.0", 'arguments = ["--fast"]', 'permissions = ["api"]', "[environment]", 'MODE = "x"')
    async with bench() as at:
        os.environ["INOS_PASSPHRASE"] = os.environ["A_SECRET"] = "not for components"
        try:
            await at.install(program(SAY_ALL, *asks))
            await at.desk.start(ID)
            refused = await at.until(ID, lambda report: report.status == "stopped")
            env, argv, folder, path = json.loads(await at.said(ID))
            assert refused.granted == () and "the-token" not in str(env) and "not for components" not in str(env)
            assert argv[1:] == ["--fast"] and folder == env["INOS_COMPONENT_DATA"] == str(at.shelf.data(ID, "1.0"))
            assert env["MODE"] == "x" and env["INOS_API"] == "http://127.0.0.1:1"
            assert path == str(at.shelf.code(ID, "1.0"))
            granted = await at.install(program(SAY_ALL, "1.1", *asks[1:]), "api")
            assert granted.granted == ("api",)
            await at.desk.start(ID)
            await at.until(ID, lambda report: report.status == "stopped")
            env = json.loads((await at.said(ID)).splitlines()[-1])[0]
            assert env["INOS_API_TOKEN"] == "the-token-of-the-node"
            assert env["INOS_COMPONENT_OLD_DATA"] == str(at.shelf.data(ID, "1.0"))
        finally:
            del os.environ["INOS_PASSPHRASE"], os.environ["A_SECRET"]
        with pytest.raises(BadInput, match="does not ask"):
            await at.install(program(WAITING, "2"), "api")
        assert (await at.desk.get(ID)).version == "1.1"


@trio_test
async def test_a_function_is_an_entry_and_its_data_is_no_place_to_import_from(bench: OpenBench) -> None:
    files = program("") | {
        "component.toml": program("")["component.toml"].replace("main.py", "clock.run:main"),
        "clock/__init__.py": "",
        "clock/run.py": "import sys, helper\ndef main():\n    print(helper.WHO, sys.argv, flush=True)\n    return 0\n",
        "helper.py": "WHO = 'ours'",
    }
    async with bench() as at:
        await at.install(files)
        (at.shelf.data(ID, "1.0") / "helper.py").write_text("WHO = 'data'")
        await at.desk.start(ID)
        await at.until(ID, lambda report: report.status == "stopped")
        assert await at.said(ID) == "ours ['clock.run:main']\n"


@trio_test
async def test_a_flood_of_words_and_beats_fills_neither_disk_nor_pipe(bench: OpenBench) -> None:
    flood = (
        "import os, sys, threading\nfd = int(os.environ['INOS_HEARTBEAT_FD'])\n"
        "def beat():\n    while True: os.write(fd, b'beat\\n' * 4000)\n"
        "threading.Thread(target=beat, daemon=True).start()\n"
        "for number in range(60): sys.stdout.write(f'{number:099d}\\n' * 1000); sys.stdout.flush()\n"
        "import time; time.sleep(600)"
    )
    async with bench() as at:
        await at.install(program(flood, "1.0", "heartbeat_s = 5", "stop_s = 0.5"))
        await at.desk.start(ID)
        while f"{59:099d}" not in await at.said(ID):
            await trio.sleep(0.05)
        log = at.shelf.log(ID)
        kept = [log.stat().st_size, log.with_name("log.1").stat().st_size]
        assert all(size <= MAX_LOG_BYTES for size in kept) and log.stat().st_mode & 0o077 == 0
        first = await at.desk.log(ID, "0-0", 1000)
        assert first.more and len(first.text) == 1000
        text, part = first.text, first
        while part.more:
            part = await at.desk.log(ID, part.next, 1 << 18)
            text += part.text
        assert len(text) == sum(kept)
        assert (await at.desk.stop(ID)).status == "stopped"
        with pytest.raises(BadInput):
            await at.desk.log(ID, "nonsense", 10)


@trio_test
async def test_it_says_where_it_is_reached(bench: OpenBench) -> None:
    says = "import os, time\nos.write(int(os.environ['INOS_HEARTBEAT_FD']), b'endpoint http://127.0.0.1:5/\\n')\ntime.sleep(600)"
    async with bench() as at:
        await at.install(program(says))
        await at.desk.start(ID)
        await at.until(ID, lambda report: report.endpoint == "http://127.0.0.1:5/")
        assert (await at.desk.stop(ID)).endpoint == ""


@trio_test
async def test_applications_start_and_stop_what_belongs_to_them(bench: OpenBench) -> None:
    desk = "org.example.desk"
    async with bench() as at:
        for name in ("one", "two"):
            await at.install(program(WAITING, "1", f'application = "{desk}"', component_id=name))
        assert [each.running for each in await at.desk.applications()] == [0]
        assert {each.status for each in await at.desk.start_application(desk)} == {"running"}
        assert [(each.components, each.running) for each in await at.desk.applications()] == [(("one", "two"), 2)]
        assert at.rows.applications.need(desk).launch_count == 1
        assert {each.status for each in await at.desk.stop_application(desk)} == {"stopped"}
        await at.desk.remove("one")
        assert at.rows.applications.need(desk).components == ("two",)
        await at.desk.remove("two")
        assert await at.desk.applications() == ()
        with pytest.raises(NotFound):
            await at.desk.start_application(desk)


@trio_test
async def test_many_at_once_in_any_order(bench: OpenBench) -> None:
    """Starts, stops and restarts from several callers at once end as the last asked, with one process."""
    async with bench() as at:
        await at.install(program(WAITING))
        async with trio.open_nursery() as nursery:
            for call in (at.desk.start, at.desk.stop, at.desk.restart, at.desk.start, at.desk.stop, at.desk.restart):
                nursery.start_soon(call, ID)
        last = await at.desk.start(ID)
        assert last.status == "running"
        guards = [each for each in psutil.Process().children() if "guard.py" in " ".join(each.cmdline())]
        assert len(guards) == 1
        assert (await at.desk.stop(ID)).status == "stopped"


def test_a_log_that_cannot_be_begun_anew_goes_on_when_it_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = guard.Log(str(tmp_path / "log"))
    log.write(b"a" * (MAX_LOG_BYTES - 1))
    with monkeypatch.context() as patched:
        patched.setattr(guard.Log, "_opened", refuse)
        log.write(b"lost")
        log.write(b"lost as well")
    log.write(b"there again")
    assert (tmp_path / "log").read_bytes() == b"there again"
    assert (tmp_path / "log.1").stat().st_size == MAX_LOG_BYTES - 1


def refuse(_log: guard.Log) -> int:
    raise OSError(errno.ENOSPC, "no room")


def test_the_guard_ends_when_nobody_tells_it_anything() -> None:
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-S", "-E", guard.__file__], stdin=subprocess.DEVNULL, timeout=20, check=False
    )
    assert done.returncode == 0
    assert Path(guard.__file__).exists()
