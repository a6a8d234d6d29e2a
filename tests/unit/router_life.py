"""A random life of a workspace in which everything happens: for tests that let it happen twice."""

from random import Random
from typing import Any

from services.router.domain import commands as cmd
from services.router.domain.state import OPEN
from services.router.driver import WORKSPACE, Driver
from shared.contracts import interactions
from shared.contracts.core import BEHIND, LIVE, Input
from shared.contracts.problems import Refused

AGENTS = ("ana", "ben", "cleo", "dan", "eve", "sam")
QUEUES = ("q0", "q1", "q2")
CHANNELS = ("chat", "email", "phone", "social")
SELECTS = ("least_loaded", "longest_idle", "round_robin", "best_skilled", "ranked", "random")
ORDERS = ("head_start", "head_start", "strict_priority", "weighted_wait", "deadline")
SUPERVISED: list[dict[str, Any]] = [{"offer_to": "supervisors"}, {"notify": "supervisors"}]
LEVELS: list[dict[str, Any]] = [
    {"name": "waited", "when": {"waiting_s": 20}, "do": [{"raise_priority": 3}]},
    {"name": "more", "when": {"waiting_s": 45}, "do": [{"relax": "all"}, {"add_queue": "q2"}]},
    {"name": "refused", "when": {"declines": 2}, "do": SUPERVISED},
    {"name": "silent", "when": {"agent_silent_s": 35}, "do": [{"reclaim": "keep_place"}]},
    {"name": "again", "when": {"reopened": 1}, "do": [{"raise_priority": 2}]},
    {"name": "warned", "when": {"sla": {"metric": "first_response", "used": 0.5}},
     "do": [{"add_queue": "q1"}]},
    {"name": "breached", "when": {"sla": {"metric": "first_response", "breached": True}},
     "do": [*SUPERVISED, {"drop_requirement": "de"}]},
    {"name": "person", "when": {"cel": 'message.text.matches("(?i)person")'},
     "do": [{"reclaim": "lose_place"}, {"raise_priority": 1}]},
]  # fmt: skip
CLOCKS: dict[str, dict[str, Any]] = {
    "warning": {"level": 0.6},
    "breached": {"detected_lag_s": 0.1},
    "started": {"target_s": 60},
    "met": {"satisfied_at": "2026-09-21T14:20:00Z"},
    "moved": {"because": "priority"},
    "corrected": {"because": "late", "withdrawn": "breached"},
}


