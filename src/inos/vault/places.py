"""Where a name may stand: as on a disk, what has names below it is a folder, and a file or a link has none.

Rules: pure. It holds for what is written from now on, as far as this node knows: older releases let a name be both, and
so may two sides of a cut. What is both stays readable and can be removed, the file or link first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from inos.core.errors import BadInput, Conflict
from inos.vault.catalogue import Entry, Kind


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known: `kinds` of those names there are, and which names are `full`, that is, have names below them."""

    kinds: Mapping[str, str]
    full: Collection[str]


def folders_above(name: str) -> Iterator[str]:
    """The names of the folders that `name` lies in, from the top."""
    at = name.find("/", 1)
    while at > 0:
        yield name[:at]
        at = name.find("/", at + 1)


def check_apart(names: Sequence[str]) -> None:
    """Raises BadInput unless these files can be put at once: two of one name, or one below another."""
    counted = Counter(names)
    twice = next((name for name, times in counted.items() if times > 1), None)
    if twice is not None:
        raise BadInput(
            f"{counted[twice]} files of one request have the name {twice[:200]!r}",
            hint="names are compared in the Unicode form NFC; give one of them another name",
        )
    for name in names:
        for folder in folders_above(name):
            if folder in counted:
                raise BadInput(f"{name[:200]!r} lies below {folder[:200]!r}, a file of the same request")


def check_places(entries: Sequence[Entry], standing: Standing) -> None:
    """Raises Conflict when one of these names cannot stand beside those there are."""
    for entry in entries:
        for folder in folders_above(entry.name):
            _check_folder(folder, standing, f"{entry.name} cannot be below it")
        if entry.kind is Kind.FOLDER:
            _check_folder(entry.name, standing, "not a folder")
        elif entry.name in standing.full:
            raise Conflict(
                f"{entry.name} is a folder, with names below it: a {entry.kind.value} cannot take its name",
                hint=f"give another name, as {entry.name}/NAME; or remove the folder first: inos rm {entry.name}",
            )


def _check_folder(name: str, standing: Standing, why: str) -> None:
    kind = standing.kinds.get(name, Kind.FOLDER.value)
    if kind != Kind.FOLDER.value:
        raise Conflict(
            f"{name} is a {kind}: {why}", hint=f"give another name; or remove the {kind} first: inos rm {name}"
        )


def meant_to_go(name: str, tree: Sequence[Entry]) -> Sequence[Entry]:
    """Of a name and all below it, what goes when the name is removed: of one that is a file or a link as well as a
    folder only the former, for that is what came last."""
    return [one for one in tree if one.name == name and one.kind is not Kind.FOLDER] or tree
