"""The production cores that the simulation plays with."""

from services.router.domain import invariants, views
from services.router.domain.core import RouterFactory
from services.sla.domain.core import SlaFactory
from shared.testing.simulation.hosts import Parts

PARTS = Parts(
    factories=(RouterFactory, SlaFactory),
    work=lambda core, agent: views.work(core, agent)[1],
    wrong=invariants.check,
)
