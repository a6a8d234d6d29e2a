"""What reading costs: CPU time of the call alone, without what the collector of garbage takes for others."""

import gc
import time
from collections.abc import Callable


def cpu_s(call: Callable[[], object]) -> float:
    """Seconds of CPU time. A full collection, in a process that has run many tests, takes longer than
    most of what is measured with it."""
    gc.disable()
    try:
        started = time.process_time()
        call()
        return time.process_time() - started
    finally:
        gc.enable()
