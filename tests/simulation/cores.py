"""The production cores that the simulation plays with."""

from services.router.domain import invariants, views
from services.router.domain.core import RouterCore, RouterFactory
from services.router.domain.state import OPEN
from services.sla.domain.core import SlaFactory
from shared.contracts.core import Core
from shared.testing.simulation.hosts import Heard, Parts


def heard(core: Core) -> dict[tuple[str, str], Heard]:
    assert isinstance(core, RouterCore)
    return {
        (task.id, note.clock_id): (
            Heard(note.due_us) if task.cycle > 1 else Heard(note.due_us, note.warned, note.breached)
        )
        for task in core.tasks.values()
        if task.state in OPEN
        for note in task.clocks
        if not note.ended
    }


PARTS = Parts(
    factories=(RouterFactory, SlaFactory),
    work=lambda core, agent: views.work(core, agent)[1],
    wrong=invariants.check,
    heard=heard,
)
