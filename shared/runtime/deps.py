"""What all shards of one replica share."""

import msgspec

from shared.bus.port import Bus
from shared.contracts.core import CoreFactory
from shared.runtime.clock import Clock
from shared.runtime.limits import Limits
from shared.runtime.metrics import RuntimeMetrics
from shared.runtime.port import EnrichConfig
from shared.runtime.store.port import Store
from shared.runtime.watches import Watches


class Deps(msgspec.Struct, frozen=True):
    """Made once by `Runtime`."""

    factory: CoreFactory
    bus: Bus
    store: Store
    clock: Clock
    limits: Limits
    metrics: RuntimeMetrics
    watches: Watches
    enrich: EnrichConfig | None = None
