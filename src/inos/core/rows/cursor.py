"""The cursor of a page: the values of its last row in the order of the list, and what the list was asked for.

It says where to go on, not how many rows to leave out: rows that come or go meanwhile neither repeat nor hide others.
It is refused for any other list.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, Final

from inos.core.errors import BadInput
from inos.core.rows.row import Query, R, from_json, to_json

# The values of a key of 200 characters, four bytes each, and of what was asked for.
_MAX_CHARACTERS: Final = 8192


def cursor_behind(query: Query[R], last: R) -> str:
    """What goes into `after` of the query for the page behind `last`."""
    values = [to_json(query.kind, name, getattr(last, name)) for name in query.chosen().fields]
    return urlsafe_b64encode(json.dumps([*_asked(query), values]).encode()).decode()


def parse_cursor(query: Query[R]) -> list[Any]:
    """The values, in the fields of the query's order, behind which its page begins. Raises BadInput for what is no
    cursor, or that of another list."""
    wrong = BadInput("the cursor is not one of this list", hint="give the 'next' of the page before, or none")
    if len(query.after) > _MAX_CHARACTERS:
        raise wrong
    fields = query.chosen().fields
    try:
        *asked, values = json.loads(urlsafe_b64decode(query.after.encode()))
        if asked != _asked(query) or len(values) != len(fields):
            raise wrong
        return [from_json(query.kind, name, value) for name, value in zip(fields, values, strict=True)]
    except (ValueError, TypeError, BadInput, RecursionError):
        raise wrong from None


def _asked(query: Query[R]) -> list[Any]:
    order = query.chosen()
    equals = to_json(query.kind, order.equals, query.equals) if order.equals else None
    return [query.kind.KIND, order.name, equals, query.descending]
