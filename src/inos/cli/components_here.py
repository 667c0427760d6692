"""Components of a data root on which no node runs, asked as those of a running node are."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Protocol

from inos.client.components import package_blocks
from inos.core.components import ApplicationReport, ComponentCalls, ComponentReport, LogPart, Removed

if TYPE_CHECKING:
    import os


class AnyComponents(Protocol):
    """What `inos component` and `inos app` ask for; `inos.client.components.Components` is one."""

    async def install(self, package: str | os.PathLike[str], *, grant: Sequence[str] = ()) -> ComponentReport: ...

    async def install_from(self, target: str, *, grant: Sequence[str] = ()) -> ComponentReport: ...

    async def list(self) -> tuple[ComponentReport, ...]: ...

    async def get(self, component_id: str) -> ComponentReport: ...

    async def start(self, component_id: str) -> ComponentReport: ...

    async def stop(self, component_id: str) -> ComponentReport: ...

    async def restart(self, component_id: str) -> ComponentReport: ...

    async def log(self, component_id: str, after: str = "", limit: int = 16 << 10) -> LogPart: ...

    async def remove(self, component_id: str) -> Removed: ...

    async def applications(self) -> tuple[ApplicationReport, ...]: ...

    async def start_application(self, application_id: str) -> tuple[ComponentReport, ...]: ...

    async def stop_application(self, application_id: str) -> tuple[ComponentReport, ...]: ...


class ComponentsHere:
    """`AnyComponents` on the calls of an opened data root."""

    def __init__(self, calls: ComponentCalls) -> None:
        self._calls = calls

    async def install(self, package: str | os.PathLike[str], *, grant: Sequence[str] = ()) -> ComponentReport:
        async with aclosing(package_blocks(package)) as blocks:
            return await self._calls.install(blocks, grant)

    async def install_from(self, target: str, *, grant: Sequence[str] = ()) -> ComponentReport:
        return await self._calls.install_from(target, grant)

    async def list(self) -> tuple[ComponentReport, ...]:
        return await self._calls.list()

    async def get(self, component_id: str) -> ComponentReport:
        return await self._calls.get(component_id)

    async def start(self, component_id: str) -> ComponentReport:
        return await self._calls.start(component_id)

    async def stop(self, component_id: str) -> ComponentReport:
        return await self._calls.stop(component_id)

    async def restart(self, component_id: str) -> ComponentReport:
        return await self._calls.start(component_id)  # nothing to stop, and what fails must change nothing

    async def log(self, component_id: str, after: str = "", limit: int = 16 << 10) -> LogPart:
        return await self._calls.log(component_id, after, limit)

    async def remove(self, component_id: str) -> Removed:
        return await self._calls.remove(component_id)

    async def applications(self) -> tuple[ApplicationReport, ...]:
        return await self._calls.applications()

    async def start_application(self, application_id: str) -> tuple[ComponentReport, ...]:
        return await self._calls.start_application(application_id)

    async def stop_application(self, application_id: str) -> tuple[ComponentReport, ...]:
        return await self._calls.stop_application(application_id)
