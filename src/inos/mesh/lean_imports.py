"""Loads libp2p without the parts that INOS never runs.

`import libp2p` costs 80 MB and 2 s, and fails where `fastecdsa` is kept out: its package file pulls in QUIC, TLS,
WebRTC, RSA, secp256k1, UPnP and an ACME client. INOS uses Noise over TCP and WebSocket with Ed25519 keys. Three
measures, all only for names listed here:

* the packages of UNRUN_PACKAGES are registered without running their `__init__`; their submodules import as ever;
* what is in LATE is imported when it is first used, which on most nodes is never (`inos.core.late_imports`);
* each module of STAND_INS is replaced by an empty one whose attributes are types that can be named in annotations,
  `isinstance` and `except`, and that raise AbsentDependency as soon as one is instantiated or called.

So a path believed unused fails loudly, with the name of what it wanted, and never half works. Nothing may import libp2p
before `prepare()`; it says so when something did.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any, Final, NoReturn

from inos.core.errors import Conflict
from inos.core.late_imports import put_off, put_off_classes, register

# The hardening was checked against this release only; another one needs its regression tests run first.
LIBP2P_VERSION: Final = "0.8.1"

UNRUN_PACKAGES: Final = ("libp2p", "libp2p.transport", "libp2p.security")

# Processor time of a start without each, measured together: 0.07 s of 1.4.
LATE: Final = (
    "libp2p.bitswap",  # wanted for its parser of CIDs, brings a client and a payment ledger
    "libp2p.kad_dht",  # its diagnostics
    "libp2p.relay",  # wanted for a test whether an address is private
    "libp2p.relay.circuit_v2",
    "libp2p.network",
    "cryptography.x509",  # for certificates of autotls
    "google.protobuf.internal.python_message",  # messages in Python, where the C library has them
    "psutil",  # what interfaces a wildcard address stands for; health checks
)

# Prefixes of module names. Only libp2p's own modules and what nothing else in a node imports: a stand-in is seen by
# the whole process.
STAND_INS: Final = (
    "libp2p.transport.quic",  # aioquic
    "libp2p.transport.webrtc",  # aiortc
    "libp2p.transport.webtransport",  # aioquic
    "libp2p.security.tls",
    "libp2p.security.pnet",  # pycryptodome
    "libp2p.crypto.rsa",  # pycryptodome
    "libp2p.crypto.secp256k1",  # coincurve
    "libp2p.crypto.ecc",  # fastecdsa
    "libp2p.discovery",  # zeroconf, miniupnpc: ours is mesh/mdns.py
    "libp2p.autotls",
    "libp2p.rcmgr.prometheus_exporter",  # prometheus_client, with an HTTP server: ours is api/metrics.py
)


class AbsentDependency(ImportError):
    """Something ran a part of libp2p that INOS does not load."""


class _AbsentType(type):
    """The type of stand-in attributes: fit to be named, not to be used."""

    def __call__(cls, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise AbsentDependency(f"{cls.__module__}.{cls.__name__} is not loaded (see inos.mesh.lean_imports)")

    def __getattr__(cls, name: str) -> Callable[..., NoReturn]:
        if name.startswith("__"):
            raise AttributeError(name)

        def absent(*_args: Any, **_kwargs: Any) -> NoReturn:
            raise AbsentDependency(f"{cls.__module__}.{cls.__name__}.{name} is not loaded (see inos.mesh.lean_imports)")

        return absent


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        # An Exception, because `except` takes nothing less.
        found = _AbsentType(name, (Exception,), {"__module__": self.__name__})
        setattr(self, name, found)
        return found


class _StandInFinder(MetaPathFinder, Loader):
    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if any(name == prefix or name.startswith(prefix + ".") for prefix in STAND_INS):
            return ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        module.__path__ = []


def prepare() -> None:
    """Make libp2p importable. Raises Conflict for another release or when it has been imported already. Repeatable."""
    try:
        found = version("libp2p")
    except PackageNotFoundError:
        raise Conflict("libp2p is not installed", hint="install the requirements of this release") from None
    if found != LIBP2P_VERSION:
        raise Conflict(
            f"libp2p {found} is installed; INOS is hardened against {LIBP2P_VERSION} only",
            hint=f"pip install libp2p=={LIBP2P_VERSION}",
        )
    if any(isinstance(finder, _StandInFinder) for finder in sys.meta_path):
        return
    if "libp2p" in sys.modules:
        raise Conflict("libp2p was imported before INOS could prepare it", hint="import inos.mesh.libp2p_host first")
    sys.meta_path.insert(0, _StandInFinder())
    for name in UNRUN_PACKAGES:
        _register_unrun(name)
    put_off((*LATE, _RESOLVERS))
    put_off_classes("prometheus_client", "Counter")  # the metrics of swarms, which ours does not keep
    sys.modules[_RESOLVERS].__dict__.setdefault("DNSResolver", LateResolver)
    _silence()


def _register_unrun(name: str) -> None:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.submodule_search_locations is None:
        raise Conflict(f"{name} is not a package", hint="reinstall libp2p")
    register(spec, ModuleType)


_RESOLVERS: Final = "multiaddr.resolvers"


class LateResolver:
    """Multiaddr's DNSResolver, which every host makes one of; dnspython behind it (0.1 s) is loaded by the first /dns
    address that is dialled."""

    async def resolve(self, maddr: Any, options: dict[str, Any] | None = None) -> list[Any]:
        """The addresses that `maddr` stands for, as multiaddr resolves them."""
        from dns import _features

        # DNS over QUIC would load aioquic and pyOpenSSL, 8 MB; DNS over HTTPS two HTTP clients. Neither is asked for.
        _features.force("doq", False)
        _features.force("doh", False)
        from multiaddr.resolvers.dns import DNSResolver

        found: list[Any] = await DNSResolver().resolve(maddr, options)
        return found


def _silence() -> None:
    """libp2p logs every hang-up of a peer as an error, and some of its loggers set levels of their own. What matters of
    it is reported by our modules."""
    logger = logging.getLogger("libp2p")
    logger.setLevel(logging.CRITICAL)
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
