"""Known classes of faults, each to be put back into the code one at a time, and what catches it (see `mutation.py`)."""

from __future__ import annotations

from typing import Final

from inos.sim.mutations.members import MEMBER_MUTATIONS
from inos.sim.mutations.messages import MESSAGE_MUTATIONS
from inos.sim.mutations.mutation import Mutation
from inos.sim.mutations.objects import OBJECT_MUTATIONS
from inos.sim.mutations.tables import TABLE_MUTATIONS

MUTATIONS: Final[dict[str, Mutation]] = {
    mutation.name: mutation for mutation in (*OBJECT_MUTATIONS, *TABLE_MUTATIONS, *MEMBER_MUTATIONS, *MESSAGE_MUTATIONS)
}
