"""Settings from a YAML file: read safely, bounded, and every complaint names the file, the line and the field.

A file is a mapping of known fields to plain values, lists of texts, and sections, which are such mappings themselves.
Only YAML's own plain types are made (the safe loader). What is not known is refused: a misspelt limit must not pass for
none.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from inos.core.errors import BadInput, NotFound

if TYPE_CHECKING:
    import yaml

T = TypeVar("T")

MAX_FILE_BYTES: Final = 64 << 10
_MAX_LIST: Final = 64
_MAX_TEXT: Final = 4096


class Section:
    """The fields of a mapping. Ask for each with its bounds, then `finish`. Raises BadInput."""

    def __init__(self, where: Path, name: str, line: int, fields: dict[str, tuple[int, Any]]) -> None:
        self.where = where
        self._name = name
        self._line = line
        self._fields = fields
        self._asked: set[str] = set()

    def text(self, name: str, default: str = "", most: int = _MAX_TEXT) -> str:
        """A text of at most `most` characters."""
        line, value = self._value(name)
        if value is None:
            return default
        if not isinstance(value, str) or len(value) > most or "\0" in value:
            raise self.wrong(name, f"must be text of at most {most} characters", line)
        return value

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        """One of some words."""
        line, value = self._value(name)
        if value is None:
            return default
        if value not in choices:
            raise self.wrong(name, f"must be one of {', '.join(choices)}, not {str(value)[:80]!r}", line)
        return str(value)

    def flag(self, name: str, default: bool) -> bool:
        """true or false."""
        line, value = self._value(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.wrong(name, f"must be true or false, not {str(value)[:80]!r}", line)
        return value

    def whole(self, name: str, default: T, least: int, most: int) -> int | T:
        """A whole number within bounds."""
        line, value = self._value(name)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.wrong(name, f"must be a whole number from {least} to {most}, not {str(value)[:80]!r}", line)
        return value

    def number(self, name: str, default: float, least: float, most: float) -> float:
        """A number within bounds."""
        line, value = self._value(name)
        if value is None:
            return default
        if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
            raise self.wrong(name, f"must be a number from {least} to {most}, not {str(value)[:80]!r}", line)
        return float(value)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts."""
        line, value = self._value(name)
        if value is None:
            return ()
        if not isinstance(value, list) or len(value) > _MAX_LIST or not all(isinstance(each, str) for each in value):
            raise self.wrong(name, f"must be a list of at most {_MAX_LIST} texts", line)
        return tuple(value)

    def section(self, name: str) -> Section:
        """A mapping within this one; one without fields where there is none."""
        line, value = self._value(name)
        if value is None:
            return Section(self.where, name, line, {})
        if not isinstance(value, Section):
            raise self.wrong(name, "must be a section: names, each with a value, further in", line)
        return value

    def finish(self) -> None:
        """Refuse what nobody asked for."""
        for name, (line, _) in self._fields.items():
            if name not in self._asked:
                hint = f"known here: {', '.join(sorted(self._asked))}"
                raise self.wrong(name, "is not a setting", line, hint)

    def wrong(self, name: str, why: str, line: int = 0, hint: str = "") -> BadInput:
        """The error for a field."""
        field = f"{self._name}.{name}" if self._name else name
        at = line or self._fields.get(name, (self._line, None))[0]
        return BadInput(f"{self.where}:{at}: {field[:120]} {why}", hint=hint or "correct the file and start again")

    def _value(self, name: str) -> tuple[int, Any]:
        self._asked.add(name)
        return self._fields.get(name, (self._line, None))


def read_yaml(path: Path) -> Section:
    """The settings of a file. Raises NotFound where there is none, BadInput for what is no YAML or no mapping."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise NotFound(f"there is no {path}", hint="name a file that is there, or none") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}", hint="check its permissions") from None
    return parse_yaml(path, data)


def parse_yaml(path: Path, data: bytes) -> Section:
    """As `read_yaml`, of its bytes."""
    import yaml  # half of what a command takes to start, and most programs have no such file

    if len(data) > MAX_FILE_BYTES:
        raise BadInput(f"{path} has over {MAX_FILE_BYTES} bytes", hint="settings are short; is it the right file?")
    try:
        loader = yaml.SafeLoader(data.decode())
        try:
            node = loader.get_single_node()
            return _section(path, "", node, loader) if node is not None else Section(path, "", 1, {})
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _no_yaml(path, mark.line + 1 if mark else 1, error.problem or "") from None
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        raise _no_yaml(path, 1, str(error).partition("\n")[0][:120]) from None


def _no_yaml(path: Path, line: int, why: str) -> BadInput:
    return BadInput(
        f"{path}:{line}: this is no YAML: {why[:200]}", hint="indent with spaces, a space behind each colon"
    )


def _section(path: Path, name: str, node: yaml.Node, loader: yaml.SafeLoader) -> Section:
    line = node.start_mark.line + 1
    if not _is(node, "mapping"):
        raise BadInput(f"{path}:{line}: settings are names, each with a value", hint="like  role: recruiter")
    fields: dict[str, tuple[int, Any]] = {}
    for key, value in node.value:
        at = key.start_mark.line + 1
        if not _is(key, "scalar") or key.value in fields:
            raise BadInput(f"{path}:{at}: {str(key.value)[:80]!r} is no name, or there twice", hint="name each once")
        nested = _is(value, "mapping")
        if nested and name:
            raise BadInput(f"{path}:{at}: sections do not go deeper", hint="move it out")
        made = _section(path, key.value, value, loader) if nested else _plain(path, at, value, loader)
        fields[key.value] = (at, made)
    return Section(path, name, line, fields)


def _plain(path: Path, line: int, node: yaml.Node, loader: yaml.SafeLoader) -> Any:
    parts = node.value if _is(node, "sequence") else [node]
    if not all(_is(part, "scalar") for part in parts):
        raise BadInput(f"{path}:{line}: a list holds texts and numbers only", hint="write it on fewer levels")
    values = [loader.construct_object(part) for part in parts]
    return values if _is(node, "sequence") else values[0]


def _is(node: yaml.Node, kind: str) -> bool:
    return getattr(node, "id", "") == kind
