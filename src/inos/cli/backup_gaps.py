"""What a backup that was just made holds besides objects, and what it does not, said to whoever made it."""

from __future__ import annotations

from inos.cli.output import RED, YELLOW, count_text, note, paint
from inos.core.reports import BackupReport


def say_gaps(report: BackupReport) -> None:
    """Count messages and settings; name what could not be kept."""
    counts = ((report.messages, "database", "messages"), (report.config, "file", "settings"))
    if besides := [f"{count_text(number, thing)} of {of}" for number, thing, of in counts if number]:
        note(f"with {' and '.join(besides)}")
    if report.damaged:
        damaged = count_text(report.damaged, "chunk")
        note(paint(f"{damaged} or files could not be read and are not in it; see: inos verify", RED))
    if report.left_out:
        told = len(report.left_out_names)
        more = f", and {report.left_out - told} more" if report.left_out > told else ""
        note(paint(f"not in it: {'; '.join(report.left_out_names)}{more}", YELLOW))
