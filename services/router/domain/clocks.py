"""What the SLA service says of a task's clocks: due instants (order `deadline`, the work snapshot)
and the warnings and breaches that ladders act on."""

import msgspec

from services.router.domain import ladders, membership, withdrawals
from services.router.domain.state import OPEN, SEEKING, ClockNote, Task
from services.router.domain.workspace import Workspace
from shared.contracts import sla
from shared.contracts.instants import parse_instant

_DECODERS = {name: msgspec.json.Decoder(struct) for name, struct in sla.TYPES.items()}
_ENDED = ("sla.clock.met.v1", "sla.clock.missed.v1", "sla.clock.cancelled.v1")
_RUNNING = ("running", "paused")
_RESUMED = "sla.clock.resumed.v1"
CLOCKS_MAX = 50


def on_event(ws: Workspace, name: str, body: bytes) -> None:
    """Apply one `sla.*` event; one of an unknown type or of no open task is passed over. So is one of
    a clock that is not bound yet, since whose it becomes is not known: its bond tells what it was."""
    decoder = _DECODERS.get(name)
    if decoder is None:
        return
    event: sla.SlaEvent = decoder.decode(body)
    task = _task_of(ws, event)
    if task is None:
        return
    due_before = _due(task)
    _note(ws, task, event, name)
    if task.state not in OPEN:
        return
    if task.state in SEEKING and _due(task) != due_before:
        membership.enter(ws, task)
    if isinstance(event, sla.ClockCorrected) and event.withdrawn is not None:
        withdrawals.review(ws, task)
    ladders.review(ws, task)


def _task_of(ws: Workspace, event: sla.SlaEvent) -> Task | None:
    """One that may be reopened is followed too: the clocks that run on are its own again then."""
    task = ws.tasks.get(event.task_id or "")
    known = task is not None and (task.state in OPEN or task.id in ws.reopenable)
    return task if known else None


def _due(task: Task) -> list[int | None]:
    return [note.due_us for note in task.clocks if not note.ended]


def _note(ws: Workspace, task: Task, event: sla.SlaEvent, name: str) -> None:
    ws.task(task)
    note = next((note for note in task.clocks if note.clock_id == event.clock_id), None)
    if note is None:
        note = ClockNote(event.clock_id, event.metric)
        task.clocks = [*task.clocks[1 - CLOCKS_MAX :], note]
    note.due_us = parse_instant(event.due_at) if event.due_at else None
    note.ended = name in _ENDED or (note.ended and name != _RESUMED)
    if isinstance(event, sla.ClockBound):
        note.warned, note.breached = event.warned, event.breached
        note.ended = event.state not in _RUNNING
    if isinstance(event, sla.ClockWarning):
        note.warned = max(note.warned, event.level)
    if isinstance(event, sla.ClockBreached):
        note.breached = True
    if isinstance(event, sla.ClockCorrected):
        _correct(note, event)


def _correct(note: ClockNote, event: sla.ClockCorrected) -> None:
    if event.withdrawn == "breached":
        note.breached = False
    elif event.withdrawn == "warning":
        note.warned = event.level or 0.0
