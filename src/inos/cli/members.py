"""invite, join, peers, revoke, status."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from inos.cli.node_door import node_commands
from inos.cli.options import LOOKING, MESH, AsJson, Home, PassphraseFile
from inos.cli.output import (
    GREEN,
    RED,
    age_text,
    count_text,
    note,
    paint,
    say,
    say_json,
    size_text,
    table,
    time_text,
)
from inos.cli.running import command, with_mesh
from inos.cli.secrets_in import existing_passphrase
from inos.core.endpoint import data_root
from inos.core.errors import BadInput, NoNode
from inos.core.reports import JoinReport, MessageStatus, PeerReport, StatusReport, TierReport, WorkerReport, to_dict

if TYPE_CHECKING:
    from inos.client.mesh import Mesh

_LIFETIME: Final = re.compile(r"([0-9]{1,9})(s|min|m|h|d|)")
_SIZE: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?(B|[kKMGT]B|[KMGT]iB|)")
_UNIT_BYTES: Final = {
    "": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40,
}  # fmt: skip
_UNIT_S: Final = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(rich_help_panel=MESH)(invite)
    app.command(rich_help_panel=MESH)(join)
    app.command(rich_help_panel=MESH)(revoke)
    app.command(rich_help_panel=LOOKING)(peers)
    app.command(rich_help_panel=LOOKING)(status)


@command
def invite(
    single_use: Annotated[bool, typer.Option("--single-use", help="Good for one new member only.")] = False,
    lifetime: Annotated[str, typer.Option(help="How long it is good for: 30min, 12h, 7d.", metavar="TIME")] = "24h",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Make a ticket with which another machine joins the mesh.

    inos invite --single-use --lifetime 30min
    """
    lifetime_s = parse_time_s(lifetime)

    async def work(mesh: Mesh) -> None:
        report = await mesh.invite(single_use=single_use, lifetime_s=lifetime_s)
        if as_json:
            say_json(to_dict(report))
            return
        say(report.ticket)
        uses = "one machine" if report.single_use else "any number of machines"
        if report.founder_only:
            note("this node may not invite: the ticket lets in nobody but the founder of the mesh")
        note(f"good for {uses} until {time_text(report.expires_at)}; there: inos join TICKET")

    with_mesh(home, work)


def parse_size(text: str) -> int:
    """Bytes of "500MB", "5 GB", "1.5TB" or "64MiB". Raises BadInput."""
    match = _SIZE.fullmatch(text.strip())
    if match is None or not float(match[1]):
        raise BadInput(f"not a size: {text!r}", hint="write it like 500MB, 5GB or 2TB")
    return int(float(match[1]) * _UNIT_BYTES[match[2].upper()])


def parse_time_s(text: str) -> int:
    """Seconds of "90", "90s", "30min", "12h" or "7d". Raises BadInput."""
    match = _LIFETIME.fullmatch(text)
    if match is None or not int(match[1]):
        raise BadInput(f"not a length of time: {text!r}", hint="write it like 30min, 12h or 7d")
    return int(match[1]) * _UNIT_S[match[2]]


