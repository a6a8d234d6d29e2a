"""The SLA service's core: the deterministic state machine of one workspace's clocks.

See `shared.contracts.core.Core`. Inputs: interactions and routing events, PutResource and
DeleteResource commands, configuration of the router (queues), timers, BEHIND and LIVE.
"""

from collections.abc import Iterable
from operator import attrgetter

import msgspec

from services.sla.domain.agents import KIND as AGENT
from services.sla.domain.agents import Desk
from services.sla.domain.alarms import Alarm
from services.sla.domain.commands import (
    COMMANDS,
    Command,
    DeleteResource,
    MigratePolicy,
    PutResource,
)
from services.sla.domain.conversation import Live
from services.sla.domain.hearing import Hearing
from services.sla.domain.meta import KIND as META
from services.sla.domain.moves import Move, Moves, Portion
from services.sla.domain.resting import KIND as CONVERSATION
from services.sla.domain.resting import Resting
from services.sla.domain.running import Running
from shared.contracts.core import BEHIND, LIVE, Entity, Input, Outcome
from shared.contracts.problems import invalid

VERSION = "6"
ALARM = "alarm"  # lifecycle input: what the watch over promises has found
_JSON = msgspec.json.Encoder()
_place = attrgetter("kind", "key")


class SlaCore:
    """One workspace. `conversations`: the ids of those that are open or were lately. `portion`: how much
    of a migration one input does."""

    def __init__(self, workspace: str, seed: int, portion: Portion = Portion()) -> None:
        self.workspace = workspace
        self._running = running = Running(workspace)
        self.library = running.library
        self.conversations = self._lives = running.lives
        self._common = running.common
        self._hearing = Hearing(running)
        self._resting = Resting(running)
        self._moves = Moves(self.library, portion)
        self._lives.view, self._lives.begun = self._moves.view, self._moves.begun
        agents, begun = self._hearing.agents, running.episodes.begun
        self._parts = (self.library, self._common, running.paces, begun, agents, self._resting)

    def write_no_rows(self) -> None:
        """For who reads the journal alone, as a simulation does."""
        self._running.writes = False

    @property
    def now_us(self) -> int:
        """Of the last input."""
        return self._running.now_us

    @property
    def last_seq(self) -> int:
        return self._common.seq

    def apply(self, now_us: int, number: int, what: Input) -> Outcome:
        if not self._resting.fresh:
            self._resting.take_in_loaded()
        command = self._command(what) if what.kind == "command" else None
        outcome = self._running.begin(now_us)
        if not self._common.behind:
            self._running.ring()
            self._move_some()
        if what.kind == "event":
            self._hearing.take(what)
        elif command is not None:
            self._obey(command)
        elif what.kind == "config":
            self._take_config(what)
        elif what.kind == "lifecycle" and what.name in (BEHIND, LIVE):
            self._turn(what.name == BEHIND)
        elif what.kind == "lifecycle" and what.name == ALARM:
            self._alarm(msgspec.json.decode(what.body, type=Alarm))
        self.library.tidy()
        return outcome

    def wake_at_us(self) -> int | None:
        if not self._resting.fresh:
            self._resting.take_in_loaded()
        if self._common.behind:
            return None
        return self.now_us if self._moves.planned else self._running.agenda.first_us()

    def changes(self) -> list[Entity]:
        return sorted([one for part in self._parts for one in part.changes()], key=_place)

    def load(self, entities: Iterable[Entity]) -> None:
        for entity in self.library.load(entities):
            if entity.body is not None and entity.open:
                self._load(entity)

    def dump(self) -> list[Entity]:
        return sorted([one for part in self._parts for one in part.dump()], key=_place)

    def _load(self, entity: Entity) -> None:
        if entity.kind == META:
            self._common.load(entity)
            self._moves.load(self._common.moves, self._common.edition)
            self.library.queues = self._common.queues
        elif entity.kind == "pace":
            self._running.paces.load(entity)
        elif entity.kind == "begun":
            self._running.episodes.begun.load(entity)
        elif entity.kind == AGENT:
            self._hearing.agents.load(entity)
        elif entity.kind == CONVERSATION:
            self._resting.load(entity)

    # What is read.

    @property
    def alarms(self) -> list[Alarm]:
        """The promises that burn now."""
        return self._common.alarms

    @property
    def edges(self) -> tuple[int, ...]:
        """Of the histograms that figures are made of, ascending."""
        return self._common.edges

    def desk(self, agent_id: str) -> Desk | None:
        """What is known of an agent; None where nothing is."""
        return self._hearing.agents.desk(agent_id)

    def lives(self, conversation_id: str) -> list[Live]:
        """The episodes of a conversation in memory, oldest first."""
        if not self._resting.fresh:
            self._resting.take_in_loaded()
        return self._lives.get(conversation_id, [])

    # Commands and configuration.

    def _command(self, what: Input) -> Command:
        kind = COMMANDS.get(what.name)
        if kind is None:
            raise invalid("", "unknown_command", f"unknown command {what.name!r}")
        command = msgspec.json.decode(what.body, type=kind)
        self.library.check(command)
        return command

    def _obey(self, command: Command) -> None:
        done, now_us = self._running.outcome, self.now_us
        if isinstance(command, PutResource):
            done.reply, done.config = self.library.put(command)
        elif isinstance(command, DeleteResource):
            done.reply, done.config = self.library.delete(command)
        else:
            if isinstance(command, MigratePolicy):
                reply = self._moves.migrate(command, self._lives, now_us)
            else:
                reply, done.config = self._moves.renew(command, self._lives, now_us)
            done.reply = _JSON.encode(reply)
            self._common.plan(self._moves.planned, self._moves.edition)
        self.library.forget()

    def _move_some(self) -> None:
        if self._moves.planned and self._moves.portion(self._lives, self._move_one):
            self._common.plan(self._moves.planned, self._moves.edition)

    def _move_one(self, move: Move, name: str) -> None:
        def carry_out() -> bool:
            lives = self._lives.get(name, [])  # none: it was due to be put away
            self._moves.carry_out(move, name, lives, self.now_us)
            return False

        self._running.hear(name, carry_out, moved=True)

    def _turn(self, behind: bool) -> None:
        self._common.turn(behind=behind)
        if not behind:
            self._running.ring()

    def _take_config(self, what: Input) -> None:
        if what.name == "queue":
            self._running.outcome.rows += self._common.take_queue(what.body)
            self.library.queues = self._common.queues

    def _alarm(self, alarm: Alarm) -> None:
        event = self._common.alarm(alarm, self.now_us)
        if event is not None:
            self._running.outcome.events.append(event)
            self._running.outcome.touched.append("alarms")


class SlaFactory:
    """Makes the cores of the SLA service."""

    service = "sla"
    version = VERSION

    def create(self, workspace: str, seed: int) -> SlaCore:
        return SlaCore(workspace, seed)

    def heeds(self, event_type: str) -> bool:
        """Offers are the router's affair."""
        return not event_type.startswith("routing.offer.")
