"""How an agent keeps and sends its messages: YAML files, one for each agent and one for the node, and what they say.

$INOS_HOME/config/agents/<agent>.yaml      this agent
$INOS_HOME/config/node.yaml                all agents of this machine; what the agent's own file says goes before

agent: recruiter-1            # whose file it is (not in node.yaml)
role: recruiter               # commander, recruiter, reasoner, coder, synthesizer, or any other word
context_tokens: 32000         # of its model; with the role it makes the size of the cache
cache:
  max_bytes: 2147483648       # instead of that
  retention_days: 30          # 0: as long as there is room
  compression: true
  durability: disk            # or process: faster, but the last moments may go when the power does
sync:
  enabled: true               # false: messages stay on this machine
  batch_size: 500
  interval_seconds: 5
  retry_max: 3                # how often a message is refused before it is parked
  retry_backoff_base: 2
hub:
  url: http://10.0.0.42:4711  # instead of the node on this machine
  token_file: /home/me/token  # 0600; holds the token for that address
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, cast

from inos.core.errors import BadInput
from inos.core.messages.message import WORD, WORD_HINT, check_agent, check_text, check_whole
from inos.core.messages.saying import said
from inos.core.messages.sync import MAX_BATCH
from inos.messages.cache import CacheLimits
from inos.messages.given import check_path
from inos.messages.sending import Pace
from inos.messages.sizing import MAX_CACHE_BYTES, MAX_CONTEXT_TOKENS, MIN_CACHE_BYTES, cache_bytes
from inos.messages.yaml_file import Section, read_yaml
from inos.store.private_files import explained

Durability = Literal["disk", "process"]
DURABILITIES: Final = ("disk", "process")
MAX_URL: Final = 2048
# The least and the most of each.
_WHOLE: Final[dict[str, tuple[int, int]]] = {
    "context_tokens": (0, MAX_CONTEXT_TOKENS),
    "max_bytes": (MIN_CACHE_BYTES, MAX_CACHE_BYTES),
    "retention_days": (0, 36_500),
    "batch_size": (1, MAX_BATCH),
    "retry_max": (1, 100),
}
_NUMBERS: Final[dict[str, tuple[float, float]]] = {"interval_s": (0.1, 3600), "backoff_base": (1, 10)}
_OPTIONAL: Final = ("context_tokens", "max_bytes")


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """All of it, with the defaults. `max_bytes` None: by role and context window."""

    role: str = ""
    context_tokens: int | None = None
    max_bytes: int | None = None
    retention_days: int = 0
    compression: bool = True
    durability: Durability = "disk"
    enabled: bool = True
    batch_size: int = MAX_BATCH
    interval_s: float = 5.0
    retry_max: int = 3
    backoff_base: float = 2.0
    hub_url: str = ""
    token_file: Path | None = None

    def __post_init__(self) -> None:
        if self.role != "" and not (isinstance(self.role, str) and WORD.fullmatch(self.role)):
            raise BadInput(f"role must be a word, not {said(self.role)}", hint=WORD_HINT)
        for name, (least, most) in _WHOLE.items():
            if (value := getattr(self, name)) is not None or name not in _OPTIONAL:
                check_whole(name, value, least, most)
        for name, between in _NUMBERS.items():
            _check_number(name, getattr(self, name), *between)
        if not isinstance(self.compression, bool) or not isinstance(self.enabled, bool):
            raise BadInput("compression and enabled must be True or False")
        if self.durability not in DURABILITIES:
            raise BadInput(f"durability must be disk or process, not {said(self.durability)}")
        check_text("hub_url", self.hub_url, 0, MAX_URL)
        object.__setattr__(self, "token_file", check_path("token_file", self.token_file))
        if self.hub_url and self.token_file is None:
            raise BadInput("a hub's url needs a token_file", hint="put its token into a file of mode 0600, and name it")

    def with_role(self, role: str) -> AgentSettings:
        """The same for an agent of another role. Raises BadInput."""
        return replace(self, role=role)

    def limits(self) -> CacheLimits:
        """What the cache may keep. Raises BadInput."""
        most = self.max_bytes if self.max_bytes is not None else cache_bytes(self.role, self.context_tokens)
        return CacheLimits(most, self.retention_days, self.compression)

    def pace(self) -> Pace:
        """How the outbox sends."""
        return Pace(self.batch_size, self.interval_s, self.retry_max, self.backoff_base)


def _check_number(name: str, value: object, least: float, most: float) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
        raise BadInput(f"{name} must be a number from {least} to {most}")


def agent_file(home: Path, agent: str) -> Path:
    """Where the settings of an agent are."""
    return home / "config" / "agents" / f"{agent}.yaml"


def node_file(home: Path) -> Path:
    """Where those for all agents of this machine are."""
    return home / "config" / "node.yaml"


def load_settings(agent: str, home: Path, path: Path | None = None) -> AgentSettings:
    """What holds for an agent: its own file (`path`, which must be there, or the usual place), before the node's,
    before the defaults. Raises BadInput, NotFound."""
    check_agent(agent)
    settings = AgentSettings()
    if _is_there(common := node_file(home)):
        settings = read_settings(read_yaml(common), settings, common.parent)
    own = path or agent_file(home, agent)
    if path is not None or _is_there(own):
        section = read_yaml(own)
        if (named := section.text("agent", agent)) != agent:
            raise section.wrong("agent", f"is {named[:140]!r}, but the file is read for {agent!r}")
        settings = read_settings(section, settings, own.parent)
    return settings


def _is_there(path: Path) -> bool:
    with explained("look into", path):
        return path.exists()


def read_settings(file: Section, base: AgentSettings, folder: Path) -> AgentSettings:
    """What a file says, and of what it does not say, `base`. A relative token_file is beside the file, in `folder`."""
    cache, sync, hub = file.section("cache"), file.section("sync"), file.section("hub")
    token = hub.text("token_file")
    try:
        settings = replace(
            base,
            role=file.text("role", base.role),
            context_tokens=file.whole("context_tokens", base.context_tokens, *_WHOLE["context_tokens"]),
            max_bytes=cache.whole("max_bytes", base.max_bytes, *_WHOLE["max_bytes"]),
            retention_days=cache.whole("retention_days", base.retention_days, *_WHOLE["retention_days"]),
            compression=cache.flag("compression", base.compression),
            durability=cast("Durability", cache.choice("durability", base.durability, DURABILITIES)),
            enabled=sync.flag("enabled", base.enabled),
            batch_size=sync.whole("batch_size", base.batch_size, *_WHOLE["batch_size"]),
            interval_s=sync.number("interval_seconds", base.interval_s, *_NUMBERS["interval_s"]),
            retry_max=sync.whole("retry_max", base.retry_max, *_WHOLE["retry_max"]),
            backoff_base=sync.number("retry_backoff_base", base.backoff_base, *_NUMBERS["backoff_base"]),
            hub_url=hub.text("url", base.hub_url),
            token_file=folder / Path(token).expanduser() if token else base.token_file,
        )
    except BadInput as error:
        if str(error).startswith(str(file.where)):
            raise
        raise BadInput(f"{file.where}: {error.message}", hint=error.hint) from None
    for section in (cache, sync, hub, file):
        section.finish()
    return settings
