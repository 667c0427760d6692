"""What is known of messages besides their content."""

from __future__ import annotations

import dataclasses

from inos.core.rows.personal import MessageInfo, MessageState
from inos.store.repositories.repository import JSON_TEXT, Repository


class Messages(Repository[MessageInfo]):
    """One row for each message."""

    kind = MessageInfo
    table = "messages"
    forms = {"meta": JSON_TEXT}

    def mark(self, message_id: str, state: MessageState) -> MessageInfo:
        """Give a message another state. NotFound."""
        return self.update(message_id, lambda row: dataclasses.replace(row, state=state))
