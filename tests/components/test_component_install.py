"""Installing: versions side by side, damage, disks that are full, crashes in the middle, front ends."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

import pytest
from component_bench import OpenBench, parts
from component_packages import ID, WAITING, manifest, packed, program, zipped

from inos.core.errors import BadInput, Conflict, Corrupt, NotFound, StorageFull, TooLarge
from inos.testing.run import trio_test


@trio_test
async def test_versions_stand_side_by_side_and_each_keeps_its_data(bench: OpenBench) -> None:
    async with bench() as at:
        first = await at.install(program(WAITING))
        started = await at.desk.start(ID)
        Path(first.data, "notes").write_text("old")
        second = await at.install(program(WAITING, "1.1"))
        assert (second.version, second.versions, second.status) == ("1.1", ("1.0", "1.1"), "running")
        assert second.pid != started.pid and at.rows.registry.need(ID).version == "1.1"
        assert not list(Path(second.data).iterdir()) and Path(first.data, "notes").read_text() == "old"
        back = await at.install(program(WAITING))
        assert (back.version, back.data) == ("1.0", first.data)
        await at.desk.remove(ID)
        assert not (at.root / "components" / ID).exists() and not list((at.root / "components" / ".new").iterdir())
        assert await at.desk.list() == () and at.rows.registry.get(ID) is None
        with pytest.raises(NotFound):
            await at.desk.remove(ID)


@trio_test
async def test_a_version_is_one_content_however_it_is_packed(bench: OpenBench) -> None:
    async with bench() as at:
        files = program(WAITING)
        first = await at.install(files)
        for again in (zipped(files), packed(files, "clock-1.0/")):
            assert (await at.desk.install(parts(again), ())).digest == first.digest
        with pytest.raises(Conflict, match="other content"):
            await at.install(program(WAITING + "#"))
        at.objects["inos:x"] = zipped(program(WAITING, "1.1"))
        assert (await at.desk.install_from("inos:x", ())).reference == "inos:x"
        with pytest.raises(NotFound):
            await at.desk.install_from("inos:y", ())


@trio_test
async def test_a_data_folder_that_was_not_brought_back_is_made_anew(bench: OpenBench) -> None:
    async with bench() as at:
        Path((await at.install(program(WAITING))).data).rmdir()
        started = await at.desk.start(ID)
        assert started.status == "running" and Path(started.data).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("harm", ["flip", "more", "gone", "link"])
@trio_test
async def test_damaged_code_is_not_run_and_installing_it_again_heals_it(bench: OpenBench, harm: str) -> None:
    async with bench() as at:
        await at.install(program(WAITING))
        code = at.shelf.code(ID, "1.0")
        match harm:
            case "flip":
                data = bytearray((code / "main.py").read_bytes())
                data[3] ^= 1
                (code / "main.py").write_bytes(data)
            case "more":
                (code / "time.py").write_text("")
            case "gone":
                (code / "main.py").unlink()
            case _:
                (code / "json.py").symlink_to("/dev/null")
        broken = await at.desk.start(ID)
        assert broken.status == "crashed" and broken.last_error
        await at.install(program(WAITING))
        assert (await at.desk.start(ID)).status == "running"


def test_every_byte_of_a_front_ends_file_is_checked_when_it_is_served(bench: OpenBench) -> None:
    page = "<h1>the time</h1>"

    @trio_test
    async def served() -> None:
        async with bench() as at:
            await at.install({"component.toml": manifest(kind="static"), "index.html": page, "a/b.css": "x"})
            with pytest.raises(NotFound):
                await at.desk.app_file(ID, "")
            report = await at.desk.start(ID)
            assert report.endpoint == f"http://127.0.0.1:1/apps/{ID}/"
            assert (await at.desk.app_file(ID, "")).data == page.encode()
            assert (await at.desk.app_file(ID, "a/b.css")).content_type == "text/css; charset=utf-8"
            for outside in ("../data/x", "a/../index.html", "/etc/passwd", "a", "a/", "..", "component.toml/"):
                with pytest.raises(NotFound):
                    await at.desk.app_file(ID, outside)
            path = at.shelf.code(ID, "1.0") / "index.html"
            for number in range(len(page)):
                data = bytearray(page.encode())
                data[number] ^= 4
                path.write_bytes(data)
                with pytest.raises(Corrupt):
                    await at.desk.app_file(ID, "")
            path.write_text(page)
            assert (await at.desk.stop(ID)).status == "stopped"
            with pytest.raises(NotFound):
                await at.desk.app_file(ID, "")

    served()


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"main.py": ""}, "has no component.toml"),
        ({"component.toml": manifest()}, "is not in the package"),
        ({"component.toml": "x"}, "is not TOML"),
        ({"component.toml": manifest(entry="pkg:main"), "main.py": ""}, "is not in the package"),
    ],
)
@trio_test
async def test_a_package_that_is_refused_leaves_nothing(
    bench: OpenBench, files: dict[str, str], complaint: str
) -> None:
    async with bench() as at:
        with pytest.raises(BadInput, match=complaint):
            await at.install(files)
        assert await at.desk.list() == () and not [p for p in (at.root / "components").rglob("*") if p.is_file()]


@trio_test
async def test_a_package_that_is_too_large(bench: OpenBench) -> None:
    async def endless():  # type: ignore[no-untyped-def]
        while True:
            yield bytes(1 << 20)

    async with bench() as at:
        with pytest.raises(TooLarge):
            await at.desk.install(endless(), ())
        assert not [p for p in (at.root / "components").rglob("*") if p.is_file()]


@trio_test
async def test_no_room_leaves_the_old_version_in_use(bench: OpenBench) -> None:
    async with bench() as at:
        await at.install(program(WAITING))
        limits, heard = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        for room in (10_000, 300_000):  # for the package itself, and for what is unpacked from it
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
            try:
                with pytest.raises(StorageFull):
                    await at.install(program(WAITING, "2") | {"data": "x" * 900_000, "more": str(list(range(20_000)))})
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            report = await at.desk.get(ID)
            assert (report.version, report.versions) == ("1.0", ("1.0",))
        signal.signal(signal.SIGXFSZ, heard)
        assert (await at.desk.start(ID)).status == "running"


@trio_test
async def test_what_was_installed_or_removed_in_part_goes_at_the_next_start(bench: OpenBench) -> None:
    """As a crash leaves it; what a component has written goes only when somebody said so."""
    async with bench() as at:
        await at.install(program(WAITING))
        await at.install(program(WAITING, component_id="org.example.gone"))
        await at.install(program(WAITING, component_id="org.example.kept"))
        components = at.root / "components"
        for name in (ID, "org.example.gone", "org.example.kept"):
            (components / name / "1.0" / "data" / "notes").write_text("mine")
        for folder in (f"{ID}/2.0", "org.example.begun/1.0"):  # placed, and no row was written
            (components / folder / "code").mkdir(parents=True)
            (components / folder / "data").mkdir()
        at.shelf.condemn(ID)  # and then not removed
        at.shelf.condemn("org.example.gone")
        for name in ("org.example.gone", "org.example.kept"):
            at.rows.registry.take_out(name)
            at.rows.components.remove(name)
    async with bench() as at:
        folders = {path.relative_to(components).as_posix() for path in components.glob("*/*")}
        assert folders == {f"{ID}/1.0", "org.example.kept/1.0"}
        assert (at.shelf.data("org.example.kept", "1.0") / "notes").read_text() == "mine"
        assert (await at.desk.start(ID)).status == "running"
