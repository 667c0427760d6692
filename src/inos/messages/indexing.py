"""When a corpus indexes what came in: a decision, as a plain function of what is seen of it.

Many messages indexed together cost each of them a fraction of what a few do, and a search goes through those that wait
meanwhile. So they wait until they are as many as the corpus likes to take at a time, or until nothing comes any more.
"""

from __future__ import annotations

from typing import Final

from inos.messages.corpus import CorpusStats

# A message every few seconds, each indexed by itself, would cost a hundred times as much as all of them together.
QUIET_S: Final = 10.0


class Pacing:
    """Of one corpus, which takes `index_from` messages at a time."""

    def __init__(self, index_from: int) -> None:
        self._index_from = index_from
        self._last_seq = -1
        self._since_s = -QUIET_S

    def is_due(self, stats: CorpusStats, now_s: float) -> bool:
        """Whether to index now; what was left when the corpus was opened, at once."""
        if stats.last_seq != self._last_seq:
            first = self._last_seq < 0
            self._last_seq, self._since_s = stats.last_seq, now_s - (QUIET_S if first else 0)
        waits = stats.unindexed
        return waits >= self._index_from or (waits > 0 and now_s - self._since_s >= QUIET_S)