@command
def join(
    ticket: Annotated[str, typer.Argument(help="What inos invite printed.", metavar="TICKET")],
    passphrase_file: PassphraseFile = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Become a member of a mesh, through the running node or before it is started.

    inos join inos-ticket-…
    """

    async def work(mesh: Mesh) -> JoinReport:
        return await mesh.join(ticket)

    try:
        report = with_mesh(home, work)
    except NoNode:
        report = _join_offline(data_root(home), ticket, passphrase_file)
    if as_json:
        say_json(to_dict(report))
    else:
        note(f"joined mesh {report.mesh[:12]} with {count_text(report.peers, 'member')}")


def _join_offline(home: Path, ticket: str, passphrase_file: Path | None) -> JoinReport:
    if not home.exists():
        raise BadInput(f"there is no data root at {home}", hint="make one with: inos init")
    return node_commands().join_offline(home, ticket, existing_passphrase(home, passphrase_file))


@command
def revoke(
    peer: Annotated[str, typer.Argument(help="Peer id of the member, from inos peers.", metavar="PEER")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Shut a member out for good; what it held is repaired elsewhere."""

    async def work(mesh: Mesh) -> None:
        report = await mesh.revoke(peer)
        if as_json:
            say_json(to_dict(report))
        else:
            note(f"revoked {report.node_name or report.peer}")
            note("a ticket for many that is still good lets that machine in again, as another node")

    with_mesh(home, work)


@command
def peers(home: Home = None, as_json: AsJson = False) -> None:
    """List the members of the mesh as this node sees them."""

    async def work(mesh: Mesh) -> None:
        found = await mesh.peers()
        if as_json:
            for peer in found:
                say_json(to_dict(peer))
            return
        heads = ("NODE", "STATE", "SINCE", "LATENCY", "HOLDS", "REGION", "PEER", "ADDRESS")
        say(table([heads, *(_peer_row(peer) for peer in found)], right=frozenset({2, 3, 4})))

    with_mesh(home, work)


def _peer_row(peer: PeerReport) -> tuple[str, ...]:
    latency = "-" if peer.latency_ms is None else f"{peer.latency_ms:.1f} ms"
    return (
        peer.node_name or "-",
        peer.state,
        age_text(peer.since_s),
        latency,
        size_text(peer.storage_bytes),
        peer.region or "-",
        peer.peer,
        peer.addresses[0] if peer.addresses else "-",
    )


@command
def status(home: Home = None, as_json: AsJson = False) -> None:
    """Show the node, its mesh and its workers."""

    async def work(mesh: Mesh) -> None:
        report = await mesh.status()
        if as_json:
            say_json(to_dict(report))
        else:
            say(status_text(report))

    with_mesh(home, work)


def status_text(report: StatusReport) -> str:
    """A status report for people."""
    members = f"{report.alive} of {report.members} members alive"
    quota = f" of {size_text(report.quota_bytes)}" if report.quota_bytes else ""
    facts = [
        ("node", f"{report.node_name or '-'}, {report.profile}, region {report.region or '-'}, INOS {report.version}"),
        ("peer", report.peer),
        ("owner", report.owner),
        ("mesh", f"{report.mesh[:16]}…, " + paint(members, GREEN if report.alive == report.members else RED)),
        ("up", age_text(report.uptime_s)),
        ("listens", ", ".join(report.listen) or "-"),
        ("api", report.api),
        ("holds", f"{report.objects} objects, {report.chunks} chunks, {size_text(report.stored_bytes)}{quota}"),
        ("disk", f"{size_text(report.free_bytes)} free"),
        *((tier.name, _tier_text(tier)) for tier in report.tiers),
        *([("messages", _messages_text(report.messages))] if _has_messages(report.messages) else []),
    ]
    for label, counters in (("repair", report.repair), ("refused", report.refused)):
        if counters:
            facts.append((label, ", ".join(f"{name} {value}" for name, value in counters.items())))
    lines = [f"{label:<9}{value}" for label, value in facts]
    heads = ("WORKER", "PHASE", "RUNS", "FAILURES", "LAST SUCCESS", "")
    rows = [heads, *(_worker_row(worker) for worker in report.workers)]
    return "\n".join([*lines, "", table(rows, right=frozenset({2, 3, 4}))])


def _has_messages(status: MessageStatus) -> bool:
    return status.role != "none" or bool(status.caches)


def _messages_text(status: MessageStatus) -> str:
    pending = sum(cache.pending for cache in status.caches)
    role = "" if status.role == "none" else f"{status.role}, "
    return f"{role}caches of {len(status.caches)} agents here, {pending} messages on their way to the hub"


def _tier_text(tier: TierReport) -> str:
    surplus = f", {size_text(tier.surplus_bytes)} of it can go" if tier.surplus_bytes else ""
    text = f"{size_text(tier.used_bytes)} of {size_text(tier.quota_bytes)}{surplus}"
    return text if tier.state == "ok" else f"{text}, " + paint(tier.state, RED)


def _worker_row(worker: WorkerReport) -> tuple[str, ...]:
    detail = worker.last_error or ", ".join(f"{name} {value}" for name, value in worker.detail.items())
    age = age_text(worker.last_success_age_s)
    return worker.name, worker.phase, str(worker.runs), str(worker.failures), age, detail
