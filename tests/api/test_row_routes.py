"""The rows of the database over HTTP: every kind in and out, pages, and what is wrong with a call."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from inos.core.rows import KINDS
from inos.core.rows.row import Row
from inos.testing.memory_service import MemoryService
from inos.testing.row_samples import sample
from inos.testing.rows import Filled

WRITABLE = [kind for kind in KINDS.values() if kind.WRITABLE]


def fill(service: MemoryService, kind: type[Row], count: int) -> list[Any]:
    return Filled(service.database).add(kind, *range(count))


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.KIND)
def test_every_kind_is_listed_page_by_page_and_shown(ask: Any, service: MemoryService, kind: type[Row]) -> None:
    rows = fill(service, kind, 7)
    found: list[Any] = []
    after = ""
    while True:
        page = ask("GET", f"/v1/db/{kind.KIND}?limit=3&after={after}").json
        found += page["rows"]
        after = page["next"]
        if not after:
            break
    assert found == [row.to_dict() for row in sorted(rows, key=lambda row: row.key)] or kind.ORDERS[0].name == "time"
    assert len(found) == 7
    one = rows[2]
    assert ask("GET", f"/v1/db/{kind.KIND}/{quote(one.key_text, safe='')}").json == one.to_dict()


@pytest.mark.parametrize("kind", WRITABLE, ids=lambda kind: kind.KIND)
def test_what_may_be_put_is_put_and_removed(ask: Any, service: MemoryService, kind: type[Row]) -> None:
    if kind.KIND == "applications":
        fill(service, KINDS["components"], 3)
    row = sample(kind, 2)
    path = f"/v1/db/{kind.KIND}/{quote(row.key_text, safe='')}"
    assert ask("PUT", path, row.to_dict()).json == row.to_dict()
    assert ask("PUT", path, row.to_dict()).status == 200
    assert ask("DELETE", path).json == {"removed": row.key_text}
    assert (ask("DELETE", path).status, ask("GET", path).status) == (404, 404)


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if not kind.WRITABLE], ids=lambda kind: kind.KIND)
def test_what_only_the_node_writes(ask: Any, service: MemoryService, kind: type[Row]) -> None:
    [row] = fill(service, kind, 1)
    path = f"/v1/db/{kind.KIND}/{row.key_text}"
    assert ask("PUT", path, row.to_dict()).code == "refused"
    assert ask("DELETE", path).status == (200 if kind.REMOVABLE else 403)


def test_rows_are_found_by_what_an_index_has(ask: Any, service: MemoryService) -> None:
    fill(service, KINDS["transactions"], 12)
    page = ask("GET", "/v1/db/transactions?where=status&equals=confirmed&descending=true").json
    assert [row["status"] for row in page["rows"]] == ["confirmed"] * 4
    times = [row["created_at_s"] for row in page["rows"]]
    assert times == sorted(times, reverse=True) and page["next"] == ""


def test_a_time_that_is_not_given_is_now(ask: Any) -> None:
    row = ask("PUT", "/v1/db/preferences/theme", {"value": {"dark": True}}).json
    assert row["value"] == {"dark": True} and row["updated_at_s"] > 1_700_000_000


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("GET", "/v1/db/nonsense", None, "not_found"),
        ("GET", "/v1/db/preferences/absent", None, "not_found"),
        ("GET", "/v1/db/keys/zz", None, "bad_input"),
        ("GET", "/v1/db/objects/not-a-cid", None, "bad_input"),
        ("GET", "/v1/db/preferences?limit=0", None, "bad_input"),
        ("GET", "/v1/db/preferences?limit=1001", None, "bad_input"),
        ("GET", "/v1/db/preferences?limit=many", None, "bad_input"),
        ("GET", "/v1/db/preferences?descending=perhaps", None, "bad_input"),
        ("GET", "/v1/db/preferences?by=" + "c" * 65, None, "bad_input"),
        ("GET", "/v1/db/preferences?after=xyz", None, "bad_input"),
        ("GET", "/v1/db/preferences?after=" + "A" * 9000, None, "bad_input"),
        ("GET", "/v1/db/preferences?by=colour", None, "bad_input"),
        ("GET", "/v1/db/transactions?where=purpose&equals=x", None, "bad_input"),
        ("GET", "/v1/db/transactions?where=status&equals=lost", None, "bad_input"),
        ("GET", "/v1/db/transactions?where=no'such--field&equals=lost", None, "bad_input"),
        ("PUT", "/v1/db/preferences/a", {"value": 1, "colour": 2}, "bad_input"),
        ("PUT", "/v1/db/preferences/a", {}, "bad_input"),
        ("PUT", "/v1/db/preferences/a", {"name": "b", "value": 1}, "bad_input"),
        ("PUT", "/v1/db/preferences/" + "x" * 201, {"value": 1}, "bad_input"),
        ("PUT", "/v1/db/preferences/a", {"value": "x" * 70_000}, "bad_input"),
        ("PUT", "/v1/db/preferences/a", {"value": "half \ud800"}, "bad_input"),
        ("PUT", "/v1/db/messages/a", {"channel": "\ud800", "sender": "s"}, "bad_input"),
        ("PUT", "/v1/db/applications/app", {"name": "A", "version": "1", "components": ["absent"]}, "conflict"),
        ("GET", "/v1/db/search?text=", None, "bad_input"),
        ("GET", "/v1/db/search?text=a&kind=keys", None, "bad_input"),
        ("GET", "/v1/db/search?text=a&limit=201", None, "bad_input"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_written(ask: Any, method: str, path: str, body: Any, code: str) -> None:
    answer = ask(method, path.replace("'", "%27"), body)
    assert answer.code == code
    assert sum(ask("GET", "/v1/db").json["rows"].values()) == 0


def test_a_body_that_is_no_object(ask: Any) -> None:
    for body in (b"[]", b"{", b"5", b"[" * 100_000):
        assert ask("PUT", "/v1/db/preferences/a", body, content_type="application/json").status == 400


def test_searching_counting_and_checking(ask: Any, service: MemoryService) -> None:
    fill(service, KINDS["components"], 3)
    found = ask("GET", "/v1/db/search?text=bartok%20part").json["found"]
    assert {row["key"] for row in found} == {sample(KINDS["components"], number).key for number in range(3)}
    stats = ask("GET", "/v1/db").json
    assert stats["rows"]["components"] == 3 and stats["size_bytes"] > 4096 and stats["previous"] == []
    assert ask("POST", "/v1/db/check").json == {"ok": True, "problems": []}
    service.database.write(lambda cursor: list(cursor.execute("DELETE FROM search WHERE rowid = 4")))
    check = ask("POST", "/v1/db/check").json
    assert not check["ok"] and "full-text" in check["problems"][0]


def test_nobody_without_the_token(ask: Any) -> None:
    for path in ("/v1/db", "/v1/db/preferences", "/v1/db/search?text=a"):
        assert ask("GET", path, authorization="none").status == 401
