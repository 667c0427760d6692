"""Manifests: `component.toml` at the top of a package says what a component is and how it is run.

Everything is checked here, once, with a message that names the field; what else there is in the file is refused, so
that a misspelt field is no silent default.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

from inos.core.component_keys import COMPONENT_ID, COMPONENT_ID_HINT
from inos.core.components import MANIFEST_NAME, PERMISSIONS
from inos.core.errors import BadInput

# With arguments and environment at their limits.
MAX_MANIFEST_BYTES: Final = 16 << 10
MAX_ARGUMENTS: Final = 64
MAX_VARIABLES: Final = 64
MAX_VALUE: Final = 1024
MAX_HEARTBEAT_S: Final = 3600.0
# A node that is stopped waits no longer for a component either.
MAX_STOP_S: Final = 30.0
# A folder of its own beside `log` and `lock`: begins with a digit.
VERSION: Final = re.compile(r"[0-9][0-9A-Za-z._+-]{0,63}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_MODULE: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_SUFFIXES: Final = {"python": ".py", "wasm": ".wasm", "static": ".html"}
KINDS: Final = tuple(_SUFFIXES)
POLICIES: Final = ("on-crash", "always", "never")


@dataclass(frozen=True, slots=True)
class Restart:
    """When a component that ended is started again, and when no more: after `crashes` within `within_s`."""

    policy: str = "on-crash"
    crashes: int = 5
    within_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What a WASM module may use: memory, and processor time of one run, 0 for no end."""

    memory_mib: int = 256
    cpu_s: int = 0


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a component is and how it is run. `heartbeat_s` 0: that its process is there is all that is watched."""

    id: str
    name: str
    version: str
    kind: str
    entry: str
    description: str = ""
    author: str = ""
    license: str = ""
    application: str = ""
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    permissions: tuple[str, ...] = ()
    heartbeat_s: float = 0.0
    stop_s: float = 5.0
    restart: Restart = Restart()
    limits: Limits = Limits()

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it; `from_dict` takes it back."""
        return asdict(self) | {"arguments": list(self.arguments), "permissions": list(self.permissions)}

    @classmethod
    def from_dict(cls, values: Any) -> Manifest:
        """Check everything. Raises BadInput."""
        return cls(**_checked(values, _FIELDS, _NEEDED, ""))._consistent()

    @classmethod
    def from_row(cls, values: Any) -> Manifest:
        """As `from_dict`, of one that was checked when it was installed: fields of another release are left out."""
        known = {name: value for name, value in dict(values).items() if name in _FIELDS}
        for name, kind in (("restart", Restart), ("limits", Limits)):
            names = {each.name for each in fields(kind)}
            known[name] = {each: value for each, value in dict(known.get(name, {})).items() if each in names}
        return cls.from_dict(known)

    def _consistent(self) -> Manifest:
        if not is_module(self.entry) and not self.entry.endswith(_SUFFIXES[self.kind]):
            raise _bad("entry", f"must end with {_SUFFIXES[self.kind]} for the kind {self.kind}")
        if is_module(self.entry) and self.kind != "python":
            raise _bad("entry", "names a Python function, and the kind is not python")
        if self.kind == "static" and (self.permissions or self.arguments or self.environment or self.heartbeat_s):
            raise _bad("kind", "is static: no process runs that takes arguments, environment, permissions or heartbeat")
        if self.kind == "wasm" and (self.permissions or self.heartbeat_s):
            raise _bad("kind", "is wasm: a module reaches its data folder alone and gives no heartbeat")
        return self


def is_module(entry: str) -> bool:
    """Whether an entry names a function of a module, `package.module:function`, not a file."""
    return bool(_MODULE.fullmatch(entry))


def parse_manifest(data: bytes) -> Manifest:
    """The manifest that the bytes of a file are. Raises BadInput."""
    if len(data) > MAX_MANIFEST_BYTES:
        raise BadInput(f"{MANIFEST_NAME} may have {MAX_MANIFEST_BYTES} bytes", hint="describe, do not embed")
    try:
        values = tomllib.loads(data.decode())
    except UnicodeDecodeError:
        raise BadInput(f"{MANIFEST_NAME} is not UTF-8 text") from None
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        text = str(error).encode("ascii", "backslashreplace").decode()[:200]
        raise BadInput(
            f"{MANIFEST_NAME} is not TOML: {text}", hint="strings stand in quotes; see docs/components.md"
        ) from None
    return Manifest.from_dict(values)


