"""Every error a user or a peer can be shown, as one tree.

    InosError
      BadInput          400  what the caller gave is wrong; repeating it will not help
        BadReference         a reference, cid or name that does not parse
        BadTicket            a ticket that is garbled, expired, or used up
        BadFrame             bytes from outside that do not decode, or exceed their bound
      Refused           401/403  the caller is not allowed: no token, wrong passphrase, not a member
        Unauthorised         no token, or not the right one
        WrongPassphrase
        NotAMember
      NotFound          404  no such object, name, node
        NoNode               no node runs on this data root (found by clients, never sent)
      Conflict          409  the state does not allow it: data root locked, port in use, already a member
        Locked
      TooLarge          413  over a stated limit
      Busy              429  over a rate limit; retry later
      Corrupt           500  our own bytes fail their check
      Unavailable       503  peers are missing or silent; retry later
        PeerUnavailable
        NotEnoughNodes
      NewerFormat       500  written by a newer release; left untouched
      StorageFull       507  disk or quota full; nothing was written

Each carries a stable `code` (for programs), a message (what was wrong) and a hint (what to do next). Errors cross the
wire as (code, message, retryable) and come back as the class registered for that code.
"""

from __future__ import annotations

import copy
from typing import ClassVar, Self


class InosError(Exception):
    """Base of the tree. `code` is stable across releases; `hint` says what to do next."""

    code: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message

    def again(self) -> Self:
        """The same error for somebody else, with all it says: a traceback grows wherever an exception passes."""
        return copy.copy(self)


class BadInput(InosError):
    code = "bad_input"
    http_status = 400


class BadReference(BadInput):
    code = "bad_reference"


class BadTicket(BadInput):
    code = "bad_ticket"


class BadFrame(BadInput):
    """Bytes from outside that do not decode, or exceed their bound."""

    code = "bad_frame"


class Refused(InosError):
    code = "refused"
    http_status = 403


class Unauthorised(Refused):
    code = "unauthorised"
    http_status = 401


class WrongPassphrase(Refused):
    code = "wrong_passphrase"


class NotAMember(Refused):
    code = "not_a_member"


class NotFound(InosError):
    code = "not_found"
    http_status = 404


class NoNode(NotFound):
    code = "no_node"


class Conflict(InosError):
    code = "conflict"
    http_status = 409


class Locked(Conflict):
    code = "locked"


class TooLarge(InosError):
    code = "too_large"
    http_status = 413


class Busy(InosError):
    """Over a limit for now; `retry_after_s` says when to come again."""

    code = "busy"
    http_status = 429
    retryable = True

    def __init__(self, message: str, *, hint: str = "", retry_after_s: float = 1.0) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class Corrupt(InosError):
    code = "corrupt"


class NewerFormat(InosError):
    code = "newer_format"


class Unavailable(InosError):
    code = "unavailable"
    http_status = 503
    retryable = True


class PeerUnavailable(Unavailable):
    code = "peer_unavailable"


class NotEnoughNodes(Unavailable):
    code = "not_enough_nodes"


class StorageFull(InosError):
    code = "storage_full"
    http_status = 507
    retryable = True


def _tree(root: type[InosError]) -> dict[str, type[InosError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found.update(_tree(child))
    return found


def from_wire(code: str, message: str, hint: str = "") -> InosError:
    """The error a peer or the node's API reported, as the class of its code (unknown codes become InosError)."""
    return _tree(InosError).get(code, InosError)(message, hint=hint)
