"""How a query finds its rows, and the SQL of it. Plain functions; counting is left to whoever has a cursor.

Three ways: along a table kept for it, for what may change (state) and for time; by the index of words, for words and
for what never changes; or row by row, as everything behind what is indexed (`indexed_seq`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from inos.core.messages.marks import STATES
from inos.core.messages.message import MAX_TIME_MS
from inos.core.messages.query import MessageQuery
from inos.messages.labels import asked_label, asked_priority, asked_word
from inos.messages.sqlite_schema import ARCHIVED, BLOCK_BITS
from inos.store.cursor import Cursor, SqlValue, one

# How far rows are counted to choose between indices: 1,000 entries of an index take 60 us.
PROBE: Final = 1_000
_MAX_SEQ: Final = (1 << 63) - 1
_FIELDS: Final = ("task", "recipient", "agent", "role", "kind")

Count = Callable[[str, Sequence[SqlValue]], int]


@dataclass(frozen=True, slots=True)
class Clause:
    """A condition, and what finds what meets it: a table by the name of `index` and the same condition on it, or a
    question to the index of words."""

    sql: str
    values: tuple[SqlValue, ...]
    index: str = ""
    on_index: str = ""
    ordered: bool = True
    """Whether the table gives rows in the order of seq."""
    arms: tuple[tuple[str, SqlValue], ...] = ()
    """The same on it as several conditions of one value each, so that rows come in order where it alone has none."""
    asked: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do: rows with low <= seq <= high that meet `clauses`, found through the first of them where that has an
    `index`, else by `asked`, a question to the index of words, where that says something. `count`: how many the first
    one finds, PROBE or more being PROBE."""

    clauses: tuple[Clause, ...]
    low: int
    high: int
    order: str
    limit: int
    count: int
    index: str = ""
    asked: str = ""
    times: tuple[int, int] | None = None

    @property
    def newest_first(self) -> bool:
        """The way the rows are walked."""
        return self.order != "oldest"

    def above(self, seq: int) -> Plan:
        """The part behind `seq`, to be gone through row by row."""
        return replace(self, low=max(self.low, seq + 1), index="", times=None)

    def up_to(self, seq: int) -> Plan:
        """The part that ends with `seq`."""
        return replace(self, high=min(self.high, seq))


def clauses_of(query: MessageQuery) -> list[Clause]:
    """Everything a query names, but its words and its cursor."""
    found = [
        Clause(f"{name} = ?", (value,), asked=asked_label(name, value))
        for name in _FIELDS
        if (value := getattr(query, name))
    ]
    if query.priority:
        found.append(Clause("priority >= ?", (query.priority,), asked=asked_priority(query.priority)))
    if query.state == "open":
        arms = tuple(("reached = ?", value) for value in range(ARCHIVED))
        found.append(Clause(f"state < {ARCHIVED}", (), "states", f"reached < {ARCHIVED}", ordered=False, arms=arms))
    elif query.state:
        found.append(Clause("state = ?", (STATES.index(query.state),), "states", "reached = ?"))
    if _has_times(query):
        values, on_index = (query.since_ms, query.until_ms), "written_ms >= ? AND written_ms < ?"
        found.append(Clause("time_ms >= ? AND time_ms < ?", values, "times", on_index, ordered=False))
    return found


def _has_times(query: MessageQuery) -> bool:
    return query.since_ms > 0 or query.until_ms < MAX_TIME_MS


def limits(query: MessageQuery, cursor: Cursor) -> tuple[int, int]:
    """The first and the last seq that can be meant, by the query's cursor and its span of time."""
    low, high = 1, _MAX_SEQ
    if query.after and query.order == "newest":
        high = min(high, int(query.after) - 1)
    elif query.after and query.order == "oldest":
        low = min(_MAX_SEQ, int(query.after)) + 1
    if _has_times(query):
        sql = "SELECT min(block), max(block) FROM spans WHERE most_ms >= ? AND least_ms < ?"
        first_block, last_block = one(cursor.execute(sql, (query.since_ms, query.until_ms)))
        if first_block is None:
            return 1, 0
        low = max(low, first_block << BLOCK_BITS)
        high = min(high, (last_block + 1 << BLOCK_BITS) - 1)
    return low, high


