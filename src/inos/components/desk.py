"""Answers what is asked of a node's components (`core/components.py`)."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from pathlib import PurePosixPath
from typing import Final, Protocol

import trio

from inos.components import logs
from inos.components.content_types import content_type_of
from inos.components.installed import Installed, installed_of, upgraded
from inos.components.manifest import Manifest
from inos.components.shelf import Code, Incoming, Shelf
from inos.core.components import AppFile, ApplicationReport, ComponentReport, LogPart, Removed
from inos.core.env import Env
from inos.core.errors import BadInput, Conflict, Corrupt, NotFound
from inos.core.rows.software import Application, Component, ComponentRun
from inos.crypto.hashing import blake3_digest
from inos.store.private_files import explained
from inos.store.repositories import Repositories

_HINT: Final = "inos component list"

Fetch = Callable[[str], Awaitable[tuple[str, AsyncGenerator[bytes, None]]]]
"""The reference of an object that a target names, and its bytes."""


class Keeping(Protocol):
    """What runs the components: a supervisor, or what stands in for it where no node runs."""

    def row(self, component_id: str) -> ComponentRun | None:
        """What is known of a component now, beyond its row; None where that is all."""

    def running(self, component_id: str) -> Installed | None:
        """What runs of a component now."""

    async def start(self, installed: Installed) -> None:
        """Run it, now and at every start of the node."""

    async def replaced(self, installed: Installed) -> None:
        """Another version was installed."""

    async def stop(self, component_id: str) -> None:
        """Have it stopped, also at the next start of the node."""

    async def forget(self, component_id: str) -> None:
        """Stop it; its row and files are about to go."""


class ComponentDesk:
    """`ComponentCalls` on one data root."""

    def __init__(self, rows: Repositories, shelf: Shelf, supervisor: Keeping, fetch: Fetch, env: Env) -> None:
        self._rows = rows
        self._shelf = shelf
        self._supervisor = supervisor
        self._fetch = fetch
        self._env = env
        self._lock = trio.Lock()
        self._served: dict[str, Code] = {}

    # Installing and removing

    async def install(self, package: AsyncIterator[bytes], granted: Sequence[str]) -> ComponentReport:
        return await self._install(package, granted, None)

    async def install_from(self, target: str, granted: Sequence[str]) -> ComponentReport:
        reference, content = await self._fetch(target)
        async with aclosing(content) as package:
            return await self._install(package, granted, reference)

    async def _install(
        self, package: AsyncIterator[bytes], granted: Sequence[str], reference: str | None
    ) -> ComponentReport:
        with self._shelf.incoming() as incoming:
            async for part in package:
                await self._env.in_thread(incoming.write, part)
            manifest, code = await self._env.in_thread(_unpacked, incoming)
            _refuse_ungrantable(manifest, granted)
            async with self._lock:
                installed = await self._env.in_thread(self._place, manifest, code, tuple(granted), reference)
                await self._supervisor.replaced(installed)
        return await self.get(manifest.id)

    def _place(self, manifest: Manifest, code: Code, granted: tuple[str, ...], reference: str | None) -> Installed:
        old = self._known(manifest.id)
        recorded = old.digests.get(manifest.version) if old else None
        self._shelf.place(manifest, code, recorded)
        before, digests = upgraded(old, manifest, code.digest)
        installed = Installed(
            manifest, code.digest, granted, before, digests, reference, int(self._env.now_s())
        )  # fmt: skip
        self._rows.components.put(installed.row())
        if self._rows.registry.get(manifest.id) is None:
            self._rows.registry.put(ComponentRun(manifest.id, manifest.version))
        self._join_application(manifest)
        self._served.pop(manifest.id, None)
        return installed

    def _known(self, component_id: str) -> Installed | None:
        row = self._rows.components.get(component_id)
        with suppress(Conflict):
            return None if row is None else installed_of(row)
        return None

    def _join_application(self, manifest: Manifest) -> None:
        name = manifest.application
        if not name:
            return
        old = self._rows.applications.get(name)
        if old is None:
            made = Application(name, name, manifest.version, int(self._env.now_s()), (manifest.id,))
            self._rows.applications.put(made)
        elif manifest.id not in old.components:
            components = tuple(sorted((*old.components, manifest.id)))
            self._rows.applications.put(dataclasses.replace(old, components=components))

    async def remove(self, component_id: str) -> Removed:
        async with self._lock:
            await self._env.in_thread(self._rows.components.need, component_id)
            await self._supervisor.forget(component_id)
            await self._env.in_thread(self._remove, component_id)
        return Removed(component_id)

    def _remove(self, component_id: str) -> None:
        self._shelf.condemn(component_id)
        for application in _applications_of(self._rows, component_id):
            rest = tuple(each for each in application.components if each != component_id)
            if rest:
                self._rows.applications.put(dataclasses.replace(application, components=rest))
            else:
                self._rows.applications.remove(application.application_id)
        self._rows.registry.take_out(component_id)
        self._rows.components.remove(component_id)
        self._served.pop(component_id, None)
        self._shelf.remove(component_id)

    # Looking

    async def list(self) -> tuple[ComponentReport, ...]:
        def work() -> tuple[ComponentReport, ...]:
            return tuple(self._report(row) for row in self._rows.components.every())

        return await self._env.in_thread(work)

    async def get(self, component_id: str) -> ComponentReport:
        return await self._env.in_thread(lambda: self._report(self._rows.components.need(component_id)))

    def _report(self, row: Component) -> ComponentReport:
        try:
            installed: Installed | None = installed_of(row)
        except Conflict:
            installed = None
        run = self._supervisor.row(row.component_id) or self._rows.registry.get(row.component_id)
        run = run or ComponentRun(row.component_id, row.version)
        return ComponentReport(
            component_id=row.component_id,
            name=row.name,
            version=row.version,
            runtime=row.runtime,
            status=run.status,
            wanted=run.wanted,
            pid=run.pid,
            endpoint=run.endpoint,
            started_at_s=run.started_at_s,
            last_heartbeat_s=run.last_heartbeat_s,
            restarts=run.restart_count,
            last_error=run.last_error,
            applications=tuple(each.application_id for each in _applications_of(self._rows, row.component_id)),
            permissions=installed.manifest.permissions if installed else (),
            granted=installed.granted if installed else (),
            versions=self._shelf.versions(row.component_id),
            data=str(self._shelf.data(row.component_id, row.version)),
            digest=installed.digest if installed else "",
            installed_at_s=row.installed_at_s,
            reference=row.reference,
        )

    async def log(self, component_id: str, after: str, limit: int) -> LogPart:
        await self._env.in_thread(self._rows.components.need, component_id)
        return await self._env.in_thread(logs.read, self._shelf.log(component_id), after, limit)

    # Running

    async def start(self, component_id: str) -> ComponentReport:
        installed = await self._env.in_thread(lambda: installed_of(self._rows.components.need(component_id)))
        await self._supervisor.start(installed)
        await self._env.in_thread(self._rows.components.used, component_id, self._env.now_s())
        return await self.get(component_id)

    async def stop(self, component_id: str) -> ComponentReport:
        await self._env.in_thread(self._rows.components.need, component_id)
        await self._supervisor.stop(component_id)
        return await self.get(component_id)

    async def restart(self, component_id: str) -> ComponentReport:
        await self.stop(component_id)
        return await self.start(component_id)

    # Applications

    async def applications(self) -> tuple[ApplicationReport, ...]:
        rows = await self._env.in_thread(self._rows.applications.every)
        return tuple(
            ApplicationReport(
                row.application_id,
                row.name,
                row.components,
                sum(self._supervisor.running(each) is not None for each in row.components),
            )
            for row in rows
        )

    async def start_application(self, application_id: str) -> tuple[ComponentReport, ...]:
        application = await self._env.in_thread(self._rows.applications.need, application_id)
        started = tuple([await self.start(each) for each in application.components])
        await self._env.in_thread(self._rows.applications.launched, application_id, self._env.now_s())
        return started

    async def stop_application(self, application_id: str) -> tuple[ComponentReport, ...]:
        application = await self._env.in_thread(self._rows.applications.need, application_id)
        return tuple([await self.stop(each) for each in application.components])

    # Front ends

    async def app_file(self, component_id: str, path: str) -> AppFile:
        installed = self._supervisor.running(component_id)
        if installed is None or installed.manifest.kind != "static":
            raise NotFound(f"no front end {component_id[:128]!r} runs", hint=f"start it: inos component start; {_HINT}")
        code = await self._env.in_thread(self._files_of, installed)
        # A name is looked up among those of the package, never opened as it came: no path leads out.
        name = path or installed.manifest.entry
        name = f"{name}index.html" if name.endswith("/") else name
        if name not in code.files:
            raise NotFound(f"{component_id} has no file {PurePosixPath(name).name[:100]!r}")
        return AppFile(content_type_of(name), await self._env.in_thread(_read, code, name))

    def _files_of(self, installed: Installed) -> Code:
        code = self._served.get(installed.id)
        if code is None or code.digest != installed.digest:
            code = self._shelf.verified(installed.id, installed.version, installed.digest)
            self._served[installed.id] = code
        return code


def _applications_of(rows: Repositories, component_id: str) -> list[Application]:
    return [each for each in rows.applications.every() if component_id in each.components]


def _unpacked(incoming: Incoming) -> tuple[Manifest, Code]:
    return incoming.unpacked()


def _refuse_ungrantable(manifest: Manifest, granted: Sequence[str]) -> None:
    for each in granted:
        if each not in manifest.permissions:
            asked = ", ".join(manifest.permissions) or "nothing"
            raise BadInput(f"{manifest.id} does not ask for {each[:40]!r}", hint=f"it asks for: {asked}")


def _read(code: Code, name: str) -> bytes:
    known = code.files[name]
    with explained("read", code.folder / name):
        descriptor = os.open(code.folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(known.size_bytes + 1)
    if len(data) != known.size_bytes or blake3_digest(data) != known.digest:
        raise Corrupt(f"{name[:100]!r} is damaged or was changed", hint="install the component again")
    return data
