"""The JSON calls, the documents about them, the metrics."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from inos.core.reports import CataloguePage, StatReport, StatusReport, VerifyReport, from_dict
from inos.testing.memory_service import MemoryService

DEPLOY = Path(__file__).resolve().parent.parent.parent / "deploy"


def test_listing_goes_page_by_page(ask: Any) -> None:
    names = sorted(f"/p/{number:03}" for number in range(25))
    for name in names:
        ask("PUT", f"/v1/objects?name={name}", b"x")
    ask("PUT", "/v1/objects?name=/q", b"x")
    found: list[str] = []
    after = ""
    while True:
        page = from_dict(CataloguePage, ask("GET", f"/v1/objects?prefix=/p/&limit=10&after={after}").json)
        found += [item.name for item in page.items]
        if not page.next:
            break
        after = page.next
    assert found == names
    assert len(ask("GET", "/v1/objects").json["items"]) == 26


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "prefix=" + "a" * 9000, "prefix=a/../b"])
def test_a_wrong_listing(ask: Any, query: str) -> None:
    answer = ask("GET", f"/v1/objects?{query}")
    assert (answer.status, answer.code) == (400, "bad_input")


def test_what_has_no_name_page_by_page(ask: Any) -> None:
    ask("PUT", "/v1/objects?name=/named", b"named")
    cids = sorted(ask("PUT", "/v1/objects", b"%d" % number).json["cid"] for number in range(5))
    found: list[str] = []
    while True:
        path = f"/v1/objects/nameless?limit=2&after={found[-1] if found else ''}"
        page = from_dict(CataloguePage, ask("GET", path).json)
        found += [item.cid for item in page.items]
        if not page.next:
            break
    assert found == cids
    assert ask("GET", "/v1/objects/nameless?limit=0").code == "bad_input"


def test_names_by_content_page_by_page(ask: Any) -> None:
    names = sorted(f"/same/{number}" for number in range(5))
    for name in (*names, "/other"):
        report = ask("PUT", f"/v1/objects?name={name}", name[:5].encode()).json
    ask("PUT", "/v1/objects", b"/same")
    digest = hashlib.sha256(b"/same").hexdigest()
    assert report["sha256"] == hashlib.sha256(b"/othe").hexdigest()
    found: list[str] = []
    while True:
        path = f"/v1/objects/find?sha256={digest.upper()}&limit=2&after={found[-1] if found else ''}"
        page = from_dict(CataloguePage, ask("GET", path).json)
        assert {item.sha256 for item in page.items} <= {digest}
        found += [item.name for item in page.items]
        if not page.next:
            break
    assert found == names
    assert ask("GET", f"/v1/objects/content?target=sha256:{digest}").body == b"/same"
    assert ask("GET", f"/v1/objects/stat?target=sha256:{digest}").json["sha256"] == digest
    assert ask("GET", f"/v1/objects/find?sha256={'0' * 64}").json == {"items": [], "next": ""}
    assert ask("GET", f"/v1/objects/content?target=sha256:{'0' * 64}").status == 404
    for wrong in ("", "sha256=", "sha256=12", f"sha256={digest}0", f"sha256={digest}&limit=0"):
        assert ask("GET", f"/v1/objects/find?{wrong}").code == "bad_input"


def test_folders_and_links(ask: Any) -> None:
    folder = ask("POST", "/v1/folders", {"name": "t", "mode": 0o700, "modified_ms": 5}).json
    assert (folder["name"], folder["kind"], folder["mode"]) == ("/t", "folder", 0o700)
    link = ask("POST", "/v1/links", {"name": "t/l", "target": "../../etc/passwd", "modified_ms": 5}).json
    assert (link["name"], link["kind"], link["target"]) == ("/t/l", "link", "../../etc/passwd")
    assert ask("GET", "/v1/objects/content?target=/t").code == "bad_input"


def test_stat_and_remove(ask: Any) -> None:
    ask("PUT", "/v1/objects?name=/d/a", b"x")
    ask("PUT", "/v1/objects?name=/d/b", b"y")
    report = from_dict(StatReport, ask("GET", "/v1/objects/stat?target=/d/a").json)
    assert (report.survives, report.wanted_survives, report.under_replicated) == (3, 4, True)
    removed = ask("DELETE", "/v1/objects?target=/d").json
    assert removed["names"] == ["/d/a", "/d/b"]
    assert ask("DELETE", "/v1/objects?target=/d").status == 404
    assert ask("GET", "/v1/objects/stat?target=/d/a").status == 404


def test_status_and_peers(ask: Any) -> None:
    status = from_dict(StatusReport, ask("GET", "/v1/status").json)
    assert status.workers[1].last_success_age_s is None
    peers = ask("GET", "/v1/peers").json
    assert [peer["state"] for peer in peers] == ["alive"] * 4 + ["failed"]


def test_joining_and_revoking(ask: Any) -> None:
    ticket = ask("POST", "/v1/invite", {"single_use": True, "lifetime_s": 60}).json["ticket"]
    assert ask("POST", "/v1/join", {"ticket": ticket + "\n"}).status == 200
    assert ask("POST", "/v1/join", {"ticket": ticket}).code == "bad_ticket"
    peer = ask("GET", "/v1/peers").json[4]["peer"]
    assert ask("POST", "/v1/revoke", {"peer": peer}).json["peer"] == peer
    assert ask("POST", "/v1/revoke", {"peer": peer}).status == 404


@pytest.mark.parametrize(
    "body", [{"lifetime_s": 0}, {"lifetime_s": 10**9}, {"lifetime_s": "soon"}, {"single_use": "?"}]
)
def test_a_wrong_invitation(ask: Any, body: dict[str, Any]) -> None:
    answer = ask("POST", "/v1/invite", body)
    assert (answer.status, answer.code) == (400, "bad_input")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_object(ask: Any, body: bytes) -> None:
    answer = ask("POST", "/v1/join", body, content_type="application/json")
    assert (answer.status, answer.code) == (400, "bad_input")


def test_verify_reports_as_it_goes(ask: Any, service: MemoryService) -> None:
    for number in range(3):
        ask("PUT", f"/v1/objects?name={number}", bytes([number]))
    service.corrupt.add(next(iter(service.contents)))
    answer = ask("POST", "/v1/verify", {"target": None})
    reports = [from_dict(VerifyReport, json.loads(line)) for line in answer.body.splitlines()]
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert [report.checked for report in reports] == [1, 2, 3, 3]
    assert reports[-1].finished and (reports[-1].corrupt, reports[-1].healed) == (1, 1)
    assert ask("POST", "/v1/verify", {"target": "/missing"}).status == 404


def test_what_there_is_not(ask: Any) -> None:
    assert ask("GET", "/v1/nothing").code == "not_found"
    wrong_method = ask("PATCH", "/v1/status")
    assert (wrong_method.status, wrong_method.code) == (405, "bad_input")


def test_the_description_has_every_call(ask: Any) -> None:
    schema = ask("GET", "/openapi.json", authorization="none").json
    calls = {(method, path) for path, methods in schema["paths"].items() for method in methods}
    assert {
        ("put", "/v1/objects"),
        ("get", "/v1/objects"),
        ("delete", "/v1/objects"),
        ("post", "/v1/objects:batch"),
        ("get", "/v1/objects/content"),
        ("head", "/v1/objects/content"),
        ("get", "/v1/objects/stat"),
        ("post", "/v1/verify"),
        ("get", "/health"),
    } <= calls
    assert "StatReport" in schema["components"]["schemas"]


def test_the_page_loads_nothing_from_elsewhere(ask: Any) -> None:
    answer = ask("GET", "/docs", authorization="none")
    page = answer.body.decode()
    assert "<script" not in page and "//" not in page.replace('"/openapi.json"', "")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "PUT /v1/objects" in page


def test_metrics(ask: Any) -> None:
    ask("PUT", "/v1/objects?name=a", b"12345")
    text = ask("GET", "/metrics").body.decode()
    assert "inos_stored_bytes 5.0" in text
    assert 'inos_worker_last_success_age_seconds{worker="repair"} 2.5' in text
    assert 'inos_worker_last_success_age_seconds{worker="anti-entropy"} +Inf' in text
    assert 'inos_worker_failures_total{worker="anti-entropy"} 2.0' in text
    assert 'inos_refused{name="stranger"} 1.0' in text
    assert "inos_cache_hits_total " in text and "inos_cache_misses_total " in text


def test_requests_are_timed_by_purpose_and_counted_by_their_end(ask: Any) -> None:
    before = samples(ask)  # all of them are there from the start, so that rates begin at nothing
    ask("PUT", "/v1/objects?name=timed", b"12345")
    ask("GET", "/v1/objects/content?target=/timed")
    ask("GET", "/v1/objects/content?target=/nowhere")
    ask("PUT", "/v1/objects?name=", b"12345", authorization="none")
    after = samples(ask)
    more = {name: after[name] - value for name, value in before.items()}
    assert more["inos_request_seconds_count", "read"] == 1  # what was refused says nothing about speed
    assert 0 < more["inos_request_seconds_sum", "read"] < 60
    assert more["inos_requests_total", "done", "read"] == 1 and more["inos_requests_total", "read", "refused"] == 1
    assert more["inos_requests_total", "done", "write"] == 1 and more["inos_requests_total", "failed", "write"] == 0


def test_the_metrics_of_messages(ask: Any) -> None:
    text = ask("GET", "/metrics").body.decode()
    node = 'node="node-1"'
    for line in (
        f'cache_bytes_used{{agent="scout",{node}}} 4000.0',
        f'outbox_queue_depth{{agent="scout",{node}}} 3.0',
        f"sync_lag_seconds{{{node}}} 4.5",
        f"sync_failures_total{{{node}}} 2.0",
        f"htpc_write_throughput_bytes{{{node}}} 1500.0",
    ):
        assert line in text


def test_the_metrics_are_what_prometheus_expects(ask: Any) -> None:
    """The rules of its own linter: help for each, counters end in _total, base units, no name used twice."""
    families = list(text_string_to_metric_families(ask("GET", "/metrics").body.decode()))
    assert len({each.name for each in families}) == len(families)
    for family in families:
        assert family.documentation, family.name
        assert not family.name.endswith(("_ms", "_milliseconds", "_kb", "_mb")), family.name
        names = {sample.name for sample in family.samples}
        assert family.type != "counter" or names <= {f"{family.name}_total"}, family.name
        assert family.type != "gauge" or not family.name.endswith("_total"), family.name
        assert not any(sample.name.endswith("_created") for sample in family.samples)


def test_alerts_and_the_dashboard_ask_for_metrics_that_there_are(ask: Any) -> None:
    known = {sample.name for family in text_string_to_metric_families(ask("GET", "/metrics").body.decode())
             for sample in family.samples}  # fmt: skip
    for file in ("inos-alerts.yml", "grafana-inos.json"):
        text = (DEPLOY / file).read_text()
        asked = set(re.findall(r"(?<!:)\b(?:inos|cache|outbox|sync|htpc)_[a-z_]+\b", text))
        assert asked and asked <= known, (file, asked - known)


def samples(ask: Any) -> dict[tuple[str, ...], float]:
    """Every sample by its name and the values of its labels, sorted."""
    families = text_string_to_metric_families(ask("GET", "/metrics").body.decode())
    return {(each.name, *sorted(each.labels.values())): each.value for family in families for each in family.samples}
