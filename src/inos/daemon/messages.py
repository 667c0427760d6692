"""What a data root and the options of `inos up` say of messages, as the node takes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from inos.core.env import Env
from inos.core.options import UpOptions
from inos.crypto.derive import Keyring
from inos.messages.corpus import Corpus
from inos.messages.hub_config import SQLITE, load_hub_config
from inos.node.disk import Disk
from inos.node.messaging import MessageSettings, open_sqlite

if TYPE_CHECKING:
    from inos.messages.desk_outboxes import OutboxSettings


def message_settings(options: UpOptions) -> MessageSettings:
    """Raises BadInput for a hub.yaml that is wrong. Blocks."""
    config = load_hub_config(options.home)

    def open_corpus(disk: Disk, keyring: Keyring, env: Env) -> Corpus:
        return open_sqlite(disk, keyring, env) if config.store == SQLITE else _open_postgres(config.store, env)

    return MessageSettings(
        wish=options.hub,
        hook=config.hook,
        snapshot_s=config.snapshot_s,
        store=config.store_name,
        agent_rate=config.agent_rate,
        open_corpus=open_corpus,
        outbox=lambda agent: _outbox_settings(agent, options.home),
    )


def _open_postgres(url: str, env: Env) -> Corpus:
    from inos.messages.postgres_corpus import PostgresCorpus  # its driver costs memory that most hubs need not spend

    return PostgresCorpus(url, env)


def _outbox_settings(agent: str, home: Path) -> OutboxSettings:
    """How the cache of an agent is kept that this node holds: as its file says, or the node's."""
    from inos.messages.config import load_settings  # with the first message of an agent
    from inos.messages.desk_outboxes import OutboxSettings

    settings = load_settings(agent, home)
    return OutboxSettings(settings.limits(), settings.pace())
