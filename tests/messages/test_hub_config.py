"""hub.yaml and the owner's hook: what is right is taken, what is wrong is told; the hook gets its message on its input
alone, within its time and room."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest
import trio

from inos.core.errors import BadInput, Conflict, Unavailable
from inos.core.messages.ids import next_id
from inos.core.messages.message import Message
from inos.messages.hook import MAX_OUTPUT_BYTES, Hook, run_hook
from inos.messages.hub_config import HubConfig, hub_file, load_hub_config

MESSAGE = Message(next_id(5, bytes(10), None), 5, "scout", {"text": "$(rm -rf /) --help\nü"})


def written(home: Path, text: str) -> Path:
    path = hub_file(home)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_what_it_says_is_taken(tmp_path: Path) -> None:
    assert load_hub_config(tmp_path) == HubConfig()
    text = "store: postgresql://me:secret@db/corpus\nexecute: [/bin/do, --it]\nexecute_timeout_seconds: 5\n"
    path = written(tmp_path, text + "snapshot_seconds: 2.5\nagent_messages_per_second: 50\n")
    config = load_hub_config(tmp_path)
    assert config == HubConfig("postgresql://me:secret@db/corpus", Hook(("/bin/do", "--it"), 5), 2.5, 50)
    assert "secret" not in repr(config) and config.store_name == "postgresql"
    path.chmod(0o644)
    with pytest.raises(BadInput, match="others may read it") as refused:
        load_hub_config(tmp_path)
    assert "secret" not in str(refused.value) + refused.value.hint and "chmod 600" in refused.value.hint


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("store: mysql://x/y", "store must be sqlite, or postgresql"),
        ("store: 5", "store must be text"),
        ("execute: do-it", "execute must be a list"),
        ("execute: [do-it]", "execute begins with the absolute path"),
        ("execute: [/do, '']", "execute begins with"),
        ("execute_timeout_seconds: 0", "execute_timeout_seconds must be a whole number from 1"),
        ("snapshot_seconds: 0.1", "snapshot_seconds must be a number from 1"),
        ("agent_messages_per_second: 0", "agent_messages_per_second must be a whole number from 1"),
        ("shop: sqlite", "shop is not a setting"),
        ("store: [", "no YAML"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, why: str) -> None:
    path = written(tmp_path, f"# a comment\n{text}\n")
    with pytest.raises(BadInput, match=why) as refused:
        load_hub_config(tmp_path)
    assert str(path) in str(refused.value)


def hook(code: str, timeout_s: int = 20) -> Hook:
    return Hook((sys.executable, "-c", code), timeout_s)


def test_a_hook_gets_the_message_on_its_input_and_nothing_else(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    code = f"import sys; open({str(seen)!r}, 'wb').write(sys.stdin.buffer.read()); assert len(sys.argv) == 1"
    trio.run(run_hook, hook(code), MESSAGE)
    assert Message.decode(seen.read_bytes().rstrip(b"\n")) == MESSAGE


def test_a_hook_that_does_not_read_its_input_is_fine() -> None:
    trio.run(run_hook, hook("pass"), Message(MESSAGE.id, 5, "scout", "x" * 250_000))


@pytest.mark.parametrize(
    ("command", "error", "why"),
    [
        (hook("import sys; print('no such task'); sys.exit(3)"), Conflict, "exit code 3: no such task"),
        (hook("import time; time.sleep(60)", 1), Unavailable, "longer than 1 s"),
        (
            hook(f"print('x' * {MAX_OUTPUT_BYTES * 3}); import time; time.sleep(60)"),
            Conflict,
            "printed more than 64 KiB",
        ),
        (Hook(("/bin/sh", "-c", "exec yes")), Conflict, "printed more than 64 KiB"),
        (Hook(("/no/such/program",)), Conflict, "cannot be run: No such file"),
    ],
)
def test_a_hook_that_fails_says_why(command: Hook, error: type[Exception], why: str) -> None:
    with pytest.raises(error, match=why):
        trio.run(run_hook, command, MESSAGE)
    with pytest.raises(error, match=why):  # and one whose message does not fit into the pipe
        trio.run(run_hook, command, Message(MESSAGE.id, 5, "scout", "x" * 250_000))


def test_a_hook_is_judged_by_itself_and_not_by_what_it_leaves_running() -> None:
    left = "import subprocess, sys; print(subprocess.Popen(['sleep', '60']).pid, flush=True); sys.exit(3)"
    with pytest.raises(Conflict, match=r"exit code 3: \d+") as failed:
        trio.run(run_hook, hook(left), MESSAGE)
    os.kill(int(str(failed.value).rpartition(": ")[2]), signal.SIGKILL)  # it was left running


@pytest.mark.parametrize("then", ["sleep 60", "yes"])
def test_a_hook_that_is_ended_takes_along_what_it_started(tmp_path: Path, then: str) -> None:
    told = tmp_path / "pid"
    with pytest.raises((Conflict, Unavailable)):
        trio.run(run_hook, Hook(("/bin/sh", "-c", f'sleep 60 & echo $! > "{told}"; {then}'), 2), MESSAGE)
    assert is_gone(int(told.read_text()))


def is_gone(pid: int) -> bool:
    """Soon: it is somebody else's child by now, who reaps it."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def test_a_hook_is_words() -> None:
    for wrong in ((), ("",), ("a\0b",)):
        with pytest.raises(BadInput):
            Hook(wrong)
    with pytest.raises(BadInput):
        Hook(("a",), 0)
