"""The rules a machine can hold, as plain functions from source text to complaints; test_tidy.py runs them over src/.

A door is the one place where a thing may be reached. Add a file to a door only together with the reason beside it.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch

FILE_LINES = 500
FUNCTION_LINES = 70
# A public function this long is not obvious any more.
DOCSTRING_FROM_LINES = 12

# Dotted name or prefix -> files (relative to src/inos) that may use it. Simulation and test suites supply an Env.
USE_DOORS: Mapping[str, tuple[str, ...]] = {
    "time": ("core/env.py", "components/guard.py"),  # the guard is a process of its own, without ours
    "random": ("core/env.py", "sim/*", "testing/*"),
    "secrets": ("core/env.py",),
    "os.urandom": (),
    "os.getrandom": (),
    "os.getloadavg": ("core/env.py",),
    "os.cpu_count": ("core/env.py", "cli/sim.py"),  # how many runs side by side, outside any node
    "os.sysconf": ("core/env.py",),
    "uuid": (),
    "datetime.datetime.now": (),
    "datetime.datetime.utcnow": (),
    "datetime.datetime.today": (),
    "datetime.date.today": (),
    "threading.Thread": ("core/env.py",),
    "threading.Timer": (),
    "_thread": (),
    "concurrent.futures": (),
    "multiprocessing": (),
    "asyncio": (),
    "trio.to_thread": ("core/env.py",),
    "trio.from_thread": ("core/env.py",),
    # A client, and an agent with its cache, run in any program's event loop, outside a node and its Env.
    "anyio.to_thread": ("client/local.py", "messages/program_env.py"),
    # The synchronous client drives the asynchronous one from a portal; a blocking agent its sender.
    "anyio.from_thread": ("client/*", "messages/agent.py"),
    # Demo and cluster start nodes as a user would; components run as processes.
    "subprocess": ("cli/*", "components/guard.py", "components/process.py", "messages/hook.py"),
    "trio.lowlevel.open_process": ("components/process.py", "messages/hook.py"),
    "os.kill": ("core/endpoint.py", "cli/*", "components/guard.py"),  # the endpoint only asks whether one is there
    "os.killpg": ("cli/*", "components/guard.py", "messages/hook.py"),  # each ends what it started itself
    "trio.run_process": ("cli/*",),
    "pickle": (),
    "marshal": (),
    "eval": (),
    "exec": (),
    "print": ("cli/*",),
    "capnp": ("core/codec.py",),
    # The host; its mending; the connections, streams and multiplexer of ours that it runs with.
    "libp2p": (
        "mesh/libp2p_host.py",
        "mesh/hardening.py",
        "mesh/swarm.py",
        "mesh/streams.py",
        "mesh/yamux.py",
    ),
    "multiaddr": ("mesh/*",),
    "zeroconf": ("mesh/mdns.py",),
    # Transactions; connections; a file that stands still; reading a damaged one; the operating system that SQLite sees
    # in a simulation.
    "apsw": ("store/database.py", "store/connection.py", "store/standing.py", "store/salvage.py", "sim/disk_vfs.py"),
    "sqlite3": (),
    "wasmtime": ("components/wasm_host.py",),
    "cryptography": ("crypto/*",),
    "blake3": ("crypto/*",),
    "mnemonic": ("crypto/*",),
    "hashlib": ("crypto/*",),
    "hmac.new": ("crypto/*",),
    "hmac.digest": ("crypto/*",),
    "pyeclib": ("objects/*",),
    "lz4": ("objects/*",),
    "zstandard": ("objects/chunks.py",),
    "msgspec": ("core/messages/quick.py",),
    "fastapi": ("api/*",),
    "starlette": ("api/*", "cli/mcp_http.py"),  # its names for what a server is
    "hypercorn": ("api/*",),
    "pydantic": ("api/*", "cli/mcp_tools.py"),  # what describes the arguments of a tool
    "mcp": ("cli/mcp_tools.py", "cli/mcp_http.py"),
    "uvicorn": ("cli/mcp_http.py",),
    "fsspec": ("backup/remote.py",),
    "h11": ("client/http.py",),
    "httpx": (),
    "python_multipart": ("api/multipart.py",),
    "psycopg": ("messages/postgres_connections.py",),
    "yaml": ("messages/yaml_file.py",),  # the safe loader alone, with line numbers
    "typer": ("cli/*",),
    "rich": ("cli/*",),
}
# Types that may be named in an annotation anywhere; calling them is still a use.
TYPE_NAMES = frozenset({"random.Random"})

# Files that may catch every exception, and why. Each must say what becomes of it.
BROAD_EXCEPT: Mapping[str, str] = {
    "core/worker.py": "a step that raises is recorded and retried, never lost",
    "core/crew.py": "a task that outlived its caller has nobody to raise to: counted and logged in full",
    "api/server.py": "one connection's trouble is logged in full and ends that connection, not the node",
    "mesh/methods.py": "a handler's bug is logged in full and told to the peer as `internal`",
    "mesh/hardening.py": "what leaves a stream handler of libp2p would end the node; it ends the stream, and is kept",
    "mesh/swarm.py": "a transport may raise anything while dialling; the reason is kept and the next address tried",
}


@dataclass(frozen=True, slots=True)
class Complaint:
    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"src/inos/{self.path}:{self.line}: {self.text}"


@dataclass(frozen=True, slots=True)
class Source:
    """One parsed module; `path` is relative to src/inos."""

    path: str
    text: str
    tree: ast.Module

    @classmethod
    def parse(cls, path: str, text: str) -> Source:
        return cls(path, text, ast.parse(text, path))


def doors(source: Source) -> Iterator[Complaint]:
    """Everything reached outside its door: at its import where that is already too much, else at each use."""
    imported = _imported_names(source.tree)
    called = {id(node.func) for node in ast.walk(source.tree) if isinstance(node, ast.Call)}
    shut: set[str] = set()
    complained: set[tuple[int, str]] = set()
    for node in sorted(_reaching(source.tree), key=lambda node: not isinstance(node, ast.Import | ast.ImportFrom)):
        for name in _names_reached(node, imported):
            door = _door_of(name)
            is_type = name in TYPE_NAMES and id(node) not in called
            if door is None or is_type or any(fnmatch(source.path, file) for file in USE_DOORS[door]):
                continue
            use = not isinstance(node, ast.Import | ast.ImportFrom)
            if (node.lineno, door) in complained or (use and door in shut):
                continue
            shut |= set() if use else {door}
            complained.add((node.lineno, door))
            allowed = ", ".join(USE_DOORS[door]) or "nowhere"
            yield Complaint(source.path, node.lineno, f"{name} is for {allowed} only")


def _reaching(tree: ast.Module) -> list[ast.Import | ast.ImportFrom | ast.Attribute | ast.Name]:
    kinds = ast.Import | ast.ImportFrom | ast.Attribute | ast.Name
    return [node for node in ast.walk(tree) if isinstance(node, kinds)]


def _imported_names(tree: ast.Module) -> dict[str, str]:
    names: dict[str, str] = {name: name for name in ("print", "eval", "exec")}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def _names_reached(node: ast.AST, imported: Mapping[str, str]) -> Iterator[str]:
    # `import random` alone reaches nothing: what is used of it decides. A third party is reached by its import already.
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name.split(".")[0] not in ("random", "os", "datetime"))
    elif isinstance(node, ast.ImportFrom) and node.level == 0:
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Attribute | ast.Name) and (name := _dotted(node, imported)):
        yield name


def _dotted(node: ast.AST, imported: Mapping[str, str]) -> str | None:
    if isinstance(node, ast.Name):
        name = imported.get(node.id)
        # A bare module name is half of an attribute, which is looked at on its own.
        return name if name and ("." in name or name in ("print", "eval", "exec")) else None
    if isinstance(node, ast.Attribute):
        base = imported.get(node.value.id) if isinstance(node.value, ast.Name) else _dotted(node.value, imported)
        return f"{base}.{node.attr}" if base else None
    return None


def _door_of(name: str) -> str | None:
    parts = name.split(".")
    return next((door for i in range(len(parts), 0, -1) if (door := ".".join(parts[:i])) in USE_DOORS), None)


def third_parties(source: Source) -> set[str]:
    """Top-level names of other people's packages that the module imports when it runs."""
    for_types = {id(child) for node in ast.walk(source.tree) if _is_for_types(node) for child in ast.walk(node)}
    names: set[str] = set()
    for node in ast.walk(source.tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"inos"}


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def sizes(source: Source) -> Iterator[Complaint]:
    """Files and functions over their limits."""
    lines = source.text.count("\n")
    if lines > FILE_LINES:
        yield Complaint(source.path, 1, f"{lines} lines; split it before {FILE_LINES}")
    for function in functions(source.tree):
        if (length := function_lines(function)) > FUNCTION_LINES:
            yield Complaint(source.path, function.lineno, f"{function.name} has {length} lines, over {FUNCTION_LINES}")


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def function_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the statements, the docstring left out: explaining is not complexity."""
    body = function.body[1:] if ast.get_docstring(function) and len(function.body) > 1 else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1


def docstrings(source: Source) -> Iterator[Complaint]:
    """Modules that do not say what they own, long public functions that do not say what they promise."""
    if len(ast.get_docstring(source.tree) or "") < 15:
        yield Complaint(source.path, 1, "the module does not say what it owns and its rules")
    for node in source.tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            decorated = bool(node.decorator_list) and source.path.startswith(("cli/", "api/"))
            if function_lines(node) > DOCSTRING_FROM_LINES and not ast.get_docstring(node) and not decorated:
                yield Complaint(source.path, node.lineno, f"{node.name} is public, long, and has no docstring")


def broad_excepts(source: Source) -> Iterator[Complaint]:
    """`except Exception` and broader, outside BROAD_EXCEPT. Catching to re-raise at once hides nothing and is free."""
    if source.path in BROAD_EXCEPT:
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ExceptHandler) and _is_broad(node.type) and not _reraises(node):
            yield Complaint(source.path, node.lineno, "catches everything; name what can happen (see BROAD_EXCEPT)")


def _is_broad(caught: ast.expr | None) -> bool:
    if isinstance(caught, ast.Tuple):
        return any(_is_broad(each) for each in caught.elts)
    return caught is None or (isinstance(caught, ast.Name) and caught.id in ("Exception", "BaseException"))


def _reraises(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


# Written in two halves, so that this file does not complain about itself.
_UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
_SKIPPED = re.compile(
    r"\b(pytest\.(sk" r"ip|xf" r"ail|imp" r"ortorskip)\b|mark\.(sk" r"ip|xf" r"ail)|unittest\.sk" r"ip)"
)
_FOREIGN = re.compile(r"(?<!\w)/wo" r"rk/|py" r"pi\.org|python" r"hosted\.org|registry\.npm" r"js|crates\.i" r"o\b")


def star_raises(source: Source) -> Iterator[Complaint]:
    """What is raised in an `except*` comes out as it is from some Pythons, in a new group from others (3.11.2)."""
    for tried in ast.walk(source.tree):
        if isinstance(tried, ast.TryStar):
            for handler in tried.handlers:
                for node in ast.walk(handler):
                    if isinstance(node, ast.Raise):
                        yield Complaint(source.path, node.lineno, "raises in `except*`: unwrap with core/crew.py")


def unfinished(path: str, text: str) -> Iterator[str]:
    """Marks of work left over."""
    return _matching_lines(_UNFINISHED, path, text, "left over")


def skipped(path: str, text: str) -> Iterator[str]:
    """Tests that do not run."""
    return _matching_lines(_SKIPPED, path, text, "a test that does not run proves nothing")


def foreign(path: str, text: str) -> Iterator[str]:
    """Names of places that belong to no user's machine."""
    return _matching_lines(_FOREIGN, path, text, "names a place that is not part of the project")


def _matching_lines(pattern: re.Pattern[str], path: str, text: str, why: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), 1):
        if found := pattern.search(line):
            yield f"{path}:{number}: {found.group()}: {why}"