def driver_for(query: MessageQuery, words: Sequence[str], count: Count, bounds: tuple[int, int]) -> Plan | None:
    """The plan of a query that has these words; None where nothing can be meant."""
    low, high = bounds
    if low > high:
        return None
    clauses = clauses_of(query)
    counts = {each: _counted(each, low, high, count) for each in clauses if each.index}
    asked = " AND ".join([*(each.asked for each in clauses if each.asked), *map(asked_word, words)])
    # An index that is not in the order of seq will do only where all it finds is little.
    usable = [each for each in counts if counts[each] < PROBE or ((each.ordered or each.arms) and not asked)]
    times = (query.since_ms, query.until_ms) if _has_times(query) and not asked else None
    if not usable:
        return Plan(tuple(clauses), low, high, query.order, query.limit, PROBE, "", asked, times)
    best = min(usable, key=counts.__getitem__)
    ordered = (best, *(each for each in clauses if each is not best))
    return Plan(ordered, low, high, query.order, query.limit, counts[best], best.index, asked)


def _counted(clause: Clause, low: int, high: int, count: Count) -> int:
    bounds = "" if not clause.ordered else " AND seq BETWEEN ? AND ?"
    values = clause.values if not clause.ordered else (*clause.values, low, high)
    sql = f"SELECT 1 FROM {clause.index} WHERE {clause.on_index}{bounds} LIMIT {PROBE}"
    return count(f"SELECT count(*) FROM ({sql})", values)


def page_sql(plan: Plan, columns: str) -> tuple[str, list[SqlValue]]:
    """The rows of a plan in order, all of them, without the index of words: whoever reads stops when it has enough."""
    way = "DESC" if plan.newest_first else "ASC"
    if plan.times is not None:
        return _by_blocks(plan, columns, way)
    rest = list(plan.clauses)
    driver = rest.pop(0) if plan.index else Clause("", (), on_index="1")
    source = f"{plan.index} CROSS JOIN messages USING (seq)" if plan.index else "messages NOT INDEXED"
    sqls: list[str] = []
    values: list[SqlValue] = []
    conditions: list[tuple[str, tuple[SqlValue, ...]]] = [(sql, (value,)) for sql, value in driver.arms]
    for sql, own in conditions or [(driver.on_index, driver.values)]:
        where = " AND ".join([sql, "seq BETWEEN ? AND ?", *(each.sql for each in rest)])
        sqls.append(f"SELECT {columns} FROM {source} WHERE {where}")
        values += [*own, plan.low, plan.high, *(value for each in rest for value in each.values)]
    return f"{' UNION ALL '.join(sqls)} ORDER BY seq {way}", values


def _by_blocks(plan: Plan, columns: str, way: str) -> tuple[str, list[SqlValue]]:
    """A walk over the blocks in which something was written in that time."""
    assert plan.times is not None
    first_seq = f"max(spans.block << {BLOCK_BITS}, ?)"
    last_seq = f"min((spans.block + 1 << {BLOCK_BITS}) - 1, ?)"
    where = " AND ".join(each.sql for each in plan.clauses)
    sql = (
        f"SELECT {columns} FROM spans CROSS JOIN messages"
        f" WHERE most_ms >= ? AND least_ms < ? AND spans.block BETWEEN ? AND ?"
        f" AND seq BETWEEN {first_seq} AND {last_seq} AND {where}"
        f" ORDER BY spans.block {way}, seq {way}"
    )
    blocks = (plan.low >> BLOCK_BITS, plan.high >> BLOCK_BITS)
    values = [*plan.times, *blocks, plan.low, plan.high, *(value for each in plan.clauses for value in each.values)]
    return sql, values


def search_sql(plan: Plan, columns: str) -> tuple[str, list[SqlValue]]:
    """The rows of a plan in order, by the index of words."""
    way = "DESC" if plan.newest_first else "ASC"
    rest = [each for each in plan.clauses if not each.asked]
    conditions = "".join(f" AND {each.sql}" for each in rest)
    values = [plan.asked, plan.low, plan.high, *(value for each in rest for value in each.values)]
    sql = (
        f"SELECT {columns} FROM words CROSS JOIN messages ON messages.seq = words.rowid"
        f" WHERE words MATCH ? AND words.rowid BETWEEN ? AND ?{conditions} ORDER BY words.rowid {way}"
    )
    return sql, values