class Life:
    """Begin it, then `step` as often as wanted; `driver.log` has the inputs."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.driver = Driver(seed=seed)
        self.version = 1
        self._open()

    def _open(self) -> None:
        self._settings()
        self._calendar()
        for queue in QUEUES:
            self._queue(queue)
        self.driver.put("escalation", "ladder", levels=LEVELS)
        self._team()
        for number in range(4):
            self._customer(f"k{number}")
        self._policy()
        for agent in AGENTS:
            self._agent(agent)
            self.driver.command(cmd.SetPresence(agent=agent, status="available"))

    def step(self) -> None:
        draw = self.chance.random()
        if draw < 0.25:
            self._customer_does()
        elif draw < 0.45:
            self._time_passes()
        elif draw < 0.65:
            self._agent_answers()
        elif draw < 0.78:
            self._task_moves()
        elif draw < 0.88:
            self._presence()
        elif draw < 0.95:
            self._owner_lags()
        else:
            self._configure()

    # -- what happens

    def pick(self, *of: Any) -> Any:
        return self.chance.choice(of)

    def try_(self, command: cmd.Command) -> None:
        try:
            self.driver.command(command)
        except Refused:
            pass

    def _thread(self) -> tuple[str, str]:
        number = self.chance.randrange(24)
        return f"c{number}", CHANNELS[number % 4]

    def _customer_does(self) -> None:
        thread, channel = self._thread()
        draw = self.chance.random()
        if draw < 0.1:
            name, reason = interactions.CONVERSATION_ENDED, self.pick("ended", "abandoned")
            self.driver.say(thread, name=name, reason=reason, channel=channel)
        elif draw < 0.2:
            name = self.pick(*CLOCKS)
            more = dict(CLOCKS[name])
            if name in ("started", "moved"):
                more["due_at"] = f"2026-09-21T14:{self.chance.randrange(10, 59)}:00Z"
            self.driver.clock(f"sla.clock.{name}.v1", thread, **more)
        elif draw < 0.3:
            self._call_back(thread, channel)
        else:
            who = {"scheme": "crm", "value": f"k{self.chance.randrange(5)}"}
            text = self.pick("hello", "hello", "a person please")
            language = self.pick("de", "en", None)
            ago_s = self.pick(0, 0, 4)
            self.driver.say(
                thread, text, language=language, channel=channel, ago_s=ago_s, identities=[who]
            )

    def _call_back(self, thread: str, channel: Any) -> None:
        at = self.pick(None, 5, 40)
        start = None if at is None else self.driver.now_us + at * 1_000_000
        end = None if start is None else start + self.pick(10, 60) * 1_000_000
        whose: dict[str, Any] = self.pick({"conversation_id": thread}, {"customer_id": "k1"})
        self.try_(cmd.CreateTask(channel=channel, not_before_us=start, not_after_us=end, **whose))

    def _time_passes(self) -> None:
        seconds = self.pick(0.3, 2, 2, 7, 20, 61)
        if self.chance.random() < 0.7:
            self.driver.wait(seconds)
        else:  # nobody wakes the owner: the next input finds it all due
            self.driver.now_us += round(seconds * 1_000_000)

    def _agent_answers(self) -> None:
        live = [offer for offer in self.driver.core.offers.values() if offer.state == "open"]
        live.sort(key=lambda offer: offer.number)
        if not live:
            return
        offer = self.pick(*live)
        if self.chance.random() < 0.7:
            self.try_(cmd.AcceptOffer(agent=offer.agent_id, offer=offer.id))
        else:
            retry = self.pick(None, self.driver.now_us + self.pick(3, 30) * 1_000_000)
            self.try_(cmd.DeclineOffer(agent=offer.agent_id, offer=offer.id, retry_us=retry))

    def _task_moves(self) -> None:
        core = self.driver.core
        found = sorted((t for t in core.tasks.values() if t.state in OPEN), key=lambda t: t.number)
        if not found:
            return
        task = self.pick(*found).id
        keep = self.pick(True, False)
        to: dict[str, str] = self.pick(
            {"queue": self.pick(*QUEUES)}, {"agent": self.pick(*AGENTS)}, {"policy": "default"}
        )
        self.try_(
            self.pick(
                cmd.CompleteTask(task=task, disposition="done"),
                cmd.CompleteTask(task=task, tags=["t"]),
                cmd.CloseTask(task=task),
                cmd.HoldTask(task=task, reason=self.pick("waiting_on_customer", "parts")),
                cmd.ResumeTask(task=task),
                cmd.TransferTask(task=task, to=cmd.TransferTo(**to), keep_place=keep),
                cmd.TransferTask(task=task, to=cmd.TransferTo(**to), mode="warm", keep_place=keep),
                cmd.RequeueTask(task=task),
                cmd.CancelTask(task=task, reason="spam"),
                cmd.EscalateTask(task=task),
                cmd.ReprioritizeTask(task=task, priority=self.pick(0, 1, 5, 9)),
                cmd.AssignTask(
                    task=task,
                    to=self.pick(*AGENTS),
                    override_capacity=self.pick(False, False, True),
                ),
            )
        )

    def _presence(self) -> None:
        agent = self.pick(*AGENTS)
        if self.chance.random() < 0.3:
            name = self.pick(cmd.PRESENCE_LAPSED, cmd.PRESENCE_RETURNED)
            self.driver.lifecycle(name, agent=agent)
        else:
            status = self.pick("available", "available", "available", "away", "offline")
            after = self.pick(False, True)
            self.try_(cmd.SetPresence(agent=agent, status=status, after_current=after))

    def _owner_lags(self) -> None:
        """The log is behind for a while, or no more."""
        if self.driver.core.meta.behind:
            self.driver.lifecycle(LIVE)
        elif self.chance.random() < 0.5:
            self.driver.lifecycle(BEHIND)
        else:
            self.driver.apply(Input("timer", "due"))

    # -- what is written

    def _configure(self) -> None:
        name = self.pick("agent", "agent", "queue", "queue", "policy", "team", "calendar", "customer",
                         "settings", "gone", "merge")  # fmt: skip
        match name:
            case "agent":
                self._agent(self.pick(*AGENTS))
            case "queue":
                self._queue(self.pick(*QUEUES))
            case "policy":
                self._policy()
            case "team":
                self._team()
            case "calendar":
                self._calendar()
            case "customer":
                self._customer(f"k{self.chance.randrange(4)}")
            case "settings":
                self._settings()
            case "gone":
                self.try_(cmd.DeleteResource(resource="agent", id=self.pick(*AGENTS)))
            case _:
                one, other = f"k{self.chance.randrange(4)}", f"k{self.chance.randrange(4)}"
                merge = cmd.MergeCustomer(customer=one, into=other)
                self.try_(self.pick(merge, merge, cmd.UnmergeCustomer(customer=one)))

    def _settings(self) -> None:
        self.version += 1
        channels = {
            "phone": {"cost": 100},
            "chat": {"cost": self.pick(30, 30, 40)},
            "social": {"cost": 25},
            "email": {"cost": 20, "held_cost": 0, "interruptible_by": ["phone"]},
        }
        self.driver.config("workspace", WORKSPACE, self.version, {"channels": channels})

    def _calendar(self) -> None:
        self.version += 1
        span, gap = self.pick(30, 80), self.pick(5, 25)
        start = self.driver.now_us // 1_000_000 - 500
        windows = [
            [(start + n * (span + gap)) * 10**6, (start + n * (span + gap) + span) * 10**6]
            for n in range(60)
        ]
        self.driver.config("calendar", "office", self.version, {"id": "office"}, windows)

    def _queue(self, name: str) -> None:
        self.driver.put(
            "queue",
            name,
            order=self.pick(*ORDERS),
            select=self.pick(*SELECTS),
            head_start_s=self.pick(10, 60),
            offer={
                "ttl_s": self.pick(5, 12),
                "parallel": self.pick(1, 1, 2),
                "auto_accept": self.pick(False, False, True),
                "misses_before_away": self.pick(1, 3),
                "cool_down_s": self.pick(0, 8, 30),
                "cool_down": self.pick({}, {"missed_s": 2, "transferred_s": 15}),
            },
            wrap_up=self.pick(None, {"limit_s": 8}),
            calendar=self.pick(None, None, "office"),
            orphans={"after_s": self.pick(6, 30)},
            limit=self.pick(
                None, {"waiting": 3}, {"waiting": 2, "overflow_to": self.pick(*QUEUES[:1])}
            )
            if name != "q0"
            else None,
            response=self.pick(None, {"limit_s": 25}),
            drain={"limit_s": self.pick(0, 15, 600)},
            surge=self.pick({}, {"factor": 1.2, "min_per_min": 1}),
        )

    def _team(self) -> None:
        calendars = [{"calendar": "office", "agents": self.pick(["sam"], [])}]
        supervisors = self.pick(["sam"], ["sam", "eve"])
        self.driver.put("team", "t1", supervisors=supervisors, shifts=self.pick([], calendars))

    def _customer(self, name: str) -> None:
        self.driver.put(
            "customer",
            name,
            identities=[{"scheme": "crm", "value": name}],
            tier=self.pick(None, "gold"),
            never_pair=self.pick([], ["ana"], ["ben", "sam"]),
        )

    def _policy(self) -> None:
        relax = [{"after_s": 15, "level": 1}, {"after_s": 40, "drop": True}]
        german = [
            {"skill": "de", "level": self.pick(2, 4), "relax": relax},
            {"skill": "x", "level": 1, "preferred": True},
        ]
        steps = [
            {
                "queue": "q0",
                "timeout_s": self.pick(12, 30),
                "skip_if": self.pick(None, "nobody_could"),
            },
            {"queue": "q1", "timeout_s": 30, "keep_previous": self.pick(True, False)},
            {"queue": "q2"},
        ]
        prefer = {
            "agent": self.pick("last", "ben"),
            "hold_s": 6,
            "reopen_within_s": 40,
            "hard": self.pick(False, False, True),
        }
        self.driver.put(
            "policy",
            "default",
            on_edit=self.pick("keep", "take"),
            rules=[
                {"when": 'task.language == "de"', "priority": 'customer.tier == "gold" ? 6 : 1',
                 "require": self.pick(german, german[::-1]), "steps": steps, "prefer": prefer,
                 "escalation": "ladder"},
                {"when": "queues.q1.surge || queues.q1.waiting > 4", "steps": [{"queue": "q2"}]},
                {"when": 'task.channel == "email"', "steps": [{"queue": "q1"}], "require": ["skill(task.language) >= 1"],
                 "escalation": "ladder"},
                {"steps": [{"queue": self.pick("q0", "q1")}], "prefer": {"reopen_within_s": 20}, "escalation": "ladder"},
            ],
        )  # fmt: skip

    def _agent(self, name: str) -> None:
        queues: Any = self.pick(
            None,
            [{"queue": "q0"}, {"queue": "q1", "rank": 2, "delay_s": 12, "tier": 2}],
            [{"queue": "q1"}, {"queue": "q2", "delay_s": 5, "tier": 3}],
        )
        self.driver.put(
            "agent",
            name,
            team="t1",
            kind=self.pick("human", "human", "bot"),
            capacity=self.pick(100, 130),
            channels=self.pick(
                {"chat": 2, "email": 3, "phone": 1},
                {"chat": 3, "email": 2, "social": 2, "phone": 1},
                {"chat": 2, "social": 2},
            ),
            skills=self.pick({}, {"de": 2}, {"de": 4, "en": 3}, {"en": 5, "x": 1}),
            queues=queues,
        )
