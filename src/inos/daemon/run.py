"""The commands behind `inos up` and `inos join`: a node and its API in one process. They block."""

from __future__ import annotations

import logging
import os
import select
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import trio

from inos.api.server import serve_api
from inos.api.service import Download, NodeService
from inos.core.crew import open_tasks
from inos.core.endpoint import SOCKET_FILE, Endpoint
from inos.core.env import Env, RealEnv
from inos.core.errors import BadInput, Busy, Conflict, InosError
from inos.core.memory import keep_large_buffers
from inos.core.options import UpOptions
from inos.core.reports import JoinReport, TierReport
from inos.daemon.addresses import LOOPBACK, announced, as_listened, beyond_loopback, listen_addresses
from inos.daemon.components import RunningComponents, run_components
from inos.daemon.events import Events
from inos.daemon.joining import ask_to_join, keep_joined, known_members, refuse_if_in_company
from inos.daemon.messages import message_settings
from inos.daemon.roots import NAME_SETTING, checked_node_name, host_name, opened_root
from inos.daemon.service import CoreService
from inos.mesh.join import Joined
from inos.mesh.libp2p_host import MeshConfig, open_libp2p
from inos.mesh.liveness import Change
from inos.mesh.network import Admission, Network
from inos.node.core import Core, NodeSettings, Parts, open_core
from inos.node.disk import Disk
from inos.node.identity import Identity, load_identity
from inos.node.profiles import Quotas, profile_named
from inos.node.reporting import VERSION, Reporting
from inos.state.tickets import parse_ticket
from inos.store.dataroot import DataRoot

if TYPE_CHECKING:
    pass

log = logging.getLogger(__name__)

_TOKEN_BYTES: Final = 32
_LISTEN: Final = "node/listen"
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_REJOIN_WAIT_S: Final = 20.0
_STDIN: Final = 0
_SPARE_AT_STOP_BYTES: Final = 64 << 20  # about 0.2 s


def join_offline(home: Path, ticket: str, passphrase: str | None) -> JoinReport:
    """Make the node of `home`, which does not run, a member of the ticket's mesh; nothing is left to do for one that
    is: whoever was cut off in a join repeats it."""
    env, root = RealEnv(), DataRoot(home)
    with root.lock(), opened_root(root, passphrase, env) as (disk, identity):
        joined = _joined(ticket, disk, identity, env)
        return JoinReport(str(joined.genesis.mesh), known_members(disk, joined))


def run_node(options: UpOptions) -> None:
    """Run a node until SIGINT or SIGTERM, or the end of standard input where the options say so."""
    keep_large_buffers()
    logging.getLogger("libp2p").setLevel(logging.CRITICAL)
    env, root = RealEnv(), DataRoot(options.home)
    with (
        _signals_restored(),
        root.lock(),
        opened_root(root, options.passphrase, env, _quotas(options)) as (disk, founded),
    ):
        identity = _joined(options.join, disk, founded, env) if options.join else founded
        # From here on a signal is heard by the node, or by nobody: a second one must not kill it while it closes.
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        try:
            trio.run(_Daemon(options, root, disk, env).run, identity)
        finally:
            _leave_spare(disk)


def _quotas(options: UpOptions) -> Quotas:
    """Those of the profile, but for what the operator chose. Raises BadInput."""
    of_profile = profile_named(options.profile).quotas
    hot_bytes, cold_bytes = options.quota_hot_bytes, options.quota_cold_bytes
    return Quotas(
        of_profile.hot_bytes if hot_bytes is None else hot_bytes,
        of_profile.cold_bytes if cold_bytes is None else cold_bytes,
    )


def _leave_spare(disk: Disk) -> None:
    """A fresh copy of a small database, so that a node that is stopped loses nothing with it."""
    with suppress(InosError):
        if disk.spare.outdated() and disk.spare.size_bytes() <= _SPARE_AT_STOP_BYTES:
            disk.spare.make()


