"""Processes that do not outlive the one that began them."""

import os
import threading
from multiprocessing import parent_process


def end_with_parent() -> None:
    """For a process of `multiprocessing`, once: it ends when its parent has, however that ended."""
    threading.Thread(target=_wait, daemon=True).start()


def _wait() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