def _bad(name: str, wrong: str) -> BadInput:
    return BadInput(f"{MANIFEST_NAME}: {name} {wrong}", hint="docs/components.md lists all fields")


Check = Callable[[str, Any], Any]


def _checked(values: Any, checks: Mapping[str, Check], needed: tuple[str, ...], within: str) -> dict[str, Any]:
    if not isinstance(values, Mapping):
        raise _bad(within.rstrip(".") or "it", "must be a table")
    for name in values:
        if name not in checks:
            shown = str(name)[:40].encode("ascii", "backslashreplace").decode()
            raise _bad(within + shown, f"is no field; there are: {', '.join(checks)}")
    for name in needed:
        if name not in values:
            raise _bad(within + name, "is missing")
    return {name: checks[name](within + name, value) for name, value in values.items()}


def _text(least: int, most: int, pattern: re.Pattern[str] | None = None, what: str = "") -> Check:
    def check(name: str, value: Any) -> str:
        if not isinstance(value, str) or not least <= len(value) <= most:
            raise _bad(name, f"must be text of {least} to {most} characters")
        if any(ord(each) < 32 or 0xD800 <= ord(each) < 0xE000 or ord(each) == 127 for each in value):
            raise _bad(name, "holds a control character")
        if pattern is not None and not pattern.fullmatch(value):
            raise _bad(name, f"must be {what}")
        return value

    return check


def _choice(*choices: str) -> Check:
    def check(name: str, value: Any) -> str:
        if value not in choices or not isinstance(value, str):
            raise _bad(name, f"must be one of {', '.join(choices)}")
        return value

    return check


def _number(least: float, most: float, *, or_zero: bool = False) -> Check:
    def check(name: str, value: Any) -> float:
        fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not fits or not (least <= value <= most or (or_zero and value == 0)):
            raise _bad(name, f"must be a number of {least:g} to {most:g}{', or 0' if or_zero else ''}")
        return float(value)

    return check


def _whole(least: int, most: int) -> Check:
    def check(name: str, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise _bad(name, f"must be a whole number of {least} to {most}")
        return value

    return check


def _list(each: Check, most: int) -> Check:
    def check(name: str, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple) or len(value) > most:
            raise _bad(name, f"must be a list of at most {most}")
        return tuple(each(f"{name}[{at}]", item) for at, item in enumerate(value))

    return check


def _variables(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or len(value) > MAX_VARIABLES:
        raise _bad(name, f"must be a table of at most {MAX_VARIABLES} variables")
    text = _text(0, MAX_VALUE)
    for key in value:
        if not isinstance(key, str) or not _VARIABLE.fullmatch(key) or key.startswith("INOS_"):
            raise _bad(name, "holds what is no name of a variable, or one of ours (INOS_…)")
    return {key: text(f"{name}.{key}", item) for key, item in value.items()}


def _path(name: str, value: Any) -> str:
    text: str = _text(1, 255)(name, value)
    if any(part in ("", ".", "..") for part in text.split("/")) or "\\" in text:
        raise _bad(name, "must be a path within the package, such as 'app/main.py'")
    return text


def _table(kind: Callable[..., Any], checks: Mapping[str, Check]) -> Check:
    return lambda name, value: kind(**_checked(value, checks, (), f"{name}."))


_NEEDED: Final = ("id", "name", "version", "kind", "entry")
_ID: Final = _text(1, 128, COMPONENT_ID, COMPONENT_ID_HINT)
_FIELDS: Final[Mapping[str, Check]] = {
    "id": _ID,
    "name": _text(1, 200),
    "version": _text(1, 64, VERSION, "a version that begins with a digit, such as '1.0.2'"),
    "kind": _choice(*KINDS),
    "entry": _path,
    "description": _text(0, 2000),
    "author": _text(0, 200),
    "license": _text(0, 200),
    "application": lambda name, value: value if value == "" else _ID(name, value),
    "arguments": _list(_text(0, MAX_VALUE), MAX_ARGUMENTS),
    "environment": _variables,
    "permissions": _list(_choice(*PERMISSIONS), len(PERMISSIONS)),
    "heartbeat_s": _number(0.1, MAX_HEARTBEAT_S, or_zero=True),
    "stop_s": _number(0, MAX_STOP_S),
    "restart": _table(
        Restart,
        {"policy": _choice(*POLICIES), "crashes": _whole(1, 100), "within_s": _number(1, 86_400)},
    ),
    "limits": _table(Limits, {"memory_mib": _whole(1, 4096), "cpu_s": _whole(0, 86_400)}),
}
