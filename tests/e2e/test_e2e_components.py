"""Components as a user has them: installed, started and looked at by commands, under a node that is killed."""

from __future__ import annotations

import http.client
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from e2e_machines import Done, Machine, Machines, run_inos, wait_for

BEAT = """
import os, subprocess, time
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
print("child", child.pid, "token" if "INOS_API_TOKEN" in os.environ else "no token", flush=True)
while True:
    os.write(int(os.environ["INOS_HEARTBEAT_FD"]), b"beat\\n")
    time.sleep(0.1)
"""
HEAD = 'name = "Part"\nversion = "{version}"\napplication = "office"\n'


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    machines = Machines(tmp_path_factory.mktemp("components"))
    yield machines.found("one")
    machines.stop()


def package(folder: Path, name: str, kind: str, files: dict[str, str], *lines: str, version: str = "1.0") -> Path:
    """A folder that is a package."""
    folder = folder / f"{name}-{version}"
    for file, text in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)
    entry = next(iter(files))
    head = f'id = "{name}"\nkind = "{kind}"\nentry = "{entry}"\n' + HEAD.format(version=version)
    (folder / "component.toml").write_text(head + "\n".join(lines))
    return folder


def component(machine: Machine, word: str, *arguments: str, code: int = 0, group: str = "component") -> Done:
    done = run_inos(group, word, "--home", str(machine.home), "--json", *arguments)
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    return done


def browse(machine: Machine, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    url = json.loads((machine.home / "api.json").read_text())["url"]
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


def test_a_program_and_a_front_end_of_one_application(machine: Machine, tmp_path: Path) -> None:
    beat = package(tmp_path, "beat", "python", {"main.py": BEAT}, 'permissions = ["api"]', "heartbeat_s = 1")
    page = package(tmp_path, "page", "static", {"index.html": "<h1>hi</h1>", "js/a.js": "1"})
    machine.put((page / "index.html").read_bytes(), "/elsewhere")
    assert component(machine, "install", str(beat)).json["granted"] == []
    assert component(machine, "install", str(beat), "--grant", "api").json["granted"] == ["api"]
    assert component(machine, "install", str(page)).json["runtime"] == "static"
    started = component(machine, "start", "office", group="app").lines
    assert [(each["component_id"], each["status"]) for each in started] == [("beat", "running"), ("page", "running")]
    assert component(machine, "list", group="app").json["running"] == 2
    workers = {each["name"]: each for each in machine.inos("status").json["workers"]}
    assert "components" in workers
    assert component(machine, "logs", "beat").json["text"].endswith("token\n")

    status, headers, body = browse(machine, "/apps/page/")
    assert (status, body) == (200, b"<h1>hi</h1>")
    assert "default-src http://127.0.0.1" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff" and headers["content-type"].startswith("text/html")
    assert browse(machine, "/apps/page")[:2][0] == 308
    assert browse(machine, "/apps/page/js/a.js")[1]["content-type"].startswith("text/javascript")
    assert browse(machine, "/apps/page/", "HEAD")[2] == b""
    for path in (
        "/apps/page/../../v1/status",
        "/apps/page/%2e%2e/data",
        "/apps/page/..%2f..%2fapi.json",
        "/apps/beat/main.py",
    ):
        assert browse(machine, path)[0] in (401, 404), path
    assert browse(machine, "/apps/page/", host="evil.example")[0] == 403
    assert browse(machine, "/apps/page/", "POST")[0] == 405
    assert browse(machine, "/v1/components")[0] == 401


def test_a_node_that_is_killed_leaves_nothing_running_and_brings_it_back(machine: Machine) -> None:
    before = component(machine, "show", "beat").json
    child = int(component(machine, "logs", "beat").json["text"].split()[1])
    assert psutil.pid_exists(before["pid"]) and psutil.pid_exists(child)
    machine.kill()
    wait_for(lambda: not psutil.pid_exists(before["pid"]) and not psutil.pid_exists(child), "they end")
    machine.restart()
    wait_for(lambda: component(machine, "show", "beat").json["status"] == "running", "the component is back")
    assert component(machine, "show", "beat").json["pid"] != before["pid"]
    assert component(machine, "show", "page").json["status"] == "running"


def test_a_crash_and_an_upgrade_from_an_object(machine: Machine, tmp_path: Path) -> None:
    pid = component(machine, "show", "beat").json["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: component(machine, "show", "beat").json["restarts"] == 1, "it is started again")
    import shutil

    newer = package(tmp_path, "beat", "python", {"main.py": BEAT}, "heartbeat_s = 1", version="1.1")
    archive = Path(shutil.make_archive(str(tmp_path / "beat"), "gztar", newer))
    reference = str(machine.put(archive.read_bytes()).ref)
    report = component(machine, "install", reference).json
    assert (report["version"], report["versions"], report["reference"]) == ("1.1", ["1.0", "1.1"], reference)
    assert report["wanted"] == "running" and report["granted"] == []
    assert component(machine, "stop", "beat").json["status"] == "stopped"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("install", "/nowhere"), "not_found"),
        (("install", "/dev/null"), "bad_input"),
        (("install", "inos:/no/such"), "not_found"),
        (("install", "/tmp", "--grant", "root"), "bad_input"),
        (("start", "nobody"), "not_found"),
        (("stop", "nobody"), "not_found"),
        (("show", "../../x"), "not_found"),
        (("rm", "nobody"), "not_found"),
        (("logs", "nobody"), "not_found"),
    ],
)
def test_what_cannot_be_done_is_said(machine: Machine, arguments: tuple[str, ...], code: str) -> None:
    error: Any = component(machine, *arguments, code=1).error
    assert error["code"] == code and error["message"]


def test_one_that_cannot_run_makes_the_command_fail(machine: Machine, tmp_path: Path) -> None:
    broken = package(tmp_path, "broken", "python", {"main.py": "import nothing_like_this"}, "[restart]", "crashes = 1")
    component(machine, "install", str(broken))
    report = component(machine, "start", "broken", code=1).json
    assert (report["status"], report["last_error"]) == (
        "crashed",
        "gave up after 1 ends within 60 s; the last: exit code 1",
    )
    assert "nothing_like_this" in component(machine, "logs", "broken").json["text"]
    assert component(machine, "rm", "broken").json == {"removed": "broken"}
    assert not (machine.home / "components" / "broken").exists()
