"""A random life of a workspace's clocks in which everything happens: for tests that let it happen twice.

`python -m tests.unit.sla_life [--seeds 100] [--steps 300]` prints a digest of all that the core answers and
stores, for each seed: two releases that print the same do the same.
"""

import argparse
import hashlib
from collections import deque
from functools import cache
from random import Random
from typing import Any

import msgspec

from services.sla.domain.core import SlaCore, SlaFactory
from services.sla.domain.views import accounted
from shared.calendars import expand
from shared.contracts.core import BEHIND, LIVE, Input
from shared.contracts.instants import format_instant, parse_instant
from shared.contracts.problems import Refused

S = 1_000_000
DAY_S = 86_400
T0 = parse_instant("2026-11-23T07:00:00Z")
CONVERSATIONS = 14
CHANNELS = ("chat", "email", "phone")
QUEUES = ("billing", "sales", "night")
AGENTS = ("ana", "ben", "cleo")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
CALENDARS: dict[str, dict[str, Any]] = {
    "always": {"timezone": "UTC", "always_open": True},
    "office": {"timezone": "Europe/Berlin", "hours": dict.fromkeys(DAYS[:5], [["08:00", "18:00"]])},
    "night": {"timezone": "UTC", "hours": dict.fromkeys(DAYS, [["22:00", "06:00"]])},
}
# Other hours that a calendar may be given, by an edit or by a renewal.
OTHERS: dict[str, dict[str, Any]] = {
    "always": {"timezone": "UTC", "hours": dict.fromkeys(DAYS, [["00:00", "23:00"]])},
    "office": {"timezone": "Europe/Berlin", "hours": dict.fromkeys(DAYS, [["08:30", "17:00"]])},
    "night": {"timezone": "UTC", "hours": dict.fromkeys(DAYS, [["21:00", "05:00"]])},
}
SECONDS = (20, 60, 90, 240, 900, 3_600, 30_000)
METRICS = ("first_response", "next_response", "periodic_update", "first_resolution", "resolution",
           "time_to_assign", "customer_wait", "agent_work")  # fmt: skip
PAUSES = ("task.held", 'task.state == "wrapping"', 'task.hold_reason == "waiting_on_customer"')
WHENS = (
    None, None, 'task.channel == "chat"', "task.priority >= 5", 'task.queue == "billing"',
    'customer.tier == "gold"', 'task.attributes.topic == "invoice"', 'task.language == "de"',
)  # fmt: skip
CONDITIONS = (
    ('event.type == "assigned"', 'event.type == "agent_message"'),
    ('event.type == "customer_message"', 'task.state == "assigned"'),
    ("task.held", "!task.held"),
)
MOVES = (
    "assigned", "assigned", "assigned", "held", "resumed", "requeued", "transferred", "queued",
    "priority_changed", "wrapping", "completed", "completed", "cancelled", "estimate",
)  # fmt: skip


@cache
def expanded(calendar: str, other: bool, days: int) -> Any:
    body = {"id": calendar, **(OTHERS if other else CALENDARS)[calendar]}
    return msgspec.to_builtins(expand(body, T0, days * DAY_S * S, 10 * DAY_S * S))


