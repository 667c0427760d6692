"""The error tree: codes that stay, classes that survive the wire."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from inos.core import errors
from inos.core.errors import Busy, InosError, from_wire

# Programs match on these: a code may be added, never renamed, and keeps its status.
STABLE = {
    "internal": (500, False),
    "bad_input": (400, False),
    "bad_reference": (400, False),
    "bad_ticket": (400, False),
    "bad_frame": (400, False),
    "refused": (403, False),
    "unauthorised": (401, False),
    "wrong_passphrase": (403, False),
    "not_a_member": (403, False),
    "not_found": (404, False),
    "no_node": (404, False),
    "conflict": (409, False),
    "locked": (409, False),
    "too_large": (413, False),
    "busy": (429, True),
    "corrupt": (500, False),
    "newer_format": (500, False),
    "unavailable": (503, True),
    "peer_unavailable": (503, True),
    "not_enough_nodes": (503, True),
    "storage_full": (507, True),
}


def tree(root: type[InosError] = InosError) -> Iterator[type[InosError]]:
    yield root
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from tree(child)


def test_codes_are_unique_and_every_class_has_its_own() -> None:
    codes = [kind.code for kind in tree()]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("code", STABLE)
def test_code_keeps_its_meaning(code: str) -> None:
    kinds = {kind.code: kind for kind in tree()}
    assert (kinds[code].http_status, kinds[code].retryable) == STABLE[code]


@pytest.mark.parametrize("kind", list(tree()), ids=lambda kind: kind.__name__)
def test_error_survives_the_wire(kind: type[InosError]) -> None:
    sent = kind("what was wrong", hint="what to do")
    came = from_wire(sent.code, sent.message, sent.hint)
    assert type(came) is kind
    assert (came.message, came.hint, str(came)) == ("what was wrong", "what to do", "what was wrong")


def test_unknown_code_becomes_the_base() -> None:
    assert type(from_wire("invented_later", "message")) is InosError


def test_every_class_is_in_the_printed_tree() -> None:
    printed = errors.__doc__ or ""
    missing = [kind.__name__ for kind in tree() if kind.__name__ not in printed]
    assert not missing, f"not in the tree of the module's docstring: {missing}"


def test_an_error_that_is_told_again_says_all_it_said() -> None:
    first = Busy("too many", hint="later", retry_after_s=7.5)
    with pytest.raises(Busy):
        raise first
    again = first.again()
    assert (type(again), str(again), again.hint, again.retry_after_s) == (Busy, "too many", "later", 7.5)
    assert again is not first and again.__traceback__ is None and first.__traceback__ is not None
