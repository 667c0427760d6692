"""Reports: through JSON and back unchanged; a newer node's fields ignored, anything else refused."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inos.core import reports
from inos.core.errors import BadFrame
from inos.core.messages.calls import MessagesReport
from inos.core.reports import CataloguePage, StatusReport, from_dict, to_dict

KINDS = [
    kind
    for kind in vars(reports).values()
    if dataclasses.is_dataclass(kind) and kind not in (reports.BatchItem, reports.PutOptions)
]
numbers = st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def built(kind: Any) -> st.SearchStrategy[Any]:
    """Any report of `kind`."""
    return st.from_type(kind)


st.register_type_strategy(float, numbers)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
@settings(max_examples=15)
def test_through_json_and_back(kind: Any, data: st.DataObject) -> None:
    report = data.draw(built(kind))
    assert from_dict(kind, json.loads(json.dumps(to_dict(report)))) == report


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(value=values)
@settings(max_examples=20)
def test_garbage_is_refused_or_a_report(kind: Any, value: Any) -> None:
    try:
        report = from_dict(kind, value)
    except BadFrame:
        return
    assert isinstance(report, kind)


def test_fields_of_a_newer_node_are_ignored() -> None:
    page = from_dict(CataloguePage, {"items": [], "next": "", "colour": "blue"})
    assert page == CataloguePage(())


def test_a_missing_field_is_named() -> None:
    with pytest.raises(BadFrame, match="peer"):
        from_dict(StatusReport, {"node_name": "a"})


def test_a_reference_prints_as_itself() -> None:
    report = reports.PutReport("inos:x#y", "x", "/a", 1, 2, "quorum", 3, 2, 5, 0.1)
    assert str(report) == "inos:x#y"


def test_a_word_that_is_none_of_the_possible_ones_is_refused() -> None:
    shown = to_dict(MessagesReport("hub", "id", "peer", True))
    assert from_dict(MessagesReport, json.loads(json.dumps(shown))) == MessagesReport("hub", "id", "peer", True)
    with pytest.raises(BadFrame, match="unexpected 'boss'"):
        from_dict(MessagesReport, shown | {"role": "boss"})
