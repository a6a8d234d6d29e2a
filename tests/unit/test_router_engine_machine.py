"""Random lives of a workspace: after every input the invariants hold, refusals change nothing, and a
core loaded from its dump goes on with the same bytes."""

from typing import Any

import msgspec
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.router.domain import commands as cmd
from services.router.domain import explanation, idleness, invariants, views
from services.router.domain.core import RouterFactory
from services.router.domain.state import OPEN
from services.router.driver import WORKSPACE, Driver
from shared.contracts import interactions
from shared.contracts.core import BEHIND, LIVE, Entity, Input
from shared.contracts.problems import Refused

AGENTS = ("ana", "ben", "cleo", "sam")
THREADS = tuple(f"c{n}" for n in range(12))
SELECTS = ("least_loaded", "longest_idle", "round_robin", "best_skilled", "ranked", "random")
ORDERS = ("head_start", "strict_priority", "weighted_wait", "deadline")
SETTINGS: dict[str, Any] = {
    "channels": {
        "phone": {"cost": 100},
        "chat": {"cost": 30},
        "social": {"cost": 25},
        "email": {"cost": 20, "held_cost": 0, "interruptible_by": ["phone", "chat"]},
    }
}
LEVELS = [
    {"name": "waited", "when": {"waiting_s": 40}, "do": [{"raise_priority": 3}]},
    {"name": "more", "when": {"waiting_s": 70}, "do": [{"relax": "all"}, {"add_queue": "q2"}]},
    {"name": "refused", "when": {"declines": 2}, "do": [{"offer_to": "supervisors"}]},
    {"name": "silent", "when": {"agent_silent_s": 90}, "do": [{"reclaim": "keep_place"}]},
    {
        "name": "breached",
        "when": {"sla": {"metric": "first_response", "breached": True}},
        "do": [{"offer_to": "supervisors"}, {"drop_requirement": "de"}],
    },
]
PARTS = st.fixed_dictionaries(
    {
        "select": st.sampled_from(SELECTS),
        "order": st.sampled_from(ORDERS),
        "offer": st.fixed_dictionaries(
            {
                "parallel": st.sampled_from([1, 1, 2]),
                "auto_accept": st.booleans(),
                "ttl_s": st.sampled_from([10, 20]),
                "misses_before_away": st.sampled_from([1, 3]),
                "cool_down_s": st.sampled_from([0, 15, 60]),
            }
        ),
        "wrap_up": st.sampled_from([None, {"limit_s": 15}]),
        "calendar": st.sampled_from([None, None, "office"]),
        "limit": st.sampled_from([None, {"waiting": 3, "overflow_to": "q1"}, {"waiting": 2}]),
        "orphans": st.just({"after_s": 20}),
        "response": st.sampled_from([None, {"limit_s": 30}]),
        "drain": st.sampled_from([{"limit_s": 0}, {"limit_s": 25}, {"limit_s": 600}]),
        "surge": st.sampled_from([{}, {"factor": 1.5, "min_per_min": 1}]),
    }
)
RULE = {
    "require": [
        {
            "skill": "de",
            "level": 3,
            "relax": [{"after_s": 30, "level": 1}, {"after_s": 60, "drop": True}],
        }
    ],
    "prefer": {"agent": "last", "hold_s": 10, "reopen_within_s": 100},
    "escalation": "ladder",
}


def rules(variant: int) -> list[dict[str, Any]]:
    second = {"queue": "q1", "keep_previous": variant % 2 == 0}
    steps = [{"queue": "q0", "timeout_s": 50, "skip_if": "nobody_could"}, second]
    return [
        {"when": 'task.language == "de"', "priority": variant, "steps": steps, **RULE},
        {"when": 'task.channel == "email"', "steps": [{"queue": "q2"}], "escalation": "ladder"},
        {"steps": [{"queue": "q1"}], "prefer": {"reopen_within_s": 50}},
    ]