@contextmanager
def _signals_restored() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _joined(ticket: str, disk: Disk, identity: Identity, env: Env) -> Identity:
    """The identity after joining by `ticket`; as it is when the node is a member of that mesh already."""
    if parse_ticket(ticket).genesis.mesh == identity.genesis.mesh:
        return identity
    refuse_if_in_company(disk, identity)
    keep_joined(disk, trio.run(ask_to_join, ticket, identity, env))
    return load_identity(identity.keyring, identity.node_key, disk.settings, env)


@dataclass(slots=True)
class _Switch:
    """The service the API talks to: whatever core runs now. In between, callers are told to come back."""

    current: CoreService | None = None

    def __getattr__(self, name: str) -> Any:
        if self.current is None:
            raise Busy("the node is starting again", hint="try again in a few seconds")
        return getattr(self.current, name)


class _Daemon:
    """One process of `inos up`: the API for as long as it lives, and one core after another."""

    def __init__(self, options: UpOptions, root: DataRoot, disk: Disk, env: Env) -> None:
        self._options = options
        self._root = root
        self._disk = disk
        self._env = env
        self._switch = _Switch()
        self._restart = trio.Event()
        self._up = trio.Event()
        self._members = 0
        self._events = Events(options.json)
        self._started_s = env.monotonic_s()
        self._ready = False
        self._messages = message_settings(options)

    async def run(self, identity: Identity) -> None:
        """Serve until a signal comes. Further ones, while it stops, change nothing."""
        with trio.open_signal_receiver(*_SIGNALS) as signals:
            async with open_tasks() as nursery:
                nursery.start_soon(self._stop_after, partial(anext, signals), nursery.cancel_scope)
                if self._options.until_stdin_ends:
                    nursery.start_soon(self._stop_after, _stdin_ended, nursery.cancel_scope)
                await self._serve(identity, nursery)

    async def _serve(self, identity: Identity, nursery: trio.Nursery) -> None:
        """The API for good, and one core after another."""
        nursery.start_soon(self._events.run, self._env)
        token = self._env.token_bytes(_TOKEN_BYTES).hex()
        host, port = _host_and_port(self._options.api)
        serve = lambda task_status: serve_api(  # noqa: E731 - nursery.start takes no keywords
            cast(NodeService, self._switch),
            env=self._env,
            host=host,
            port=port,
            token=token,
            version=VERSION,
            agent_rate=self._messages.agent_rate,
            local=self._root.path / SOCKET_FILE,
            task_status=task_status,
        )
        bound = await nursery.start(serve)
        components = await nursery.start(
            run_components, self._disk, self._open_object, Endpoint(bound.url, token), self._env
        )
        while True:
            async with self._core(identity, bound.url, components) as core:
                if not self._ready:
                    await self._announce_ready(core, Endpoint(bound.url, token))
                await self._restart.wait()
            self._switch.current = None
            identity = await self._rejoined(identity)

    @asynccontextmanager
    async def _core(
        self, identity: Identity, api_url: str, components: RunningComponents
    ) -> AsyncGenerator[Core, None]:
        options = self._options
        settings = NodeSettings(
            name=checked_node_name(options.name or self._kept(NAME_SETTING) or host_name()),
            profile=options.profile,
            region=options.region,
            repair_after_s=options.repair_after_s,
            remove_delay_s=options.remove_delay_s,
            warm=profile_named(options.profile).warm,
            messages=self._messages,
            compression=options.compression,
        )
        self._restart = trio.Event()
        async with open_core(Parts(identity, settings, self._disk, self._network(identity)), self._env) as core:
            core.meeting.heartbeats.on_change(self._say_peer)
            core.keeping.tiers.on_change(self._say_tier)
            self._keep({NAME_SETTING: settings.name})
            self._members = len(core.membership.members())
            reporting = Reporting(core, self._env, api_url, self._started_s)
            components.watched_by(core.workers)
            self._switch.current = CoreService(core, reporting, self._rejoin, components.desk, self._env)
            self._up.set()
            async with _found_nearby(core, self._env):
                yield core

    async def _open_object(self, target: str) -> Download:
        return cast(Download, await self._switch.open(target, 0, None))

    def _network(self, identity: Identity) -> Callable[[Admission], AbstractAsyncContextManager[Network]]:
        seed = identity.node_key.reveal_seed()
        chosen = self._options.listen

        @asynccontextmanager
        async def opened(admission: Admission) -> AsyncGenerator[Network, None]:
            places = listen_addresses(chosen, self._kept(_LISTEN))
            config = MeshConfig(listen=places, announce=announced(self._options.announce, places))
            async with AsyncExitStack() as stack:
                try:
                    network = await stack.enter_async_context(open_libp2p(config, seed, admission, self._env))
                except Conflict:
                    if chosen:
                        raise
                    # The port of the last run is taken by somebody else now: any free one will do.
                    places = LOOPBACK
                    network = await stack.enter_async_context(open_libp2p(MeshConfig(), seed, admission, self._env))
                # Where it listens now it listens next time, so that others find it again.
                self._keep({_LISTEN: " ".join(as_listened(places, network.addresses()))})
                yield network

        return opened

    async def _announce_ready(self, core: Core, endpoint: Endpoint) -> None:
        await self._env.in_thread(self._root.write_api_file, endpoint)
        self._events.say(
            "ready", peer_id=core.identity.peer, listen=list(core.network.addresses()), api=endpoint.url,
            node_name=core.settings.name, mesh=str(core.identity.genesis.mesh),
        )  # fmt: skip
        if self._disk.database.mended:
            self._events.say("healed", file="inos.db-wal", places=self._disk.database.mended)
        self._ready = True

    def _say_peer(self, change: Change) -> None:
        """Not before `ready`, which is the first thing said."""
        if self._ready:
            self._events.say("peer", peer_id=change.peer, state=change.state.value)

    def _say_tier(self, report: TierReport) -> None:
        if self._ready:
            self._events.say(
                "tier", name=report.name, state=report.state, used_bytes=report.used_bytes,
                quota_bytes=report.quota_bytes,
            )  # fmt: skip

    async def _rejoin(self, joined: Joined) -> int:
        """Start again as a member of another mesh; the members known once it runs."""
        await self._env.in_thread(keep_joined, self._disk, joined)
        self._up = trio.Event()
        self._restart.set()
        with trio.move_on_after(_REJOIN_WAIT_S):
            await self._up.wait()
        return self._members

    async def _rejoined(self, identity: Identity) -> Identity:
        return await self._env.in_thread(
            load_identity, identity.keyring, identity.node_key, self._disk.settings, self._env
        )

    async def _stop_after(self, event: Callable[[], Awaitable[object]], scope: trio.CancelScope) -> None:
        await event()
        self._events.say("stopping")
        await self._events.drained()
        scope.cancel()

    def _kept(self, key: str) -> str:
        return (self._disk.settings.get(key) or b"").decode()

    def _keep(self, values: dict[str, str]) -> None:
        self._disk.settings.put({key: value.encode() for key, value in values.items()})


async def _stdin_ended() -> None:
    """Wait for the end of standard input, whatever comes before it."""
    while True:
        with suppress(PermissionError):  # a file, /dev/null: reading never waits
            await trio.lowlevel.wait_readable(_STDIN)
        if not os.read(_STDIN, select.PIPE_BUF):
            return


@asynccontextmanager
async def _found_nearby(core: Core, env: Env) -> AsyncGenerator[None, None]:
    """Find members on the same network, and be found, where this node listens to more than its own machine."""
    port = beyond_loopback(core.network.addresses())
    async with AsyncExitStack() as stack:
        if port is not None:
            from inos.mesh.mdns import announced as announced_nearby  # costs memory that most nodes need not spend

            identity = core.identity
            try:
                await stack.enter_async_context(
                    announced_nearby(identity.genesis.mesh, identity.peer, port, core.meeting.hint, env)
                )
            except OSError as error:
                log.warning("no multicast on this network, members are not found by it: %s", error)
        yield


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise BadInput(f"not an address to listen on: {text!r}", hint="write HOST:PORT, such as 127.0.0.1:0")
    return host.strip("[]") or "127.0.0.1", int(port)