class Life:
    """Begin it, then `step` as often as wanted; what the core did is in `told`, its inputs with that in
    `log`, what it stored in `stored`. `moves`: policies are migrated and calendars renewed; `core`: one
    with other limits."""

    def __init__(self, seed: int, *, moves: bool = True, core: SlaCore | None = None) -> None:
        self.chance = Random(seed)
        self.core = core or SlaFactory().create("acme", 1)
        self._moves = moves
        self.now_us, self.number, self.seq, self.said = T0, 0, 0, 0
        self.told: list[bytes] = []
        self.log: list[tuple[int, int, Input, bytes]] = []
        self.stored: dict[tuple[str, str], bytes] = {}
        self._interactions: deque[Input] = deque()
        self._routing: deque[Input] = deque()
        self._heard: list[Input] = []
        self._tasks: dict[str, tuple[str, bool]] = {}  # by conversation: the last, whether open
        self._behind = False
        self._number = 0
        if self.chance.random() < 0.9:
            self._open()

    def _open(self) -> None:
        for name in CALENDARS:
            self._put_calendar(name)
        for queue in QUEUES:
            self._configure_queue(queue)
        for number in range(self.pick(0, 1, 1, 2, 3)):
            self._put_policy(f"p{number}")

    def step(self) -> None:
        draw = self.chance.random()
        if draw < 0.2:
            self._customer_writes()
        elif draw < 0.3:
            self._we_write()
        elif draw < 0.5:
            self._task_moves()
        elif draw < 0.77:
            self._bus_delivers()
        elif draw < 0.9:
            self._time_passes()
        elif draw < 0.94:
            self._something_rare()
        else:
            self.keep()

    def pick(self, *of: Any) -> Any:
        return self.chance.choice(of)

    def put(self, what: Input) -> None:
        self.number += 1
        try:
            outcome = self.core.apply(self.now_us, self.number, what)
        except Refused as refusal:
            self.number -= 1
            self.told.append(repr(refusal.kind).encode())
            return
        self.told.append(msgspec.json.encode(outcome))
        self.log.append((self.now_us, self.number, what, self.told[-1]))

    def keep(self) -> None:
        """As a commit does, and who reads."""
        changes = self.core.changes()
        self.told.append(
            msgspec.msgpack.encode([changes, self.core.wake_at_us(), self.core.last_seq])
        )
        for one in changes:
            if one.body is None or not one.open:
                self.stored.pop((one.kind, one.key), None)
            else:
                self.stored[one.kind, one.key] = one.body
        name = self.pick(*self._names())
        self.told.append(msgspec.json.encode(accounted(self.core, name, self.now_us)))

    def _names(self) -> list[str]:
        return [f"cnv_{number}" for number in range(CONVERSATIONS)]

    # What is said.

    def _customer_writes(self) -> None:
        name = self.pick(*self._names())
        channel = CHANNELS[int(name[4:]) % 3]
        event = self._say(name, channel, "customer")
        task, is_open = self._tasks.get(name, ("", False))
        if is_open:
            self._tell(name, task, "message", event_id=event)
        elif task and self.chance.random() < 0.4:
            self._tasks[name] = (task, True)
            self._tell(name, task, "reopened", event_id=event)
        else:
            self._create(name, channel, event)

    def _create(self, name: str, channel: str, event: str | None) -> None:
        self._number += 1
        task = f"tsk_{self._number}"
        self._tasks[name] = (task, True)
        more: dict[str, Any] = {"waiting_since": self._at(self.now_us - 2 * S)}
        if self.chance.random() < 0.5:
            more["customer"] = {"id": "k", "tier": self.pick("gold", "plain"), "attributes": {}}
        topic = self.pick("invoice", "other")
        self._tell(
            name, task, "created", event_id=event, channel=channel, queue=self.pick(*QUEUES, None),
            priority=self.pick(0, 3, 5, 7.5), language=self.pick("de", None),
            attributes={"topic": topic}, **more,
        )  # fmt: skip

    def _we_write(self) -> None:
        name = self.pick(*self._names())
        task, is_open = self._tasks.get(name, ("", False))
        draw = self.chance.random()
        if draw < 0.05 and not is_open:
            self._create(name, "chat", None)  # a call-back
            return
        role = "agent" if draw < 0.6 else self.pick("bot", "agent", "system", "customer")
        more: dict[str, Any] = {}
        if role == "agent" and self.chance.random() < 0.7:
            more = {"agent_id": self.pick(*AGENTS), "task_id": self.pick(task or None, None)}
        if self.chance.random() < 0.15:
            more["flags"] = [self.pick("auto_reply", "bounce", "edited")]
        if self.chance.random() < 0.05:
            more["replay_of"] = "evt_0"
        self._say(name, CHANNELS[int(name[4:]) % 3], role, **more)

    def _say(self, name: str, channel: str, role: str, **more: Any) -> str:
        self.said += 1
        event = f"evt_{self.said}"
        spoken_us = self.now_us - self.pick(0, 0, 0, S // 3, 5 * S, 100 * S, 2_000 * S, -30 * S)
        data = {
            "channel": channel, "conversation_id": name, "message_id": f"m{event}",
            "received_at": self._at(self.now_us), "author": {"role": role},
            "attributes": {"topic": self.pick("invoice", "other")}, **more,
        }  # fmt: skip
        body = msgspec.json.encode(data)
        kind = self.pick(*["interaction.message.v1"] * 9, "interaction.transcript_segment.v1")
        self._interactions.append(Input("event", kind, body, event, time_us=spoken_us))
        return event

    # What the router does.

    def _task_moves(self) -> None:
        known = [one for one in self._tasks.items() if one[1][1] or self.chance.random() < 0.1]
        if not known:
            return
        name, (task, _) = self.pick(*known)
        kind = self.pick(*MOVES)
        if kind in ("completed", "cancelled"):
            self._tasks[name] = (task, False)
        fields: dict[str, Any] = {
            "assigned": {"agent_id": self.pick(*AGENTS), "units": self.pick(None, 30.0)},
            "held": {
                "reason": self.pick("waiting_on_customer", "lunch"),
                "until": self.pick(None, self._at(self.now_us + self.pick(5, 500, 50_000) * S)),
            },
            "queued": {"queues": self.pick([], [self.pick(*QUEUES)])},
            "priority_changed": {"to": self.pick(0, 5, 9), "by": self.pick("escalation", "ana")},
            "completed": {"tags": self.pick([], ["x"], ["y", "x"]), "agent_id": "ana"},
            "cancelled": {"reason": self.pick("abandoned", "spam")},
            "estimate": {"wait_s": self.pick(None, 10, 400, 9_000)},
        }.get(kind, {})
        if kind == "transferred":
            to = self.pick({"queue": self.pick(*QUEUES)}, {"agent": self.pick(*AGENTS)})
            fields = {"to": to, "mode": self.pick("blind", "warm")}
        self._tell(name, task, kind, **fields)

    def _tell(self, name: str, task: str | None, kind: str, **more: Any) -> None:
        self.seq += 1
        data = {
            "workspace": "acme", "seq": self.seq, "at": self._at(self.now_us), "task_id": task,
            "conversation_id": name, **more,
        }  # fmt: skip
        body = msgspec.json.encode(data)
        self._routing.append(Input("event", f"routing.task.{kind}.v1", body, f"r{self.seq}"))

    def _presence(self) -> None:
        self.seq += 1
        data = {
            "workspace": "acme", "seq": self.seq, "at": self._at(self.now_us),
            "agent_id": self.pick(*AGENTS), "status": self.pick("available", "offline", "break"),
            "capacity": self.pick(None, 90.0),
        }  # fmt: skip
        body = msgspec.json.encode(data)
        self._routing.append(Input("event", "routing.agent.presence.v1", body, f"r{self.seq}"))

    def _bus_delivers(self) -> None:
        """Each topic mostly in its order; what one says of the other may come first."""
        for _ in range(self.pick(1, 3, 10)):
            source = self.pick(self._interactions, self._routing)
            if not source:
                continue
            self.now_us += self.pick(0, 1_000, 40_000)
            if source is self._interactions and self.chance.random() < 0.1:
                source.rotate(-1)
            what = source.popleft()
            self._heard.append(what)
            self.put(what)
        if self._heard and self.chance.random() < 0.1:
            self.put(self.pick(*self._heard))  # once more

    # Time, and what is rare.

    def moves_again(self) -> None:
        """A move, perhaps while an earlier one is under way."""
        if self.chance.random() < 0.4:
            self._migrate(f"p{self.chance.randrange(3)}")
        else:
            self._renew(self.pick(*CALENDARS))

    def _time_passes(self) -> None:
        self.now_us += round(self.pick(0.5, 3, 20, 60, 200, 1_000, 9_000) * S)
        if self.chance.random() < 0.03:
            self.now_us += self.pick(1, 8) * DAY_S * S
        if self.chance.random() < 0.6:
            self.put(Input("timer", "due"))

    def _something_rare(self) -> None:
        draw = self.chance.random()
        if draw < 0.2:
            self._presence()
        elif draw < 0.35:
            self._behind = not self._behind
            self.put(Input("lifecycle", BEHIND if self._behind else LIVE))
        elif draw < 0.5:
            self._put_policy(f"p{self.chance.randrange(3)}")
        elif draw < 0.6:
            self._migrate(f"p{self.chance.randrange(3)}")
        elif draw < 0.68:
            self._put_calendar(self.pick(*CALENDARS), other=self.pick(True, False))
        elif draw < 0.78:
            self._renew(self.pick(*CALENDARS))
        elif draw < 0.82:
            kind, name = self.pick(("sla_policy", "p2"), ("calendar", "night"))
            self._command("DeleteResource", resource=kind, id=name)
        elif draw < 0.88:
            self._configure_queue(self.pick(*QUEUES))
        elif draw < 0.95:
            self._feedback()
        else:
            alarm = {"queue": "billing", "metric": "first_response", "severity": "page",
                     "firing": self.pick(True, False), "goal": 0.8, "threshold_s": 20.5}  # fmt: skip
            self.put(Input("lifecycle", "alarm", msgspec.json.encode(alarm)))

    def _feedback(self) -> None:
        name = self.pick(*self._names())
        data = {"conversation_id": name, "message_id": f"f{self.number}", "channel": "chat",
                "survey": self.pick("csat", "nps", None), "score": self.pick(1, 5, None)}  # fmt: skip
        body = msgspec.json.encode(data)
        self.put(Input("event", "interaction.feedback.v1", body, "f", time_us=self.now_us))

    def _configure_queue(self, queue: str) -> None:
        calendar = self.pick(None, "office")
        promised = {"first_response": {"threshold_s": self.pick(20, 33.5), "goal": 0.8}}
        body = {
            "id": queue,
            "version": 1,
            "body": {"calendar": calendar, "service_level": promised},
        }
        self.put(Input("config", "queue", msgspec.json.encode(body)))

    # Configuration.

    def _command(self, name: str, **fields: Any) -> None:
        self.put(Input("command", name, msgspec.json.encode(fields), id="c"))

    def _put_calendar(self, name: str, *, other: bool = False) -> None:
        body = {"id": name, **(OTHERS if other else CALENDARS)[name]}
        windows = expanded(name, other, 60)
        self._command("PutResource", resource="calendar", id=name, body=body, windows=windows)

    def _migrate(self, name: str) -> None:
        mode = self.pick(None, "recompute", "forward", "reset", "proportional")
        if self._moves:
            self._command("MigratePolicy", id=name, mode=mode)

    def _renew(self, name: str) -> None:
        found = self.core.library.find("calendar", name)
        windows = expanded(name, self.pick(True, False), self.pick(60, 90))
        version = found.version if found else 1
        if self._moves:
            self._command("RenewCalendar", id=name, version=version, windows=windows, data="d")

    def _put_policy(self, name: str) -> None:
        body: dict[str, Any] = {
            "calendar": self.pick(*CALENDARS, "always"),
            "targets": {
                metric: self._target() for metric in METRICS if self.chance.random() < 0.45
            },
            "on_change": self.pick("recompute", "forward", "reset", "proportional"),
            "lateness_s": self.pick(300, 10, 10_000),
        }
        if (when := self.pick(*WHENS)) is not None:
            body["when"] = when
        if self.chance.random() < 0.3:
            body["named"] = [self._named(f"n{number}") for number in range(self.pick(1, 2))]
        if self.chance.random() < 0.2:
            body["groups"] = [{"name": "ola", "queue": "billing", **self._goal()}]
        if self.chance.random() < 0.3:
            body["calendars"] = [{"when": self.pick(*WHENS[2:]), "calendar": "office"}]
        if self.chance.random() < 0.3:
            body["notices"] = {
                "calendar": "office", "warnings": self.pick("send", "hold", "skip", None),
            }  # fmt: skip
        self._command("PutResource", resource="sla_policy", id=name, body={"id": name, **body})

    def _goal(self) -> dict[str, Any]:
        if self.chance.random() < 0.15:
            return {"target_business_days": self.pick(1, 2), "end_of_day": self.pick(True, False)}
        return {"target_s": self.pick(*SECONDS)}

    def _target(self) -> dict[str, Any]:
        found = self._goal()
        if self.chance.random() < 0.5:
            found["warn_at"] = self.pick([0.5], [0.5, 0.75], [0.8, 1.0])
        if self.chance.random() < 0.3:
            found["by_priority"] = [{"min": 5, **self._goal()}]
        if self.chance.random() < 0.2:
            found["by_channel"] = {"chat": {**self._goal(), "by_priority": []}}
        if self.chance.random() < 0.5:
            found["pause_when"] = self.pick(*PAUSES)
        if self.chance.random() < 0.3:
            found["pause_max_s"] = self.pick(5, 300)
        if self.chance.random() < 0.3:
            found["reopen"] = self.pick("continue", "new_cycle")
        if self.chance.random() < 0.2:
            found["answered_by"] = ["agent_message", self.pick("bot_message", "auto_reply")]
        if self.chance.random() < 0.2:
            found["calendar"] = self.pick(*CALENDARS)
        if self.chance.random() < 0.3:
            found["ladder"] = [
                {"name": "half", "used": 0.5, "notify": ["a"], "out_of_hours": self.pick("send", "skip")},
                {"name": "over", "used": 1.2, "notify": ["b"]},
            ]  # fmt: skip
        return found

    def _named(self, name: str) -> dict[str, Any]:
        start, stop = self.pick(*CONDITIONS)
        more = {"pause_when": self.pick(*PAUSES)} if self.chance.random() < 0.5 else {}
        return {"name": name, "start_when": start, "stop_when": stop, **self._goal(), **more}

    @staticmethod
    def _at(at_us: int) -> str:
        return format_instant(at_us)


def digest(life: Life, steps: int) -> str:
    """Of all that the core answered and stored."""
    for _ in range(steps):
        life.step()
    life.keep()
    dump = msgspec.msgpack.encode(life.core.dump())
    return hashlib.sha256(b"\n".join([*life.told, dump])).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--told", action="store_true", help="all of it, to find a difference")
    options = parser.parse_args()
    for seed in range(options.first, options.first + options.seeds):
        life = Life(seed)
        found = digest(life, options.steps)
        if options.told:
            for number, told in enumerate(life.told):
                print(seed, number, told)
        print(seed, life.number, life.core.last_seq, found, flush=True)


if __name__ == "__main__":
    main()
