"""Settings of agents: what the files say, which of them goes before, and complaints that name file, line and field."""

from __future__ import annotations

from pathlib import Path

import pytest

from inos.core.errors import BadInput, NotFound
from inos.messages import open_agent
from inos.messages.config import AgentSettings, agent_file, load_settings, node_file
from inos.messages.yaml_file import MAX_FILE_BYTES

WHOLE = """
agent: recruiter-1
role: recruiter
context_tokens: 64000
cache:
  max_bytes: 5000000
  retention_days: 30
  compression: false
  durability: process
sync:
  enabled: false
  batch_size: 100
  interval_seconds: 2.5
  retry_max: 10
  retry_backoff_base: 3
hub:
  url: http://10.0.0.42:4711
  token_file: hub.token
"""


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_whole_file_says_it_all(tmp_path: Path) -> None:
    put(agent_file(tmp_path, "recruiter-1"), WHOLE)
    settings = load_settings("recruiter-1", tmp_path)
    assert settings == AgentSettings(
        "recruiter", 64000, 5_000_000, 30, False, "process", False, 100, 2.5, 10, 3.0, "http://10.0.0.42:4711",
        tmp_path / "config" / "agents" / "hub.token",
    )  # fmt: skip
    assert (settings.limits().max_bytes, settings.limits().retention_days) == (5_000_000, 30)
    assert (settings.pace().batch_size, settings.pace().retry_max) == (100, 10)


def test_without_files_the_role_makes_the_size(tmp_path: Path) -> None:
    assert load_settings("a", tmp_path) == AgentSettings()
    assert AgentSettings(role="reasoner").limits().max_bytes == 628_000_000
    assert AgentSettings(role="reasoner", context_tokens=1000).limits().max_bytes == 501_000_000
    assert AgentSettings(role="reasoner", max_bytes=9_000_000).limits().max_bytes == 9_000_000


def test_the_agents_file_goes_before_the_nodes_and_arguments_before_both(tmp_path: Path) -> None:
    put(node_file(tmp_path), "role: coder\ncache:\n  retention_days: 7\n  max_bytes: 6000000\n")
    put(agent_file(tmp_path, "a"), "cache:\n  max_bytes: 7000000\nsync: {enabled: false}\n")
    settings = load_settings("a", tmp_path)
    assert (settings.role, settings.retention_days, settings.max_bytes) == ("coder", 7, 7_000_000)
    assert load_settings("b", tmp_path).max_bytes == 6_000_000
    with open_agent("a", home=tmp_path, role="reasoner") as agent:
        assert agent.settings.role == "reasoner"
        assert agent.append("x").role == "reasoner"
        assert agent.stats().cache.max_bytes == 7_000_000
    given = put(tmp_path / "elsewhere.yaml", "role: commander\n")
    assert load_settings("a", tmp_path, given).role == "commander"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("role: recruiter\ncache:\n  max_byte: 5\n", r":3: cache.max_byte is not a setting"),
        ("cache:\n  max_bytes: lots\n", r":2: cache.max_bytes must be a whole number from 4000000 to \d+, not 'lots'"),
        ("sync:\n  batch_size: 501\n", r":2: sync.batch_size must be a whole number from 1 to 500"),
        ("sync:\n  enabled: 1\n", r":2: sync.enabled must be true or false"),
        ("\n\nsync: yes please\n", r":3: sync must be a section"),
        ("cache: {durability: maybe}\n", r":1: cache.durability must be one of disk, process"),
        ("role: Recruiter\n", r"role must be a word"),
        ("agent: b\n", r":1: agent is 'b', but the file is read for 'a'"),
        ("role: a\nrole: b\n", r":2: 'role' is no name, or there twice"),
        ("hub:\n  url: http://10.0.0.42:4711\n", r"a hub's url needs a token_file"),
        ("role: !!python/object/apply:os.system [true]\n", r":1: .*"),
        ("role: [a\n", r":2: this is no YAML"),
        ("\tx: 1\n", r":1: this is no YAML"),
        ("- a\n- b\n", r":1: settings are names"),
        ("cache:\n  deeper: {x: {y: 1}}\n", r":2: sections do not go deeper"),
        ("x: " + "y" * MAX_FILE_BYTES, "over 65536 bytes"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, text: str, complaint: str) -> None:
    path = put(agent_file(tmp_path, "a"), text)
    with pytest.raises(BadInput, match=complaint) as told:
        load_settings("a", tmp_path)
    assert str(told.value).startswith(str(path))
    assert told.value.hint
    with pytest.raises(BadInput):
        open_agent("a", home=tmp_path)
    assert not (tmp_path / "messages").exists(), "nothing was made"


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no"):
        load_settings("a", tmp_path, tmp_path / "missing.yaml")
    with pytest.raises(BadInput, match="cannot be read"):
        load_settings("a", tmp_path, tmp_path)
