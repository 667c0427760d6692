"""init, up, join offline, passphrase, demo and cluster.

`init` and `passphrase` are real. What runs a network is tested where it is made: `up`, `join` without a node, `demo`
and `cluster` have a recorder here, in the place of the module that is loaded on demand: it shows what they are handed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

from inos.cli.main import make_app
from inos.core.env import RealEnv
from inos.core.options import UpOptions
from inos.core.reports import JoinReport
from inos.crypto.cocoon import Argon2Cost
from inos.store.dataroot import DataRoot

PHRASE = "abandon " * 23 + "art"


class Recorder(ModuleType):
    """In the place of `inos.daemon.run`."""

    def __init__(self) -> None:
        super().__init__("inos.daemon.run")
        self.calls: list[Any] = []

    def run_node(self, options: UpOptions) -> None:
        self.calls.append(options)

    def join_offline(self, home: Path, ticket: str, passphrase: str | None) -> JoinReport:
        self.calls.append((home, ticket, passphrase))
        return JoinReport("6d" * 32, 3)


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setitem(sys.modules, "inos.daemon.run", recorder)
    return recorder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INOS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def inos(*arguments: str, stdin: str = "", **env: str) -> Any:
    return CliRunner(env=env).invoke(make_app(), arguments, input=stdin)


def test_init_shows_the_phrase_once(home: Path) -> None:
    done = inos("init", "--name", "attic", INOS_PASSPHRASE="open sesame")
    assert done.exit_code == 0 and len(done.stdout.split()) == 24 and "attic" in done.stderr
    assert "sesame" not in done.output and not (home / "keyfile").exists()
    again = inos("init", INOS_PASSPHRASE="open sesame")
    assert again.exit_code == 1 and again.stdout == ""


def test_init_as_json_and_a_phrase_restored(home: Path, tmp_path: Path) -> None:
    done = inos("init", "--no-passphrase", "--json")
    made = json.loads(done.stdout)
    assert set(made) == {"home", "owner", "peer", "node_name", "phrase"} and made["home"] == str(home)
    assert (home / "keyfile").exists()
    secret = tmp_path / "secret"
    secret.write_text("from a file\nignored\n")
    arguments = ("--home", str(tmp_path / "other"), "--passphrase-file", str(secret), "--json")
    second = json.loads(inos("init", "--phrase", "-", *arguments, stdin=made["phrase"] + "\n").stdout)
    assert second["owner"] == made["owner"] and second["peer"] != made["peer"] and second["phrase"] == ""


@pytest.mark.parametrize("name", ["a\nb", "\udcff", "x" * 64])
def test_a_node_cannot_have_any_name(home: Path, node: Recorder, name: str) -> None:
    done = inos("init", "--no-passphrase", "--name", name, "--json")
    assert done.exit_code == 1 and json.loads(done.stderr)["error"]["code"] == "bad_input"
    assert done.stdout == "" and not home.exists()


def test_relying_on_file_permissions_is_said(home: Path) -> None:
    assert "whoever can read these files" in inos("init", "--no-passphrase").stderr


def test_a_wrong_phrase(home: Path) -> None:
    done = inos("init", "--phrase", "not a phrase", "--no-passphrase", "--json")
    assert done.exit_code == 1 and json.loads(done.stderr)["error"]["code"] == "bad_input"
    assert not (home / "cocoon").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["init"],
        ["init", "--passphrase-file", "/no/such/file"],
        ["init", "--passphrase-file", "/dev/null"],
        ["init", "--no-passphrase", "--passphrase-file", "x"],
        ["init", "--phrase", "-", "--no-passphrase"],
        ["up"],
        ["passphrase"],
        ["join", "ticket"],
    ],
)
def test_what_is_missing_is_said(node: Recorder, home: Path, arguments: list[str]) -> None:
    done = inos(*arguments)
    assert done.exit_code == 1 and done.stderr.startswith("error: ")
    assert node.calls == []


def made(home: Path, passphrase: str | None = None) -> None:
    DataRoot.create(home, PHRASE, passphrase, RealEnv(), Argon2Cost(8, 1, 1))


def test_up_hands_over_its_options(node: Recorder, home: Path) -> None:
    made(home)
    assert inos("up").exit_code == 0
    assert node.calls == [UpOptions(home)]
    node.calls.clear()
    arguments = "--listen /ip4/0.0.0.0/tcp/1 --listen /ip6/::/tcp/2 --announce /dns4/x/tcp/1 --api 127.0.0.1:4711 "
    arguments += "--profile light --compression zstd --region attic --name box --repair-after 5s "
    arguments += "--remove-delay 2h --join T --json"
    assert inos("up", *arguments.split()).exit_code == 0
    assert node.calls == [
        UpOptions(
            home=home,
            listen=("/ip4/0.0.0.0/tcp/1", "/ip6/::/tcp/2"),
            announce=("/dns4/x/tcp/1",),
            api="127.0.0.1:4711",
            profile="light",
            compression="zstd",
            region="attic",
            name="box",
            repair_after_s=5,
            remove_delay_s=7200,
            join="T",
            json=True,
        )
    ]
    assert inos("up", "--profile", "huge").exit_code == 1
    assert inos("up", "--compression", "bzip2").exit_code == 1
    assert inos("up", "--repair-after", "soon").exit_code == 1


def test_up_asks_for_the_passphrase_of_a_sealed_home(node: Recorder, home: Path) -> None:
    made(home, "p")
    (home / "keyfile").touch()  # left by what opened it before, and of no use
    done = inos("up")
    assert done.exit_code == 1 and "INOS_PASSPHRASE" in done.stderr
    assert inos("up", INOS_PASSPHRASE="p").exit_code == 0
    assert node.calls[0].passphrase == "p"


def test_join_while_no_node_runs(node: Recorder, home: Path) -> None:
    made(home)
    done = inos("join", "inos-ticket-x", "--json")
    assert json.loads(done.stdout) == {"mesh": "6d" * 32, "peers": 3}
    assert node.calls == [(home, "inos-ticket-x", None)]


def test_the_passphrase_is_changed(home: Path, tmp_path: Path) -> None:
    inos("init", INOS_PASSPHRASE="old one")
    new = tmp_path / "new"
    new.write_text("new one")
    assert inos("passphrase", "--new-passphrase-file", str(new), INOS_PASSPHRASE="old one").exit_code == 0
    wrong = inos("passphrase", "--new-passphrase-file", str(new), "--json", INOS_PASSPHRASE="old one")
    assert wrong.exit_code == 1 and json.loads(wrong.stderr)["error"]["code"] == "wrong_passphrase"
    done = inos("passphrase", "--no-passphrase", "--json", INOS_PASSPHRASE="new one")
    assert json.loads(done.stdout) == {"home": str(home), "passphrase": False} and (home / "keyfile").exists()
    assert inos("passphrase").exit_code == 1


def test_the_demonstration_gets_its_options(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    seen: list[Any] = []
    demo, cluster = ModuleType("inos.cli.demo"), ModuleType("inos.cli.cluster")
    demo.run_demo = lambda *arguments: seen.append(arguments)  # type: ignore[attr-defined]
    cluster.run_cluster = lambda *arguments: seen.append(arguments)  # type: ignore[attr-defined]
    cluster.stop_cluster = lambda *arguments: seen.append(arguments)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "inos.cli.demo", demo)
    monkeypatch.setitem(sys.modules, "inos.cli.cluster", cluster)
    assert inos("demo").exit_code == inos("demo", "--nodes", "5", "--kill", "1", "--file", "x", "--json").exit_code == 0
    assert inos("cluster", "3").exit_code == inos("cluster", "--stop", "--folder", "y").exit_code == 0
    assert seen == [(7, 2, None, False), (5, 1, Path("x"), True), (3, Path(".cluster"), False), (Path("y"), False)]
    assert inos("demo", "--nodes", "2", "--kill", "2").exit_code == 1
    assert inos("demo", "--nodes", "0").exit_code == 2
