"""What a backup that was just made does not hold, said to whoever made it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from inos.cli.output import RED, YELLOW, count_text, note, paint
from inos.core.errors import InosError
from inos.core.reports import BackupReport

if TYPE_CHECKING:
    from inos.client.mesh import Mesh

HUB = "hub"


async def messages_only_here(mesh: Mesh) -> int | None:
    """Messages that are on this node and, as far as it knows, nowhere else; None when it cannot tell."""
    try:
        report = await mesh.messages.report()
    except InosError:
        return None
    waiting = sum(each.pending + each.parked for each in report.outboxes)
    return waiting + (max(0, report.last_seq - report.covered_seq) if report.role == HUB else 0)


def say_gaps(report: BackupReport, root: Path, only_here: int | None) -> None:
    """Name what is not in it: messages always, of the data of components what could not be kept."""
    if (root / "messages").is_dir() and any((root / "messages").iterdir()) and only_here != 0:
        many = "the mesh keeps them; how many it does not keep yet cannot be told here"
        if only_here is not None:
            many = f"the mesh keeps them, but for {count_text(only_here, 'message')} on this node only so far"
        note(paint(f"messages are not in it: {many}; see: inos msg stats", YELLOW))
    if report.damaged:
        damaged = count_text(report.damaged, "chunk")
        note(paint(f"{damaged} or files could not be read and are not in it; see: inos verify", RED))
    if report.left_out:
        told = len(report.left_out_names)
        more = f", and {report.left_out - told} more" if report.left_out > told else ""
        note(paint(f"not in it: {'; '.join(report.left_out_names)}{more}", YELLOW))
