"""What a data root and the options of `inos up` say of messages, as the node takes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from inos.core.options import UpOptions
from inos.messages.hub_config import load_hub_config
from inos.node.messaging import MessageSettings

if TYPE_CHECKING:
    from inos.messages.desk_outboxes import OutboxSettings


def message_settings(options: UpOptions) -> MessageSettings:
    """Raises BadInput for a hub.yaml that is wrong. Blocks."""
    config = load_hub_config(options.home)

    return MessageSettings(
        wish=options.hub,
        hook=config.hook,
        snapshot_s=config.snapshot_s,
        store=config.store_name,
        outbox=lambda agent: _outbox_settings(agent, options.home),
    )


def _outbox_settings(agent: str, home: Path) -> OutboxSettings:
    """How the cache of an agent is kept that this node holds: as its file says, or the node's."""
    from inos.messages.config import load_settings  # with the first message of an agent
    from inos.messages.desk_outboxes import OutboxSettings

    settings = load_settings(agent, home)
    return OutboxSettings(settings.limits(), settings.pace())