class Workplace(RuleBasedStateMachine):
    @initialize(queues=st.lists(PARTS, min_size=3, max_size=3), variant=st.integers(0, 3))
    def open(self, queues: list[dict[str, Any]], variant: int) -> None:
        self.driver = Driver(seed=variant)
        self.twin = RouterFactory().create(WORKSPACE, variant)
        self.twin_at = 0
        start = self.driver.now_us // 1_000_000
        windows = [[(start + n * 100) * 10**6, (start + n * 100 + 70) * 10**6] for n in range(60)]
        self.driver.config("workspace", WORKSPACE, 1, SETTINGS)
        self.driver.config("calendar", "office", 1, {"id": "office"}, windows)
        for number, parts in enumerate(queues):
            if parts["limit"] and number == 1:
                parts = {**parts, "limit": None}
            self.driver.put("queue", f"q{number}", **parts)
        self.driver.put("escalation", "ladder", levels=LEVELS)
        shifts = [{"calendar": "office", "agents": ["sam"]}] if variant % 2 else []
        self.driver.put("team", "t1", supervisors=["sam"], shifts=shifts)
        for name in ("k1", "k2"):
            identities = [{"scheme": "crm", "value": name}]
            never = ["ana"] if name == "k1" else []
            self.driver.put("customer", name, identities=identities, never_pair=never)
        self.driver.put("policy", "default", rules=rules(variant))
        for agent in AGENTS:
            self.hire(agent, variant)
        self.over_allowed = False

    def hire(self, agent: str, variant: int) -> None:
        index = AGENTS.index(agent) + variant
        queues: Any = [
            None,
            [{"queue": "q0"}, {"queue": "q1", "rank": 2, "delay_s": 25, "tier": 2}],
            [{"queue": "q1"}, {"queue": "q2", "tier": 3}],
        ][index % 3]
        self.driver.put(
            "agent",
            agent,
            team="t1",
            channels={"chat": 2, "email": 3, "phone": 1},
            skills={"de": index % 6} if index % 4 else {},
            queues=queues,
        )

    # -- what happens

    def try_(self, command: cmd.Command) -> None:
        before = self.driver.core.dump()
        try:
            self.driver.command(command)
        except Refused:
            assert self.driver.core.dump() == before, "a refusal changed something"

    def a_task(self, index: int) -> str:
        shown = views.tasks(self.driver.core, states=sorted(OPEN))
        return shown[index % len(shown)][1]["id"] if shown else "tsk_none"

    @rule(
        thread=st.sampled_from(THREADS),
        language=st.sampled_from(["de", "en", None]),
        channel=st.sampled_from(["chat", "chat", "email", "phone"]),
        ago=st.sampled_from([0, 0, 5]),
    )
    def customer_writes(self, thread: str, language: str | None, channel: str, ago: int) -> None:
        channel = ["chat", "email", "phone"][THREADS.index(thread) % 3]
        who = {"scheme": "crm", "value": f"k{THREADS.index(thread) % 4}"}
        self.driver.say(thread, language=language, channel=channel, ago_s=ago, identities=[who])

    @rule(thread=st.sampled_from(THREADS), reason=st.sampled_from(["ended", "abandoned"]))
    def conversation_ends(self, thread: str, reason: str) -> None:
        channel = ["chat", "email", "phone"][THREADS.index(thread) % 3]
        name = interactions.CONVERSATION_ENDED
        self.driver.say(thread, name=name, reason=reason, channel=channel)

    @rule(seconds=st.sampled_from([0.5, 3, 10, 16, 31, 70]))
    def time_passes(self, seconds: float) -> None:
        self.driver.wait(seconds)

    @rule(seconds=st.sampled_from([3, 16, 40]))
    def the_owner_stalls(self, seconds: int) -> None:
        """No timer input comes in time: the next input finds it all due."""
        self.driver.now_us += seconds * 1_000_000

    @rule(
        agent=st.sampled_from(AGENTS),
        status=st.sampled_from(["available", "available", "away", "offline"]),
        after=st.booleans(),
    )
    def presence(self, agent: str, status: Any, after: bool) -> None:
        self.try_(cmd.SetPresence(agent=agent, status=status, after_current=after))

    @rule(agent=st.sampled_from(AGENTS), back=st.booleans())
    def lease(self, agent: str, back: bool) -> None:
        name = cmd.PRESENCE_RETURNED if back else cmd.PRESENCE_LAPSED
        self.driver.lifecycle(name, agent=agent)

    @rule(index=st.integers(0, 9), decline=st.sampled_from([False, False, True]))
    def answer_offer(self, index: int, decline: bool) -> None:
        offers = sorted(self.driver.core.offers.values(), key=lambda offer: -offer.number)
        if not offers:
            return
        offer = offers[index % len(offers)]
        if decline:
            self.try_(cmd.DeclineOffer(agent=offer.agent_id, offer=offer.id))
        else:
            self.try_(cmd.AcceptOffer(agent=offer.agent_id, offer=offer.id))

    @rule(index=st.integers(0, 9), close=st.booleans())
    def finish(self, index: int, close: bool) -> None:
        self.try_((cmd.CloseTask if close else cmd.CompleteTask)(task=self.a_task(index)))

    @rule(index=st.integers(0, 9), hold=st.booleans())
    def hold_or_resume(self, index: int, hold: bool) -> None:
        name = self.a_task(index)
        self.over_allowed = True
        self.try_(
            cmd.HoldTask(task=name, reason="waiting_on_customer")
            if hold
            else cmd.ResumeTask(task=name)
        )

    @rule(
        index=st.integers(0, 9),
        to=st.sampled_from(
            [{"queue": "q2"}, {"agent": "sam"}, {"agent": "ana"}, {"policy": "default"}]
        ),
        mode=st.sampled_from(["blind", "warm"]),
        keep=st.booleans(),
    )
    def transfer(self, index: int, to: dict[str, str], mode: Any, keep: bool) -> None:
        target = cmd.TransferTo(**to)
        self.try_(cmd.TransferTask(task=self.a_task(index), to=target, mode=mode, keep_place=keep))

    @rule(index=st.integers(0, 9), what=st.sampled_from(["requeue", "cancel", "escalate", "raise"]))
    def steer(self, index: int, what: str) -> None:
        name = self.a_task(index)
        self.try_(
            {
                "requeue": cmd.RequeueTask(task=name),
                "cancel": cmd.CancelTask(task=name, reason="spam"),
                "escalate": cmd.EscalateTask(task=name),
                "raise": cmd.ReprioritizeTask(task=name, priority=7),
            }[what]
        )

    @rule(index=st.integers(0, 9), to=st.sampled_from(AGENTS))
    def assign(self, index: int, to: str) -> None:
        self.try_(cmd.AssignTask(task=self.a_task(index), to=to))

    @rule(thread=st.sampled_from(THREADS), after=st.sampled_from([None, 10, 60]))
    def call_back(self, thread: str, after: int | None) -> None:
        now = self.driver.now_us
        at = None if after is None else now + after * 1_000_000
        late = None if at is None else at + 50_000_000
        self.try_(
            cmd.CreateTask(
                channel="chat", conversation_id=thread, not_before_us=at, not_after_us=late
            )
        )

    @rule(undo=st.booleans())
    def customers_are_one(self, undo: bool) -> None:
        merge = cmd.MergeCustomer(customer="k1", into="k2")
        self.try_(cmd.UnmergeCustomer(customer="k1") if undo else merge)

    @rule(
        thread=st.sampled_from(THREADS),
        name=st.sampled_from(["warning", "breached", "started", "false", "early"]),
    )
    def clock(self, thread: str, name: str) -> None:
        more: dict[str, Any] = {
            "warning": {"level": 0.8},
            "breached": {"detected_lag_s": 0.1},
            "started": {"target_s": 60, "due_at": "2026-11-23T10:00:00Z"},
            "false": {"because": "late", "withdrawn": "breached"},
            "early": {"because": "late", "withdrawn": "warning", "level": 0.0},
        }[name]
        name = name if name in ("warning", "breached", "started") else "corrected"
        self.driver.clock(f"sla.clock.{name}.v1", thread, **more)

    @rule(agent=st.sampled_from(AGENTS), variant=st.integers(0, 3), gone=st.sampled_from([0, 0, 1]))
    def staff_changes(self, agent: str, variant: int, gone: int) -> None:
        self.over_allowed = True
        if gone:
            self.try_(cmd.DeleteResource(resource="agent", id=agent))
        else:
            self.hire(agent, variant)

    @rule(name=st.sampled_from([BEHIND, LIVE]), stall=st.sampled_from([0, 25]))
    def backlog(self, name: str, stall: int) -> None:
        self.driver.lifecycle(BEHIND)
        self.driver.now_us += stall * 1_000_000
        if name == BEHIND:
            self.driver.say("c1", channel="email")
        self.driver.lifecycle(LIVE)

    @rule()
    def take_over(self) -> None:
        """Another owner loads what is stored and goes on; nothing may differ."""
        self.driver.core.changes()
        fresh = RouterFactory().create(WORKSPACE, self.driver.core.seed)
        fresh.load(self.driver.core.dump())
        assert fresh.dump() == self.driver.core.dump()
        self.driver.core = fresh

    # -- what must hold

    @invariant()
    def all_is_well(self) -> None:
        if not hasattr(self, "driver") or not self.driver.log:
            return
        core = self.driver.core
        if core.wake_at_us() is None or core.now == self.driver.now_us:
            assert invariants.check(core) == []
            assert idleness.look(core, idleness.Place()).overlooked == []
        if not self.over_allowed:
            assert invariants.over_capacity(core) == []
        self.follow()

    def follow(self) -> None:
        """The twin is never taken over: it gets the same inputs and must emit the same bytes."""
        events = []
        for now_us, number, what in self.driver.log[self.twin_at :]:
            events.extend(self.twin.apply(now_us, number, what).events)
        self.twin_at = len(self.driver.log)
        assert events == self.driver.journal[len(self.driver.journal) - len(events) :]
        assert self.twin.dump() == self.driver.core.dump()
        assert self.twin.last_seq == len(self.driver.journal)
        assert [event.seq for event in self.driver.journal[-5:]] == list(
            range(max(1, self.twin.last_seq - 4), self.twin.last_seq + 1)
        )

    def teardown(self) -> None:
        if not hasattr(self, "driver"):
            return
        core = self.driver.core
        for shown in views.tasks(core):
            msgspec.json.encode(explanation.explain_task(core, shown[1]["id"]))
        for agent in core.desks:
            msgspec.json.encode(views.work(core, agent)[1])
        for queue in core.queues:
            msgspec.json.encode(views.queue_status(core, queue))


Workplace.TestCase.settings = settings(
    max_examples=25,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    stateful_step_count=35,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestWorkplace = Workplace.TestCase


def test_changes_rebuild_the_dump() -> None:
    """What `changes` gave, in order, is what `dump` gives: nothing is forgotten or left behind."""
    driver = Driver()
    stored: dict[tuple[str, str], Entity] = {}
    driver.put("queue", "main")
    driver.put("policy", "default", rules=[{"steps": [{"queue": "main"}]}])
    driver.put("agent", "ana", channels={"chat": 3})
    driver.command(cmd.SetPresence(agent="ana", status="available"))
    for step in range(200):
        if step % 3 == 0:
            driver.say(f"c{step}")
        elif step % 3 == 1:
            for offer in views.work(driver.core, "ana")[1]["offers"]:
                driver.command(cmd.AcceptOffer(agent="ana", offer=offer["id"]))
        else:
            for task in views.work(driver.core, "ana")[1]["tasks"]:
                driver.command(cmd.CompleteTask(task=task["id"]))
        driver.apply(Input("timer", "due"))
        for entity in driver.core.changes():
            stored[(entity.kind, entity.key)] = entity
    assert [stored[key] for key in sorted(stored) if stored[key].open] == driver.core.dump()
