"""How a task finds its queue: the policy's plan, its steps, and the relaxing of requirements."""

from functools import lru_cache
from typing import Any

from services.router.domain import (
    capacity,
    ladders,
    lifecycle,
    membership,
    preference,
    task_facts,
    task_shape,
    timers,
    withdrawals,
)
from services.router.domain.config import Customer, Step
from services.router.domain.policy import CompiledPolicy, Plan, first_step, queues_at
from services.router.domain.requirements import Requirement, are_firm, next_relaxation_us
from services.router.domain.state import SEEKING, PolicyRef, Task, waited_us
from services.router.domain.workspace import Workspace
from shared.contracts import routing
from shared.contracts.instants import format_instant, span_us
from shared.contracts.interactions import Interaction

DEFAULT_POLICY = "default"
NO_RULE = "no_rule"


# -- planning


def plan(
    ws: Workspace, task: Task, message: Interaction | None = None, policy_id: str = DEFAULT_POLICY
) -> str | None:
    """Give a task the plan of its policy; without one it waits in no queue, reason no_rule. Returns the
    queue to which it comes, any surge aside: a surge does not end by what its rules turn elsewhere."""
    policy = ws.policies.get(policy_id)
    found = calm = policy.plan(task_facts.of(ws, task, message)) if policy else None
    if ws.surging and policy is not None:
        calm = policy.plan(task_facts.of_calm(ws, task, message))
    ws.task(task)
    task.never = never_pair(ws, task)
    if task.effects:
        withdrawals.acted(ws, task)
    if policy is None or found is None:
        task.policy = PolicyRef(policy_id, policy.version if policy else 0, -1, None)
        task.reason = NO_RULE
        task.queues, task.requires, task.steps, task.ladder = [], (), (), None
    else:
        _take(ws, task, policy, found)
    if calm is not None and (found is None or calm.rule != found.rule):
        return calm.steps[0].queue
    return task.queues[0] if task.queues else None


def _take(ws: Workspace, task: Task, policy: CompiledPolicy, found: Plan) -> None:
    if task.reason is not None:
        task.reason = None
    if task.ladder != found.escalation:
        _begin_ladder(task, found.escalation)
    task.priority = (found.priority if task.given is None else task.given) + task.raised
    task.requires = found.requires
    task.relaxed_to_us = waited_us(task, ws.now)
    task.steps = found.steps
    task.reopen_within_us = span_us(found.prefer.reopen_within_s) if found.prefer else 0
    start = 0 if len(found.steps) == 1 else _first_step(ws, task, 0)
    task.policy = PolicyRef(policy.policy.id, policy.version, found.rule, found.rule_name, start)
    task.queues = list(queues_at(found.steps, start))
    preference.settle(ws, task, found.prefer)


def _begin_ladder(task: Task, ladder: str | None) -> None:
    """Another ladder begins with its first level: what the former's levels have done ends with it."""
    task.ladder = ladder
    if task.fired or task.skipped:
        task.fired, task.skipped = [], ()
    if task.raised or task.relax_all or task.dropped:
        task.raised, task.relax_all, task.dropped = 0, False, []


def takes_edit(task: Task, policy: CompiledPolicy) -> bool:
    """Whether a task that nobody has yet takes its policy as it is written now: where the policy says so,
    and always where no rule fitted. Never where somebody has sent it to a queue."""
    if task.aimed:
        return False
    if task.reason == NO_RULE:
        return True
    edited = task.policy is not None and task.policy.version != policy.version
    return edited and policy.policy.on_edit == "take"


def begun_queues(ws: Workspace, task: Task) -> list[str]:
    """The queues of the step in which it begins now, and what ladders have added."""
    if task.policy is None or not task.steps:
        return task.queues
    before = queues_at(task.steps, task.policy.step)
    added = [queue for queue in task.queues if queue not in before]
    task.policy.step = first_step(task.steps, 0, lambda step: _could(ws, task, step))
    wanted = queues_at(task.steps, task.policy.step)
    return [*wanted, *(queue for queue in added if queue not in wanted)]


def has_its_queues(ws: Workspace, task: Task) -> bool:
    """Whether the queues of its plan are all still there."""
    return all(name in ws.queues for name in (*task.queues, *(step.queue for step in task.steps)))


def again(
    ws: Workspace, task: Task, policy_id: str, message: Interaction | None = None
) -> str | None:  # fmt: skip
    """A task that there is already is planned as a new one would be, and this is told. Returns what
    `plan` does."""
    before = task.priority
    waits = task.state == "pending"
    if waits:
        lifecycle.count_pending(ws, task, -1)
    place = plan(ws, task, message, policy_id)
    if waits:
        lifecycle.count_pending(ws, task, 1)
    note_plan(ws, task, ws.emit(routing.TaskQueued(*ws.of(task), queues=task.queues)))
    if task.priority != before:
        ws.emit(
            routing.TaskPriorityChanged(
                *ws.of(task), before=before, after=task.priority, by="policy"
            )
        )
    return place


def never_pair(ws: Workspace, task: Task) -> tuple[str, ...]:
    """The agents who get none of this customer's work."""
    customer = ws.customers.get(task.customer_id) if task.customer_id else None
    return customer.never_pair if customer else ()


def _first_step(ws: Workspace, task: Task, start: int) -> int:
    return first_step(task.steps, start, lambda step: _could(ws, task, step))


def _could(ws: Workspace, task: Task, step: Step) -> bool:
    """Whether anyone who is logged in could ever take it there, busy or not."""
    pool = membership.pool_for(ws, (step.queue,), task, capacity.active(task))
    return any(ws.desks[agent].agent.shown_status != "offline" for agent in pool.members)


def announce(ws: Workspace, task: Task) -> None:
    """task.created, with all that SLA and others need to know. What only few tasks have is set afterwards
    (see opening._new)."""
    since_us = task.waiting_since_us
    created = routing.TaskCreated(
        ws.name, ws.meta.seq + 1, ws.at, task.id, task.conversation_id,
        event_id=task.event_id,
        channel=task.channel,
        kind=task.kind,
        state=task.state,
        language=task.language,
        attributes=task.attributes,
        queue=task.queues[0] if task.queues else None,
        priority=task.priority,
        requires=task_shape.requirement_facts(capacity.active(task)),
        policy=task_shape.policy_facts(task.policy),
        waiting_since=ws.at if since_us == ws.now else format_instant(since_us),
    )  # fmt: skip
    if task.customer_id is not None:
        created.customer = customer_facts(ws.customers.get(task.customer_id))
    if task.not_before_us is not None:
        created.not_before = format_instant(task.not_before_us)
    if task.reason is not None:
        created.reason = task.reason
    note_plan(ws, task, ws.emit(created))


def tell_customer(ws: Workspace, task: Task) -> None:
    """Who the task's customer is has become known, or changed."""
    customer = ws.customers.get(task.customer_id) if task.customer_id is not None else None
    ws.emit(routing.TaskIdentified(*ws.of(task), customer=customer_facts(customer)))


def customer_facts(customer: Customer | None) -> routing.CustomerFacts | None:
    if customer is None:
        return None
    return routing.CustomerFacts(
        id=customer.id,
        tier=customer.tier,
        language=customer.language,
        attributes=customer.attributes,
    )


def note_plan(ws: Workspace, task: Task, seq: int) -> None:
    """The decisions name the rule that planned the task, with the policy and its version."""
    ref = task.policy
    because = NO_RULE
    if ref is not None and ref.rule_index >= 0:
        because = _rule_of(ref.id, ref.version, ref.rule_index, ref.rule)
    lifecycle.decide(ws, task, seq, "planned", because)


@lru_cache(maxsize=1024)
def _rule_of(policy: str, version: int, index: int, name: str | None) -> str:
    """One text for all tasks of a rule."""
    return f"{name or f'rule {index + 1}'} of the policy {policy}, version {version}"


def start_waiting(ws: Workspace, task: Task) -> None:
    """The task seeks an agent from now on: its clocks of waiting run."""
    arm_step(ws, task)
    arm_relax(ws, task)
    if task.hold_until_us is not None:
        ws.at_time(task.hold_until_us, timers.HOLD, task.number, task.id)
    ws.arrived[task.id] = ()
    if task.arrived != ws.meta.behind:
        task.arrived = ws.meta.behind
    ws.untold[task.id] = None
    ws.undrained[task.id] = None
    membership.enter(ws, task)
    if task.ladder is not None:
        ladders.review(ws, task)


def arm_step(ws: Workspace, task: Task) -> None:
    """When the present step gives way to the next."""
    if task.step_until_us is not None:
        task.step_until_us = None
    if task.policy is None or task.policy.step + 1 >= len(task.steps):
        return
    timeout = task.steps[task.policy.step].timeout_s
    if timeout is not None:
        task.step_until_us = ws.now + span_us(timeout)
        ws.at_time(task.step_until_us, timers.STEP, task.number, task.id)


def next_step(ws: Workspace, task: Task) -> None:
    """The step has timed out. It does not while an offer of it is open (facts §2.4, Connect), but then
    nobody more is asked in it."""
    if task.state not in SEEKING or task.policy is None:
        return
    if task.offers:
        membership.enter(ws, task)
        return
    step = _first_step(ws, task, task.policy.step + 1)
    added = [queue for queue in task.queues if queue not in queues_at(task.steps, task.policy.step)]
    ws.task(task)
    membership.leave(ws, task)
    task.policy.step = step
    wanted = list(queues_at(task.steps, step))
    lifecycle.set_queues(ws, task, [*wanted, *(q for q in added if q not in wanted)])
    arm_step(ws, task)
    membership.enter(ws, task)


# -- relaxing


def arm_relax(ws: Workspace, task: Task) -> None:
    """When it next asks for less."""
    if are_firm(task.requires):
        if task.relax_us is not None:
            task.relax_us = None
        return
    after = next_relaxation_us(
        task.requires, task.relaxed_to_us, relax_all=task.relax_all, dropped=task.dropped
    )
    task.relax_us = None if after is None else task.waiting_since_us + after
    ws.at_time(task.relax_us, timers.RELAX, task.number, task.id)


def relax(
    ws: Workspace, task: Task, because: str, *, everything: bool = False, drop: str | None = None
) -> None:
    """Ask for less: what is due by now, everything that may be relaxed, or all but one name."""
    before = capacity.active(task)
    ws.task(task)
    membership.leave(ws, task)
    task.relaxed_to_us = max(task.relaxed_to_us, ws.now - task.waiting_since_us)
    task.relax_all = task.relax_all or everything
    if drop is not None:
        task.dropped = [*task.dropped, drop]
    arm_relax(ws, task)
    tell_requirements(ws, task, before, because)
    membership.enter(ws, task)


def ask_nothing(ws: Workspace, task: Task, because: str) -> None:
    """Leave all requirements behind; call it before it waits again."""
    before = capacity.active(task)
    task.requires, task.dropped, task.relax_all = (), [], False
    tell_requirements(ws, task, before, because)


def tell_requirements(
    ws: Workspace, task: Task, before: tuple[Requirement, ...], because: str
) -> None:
    """Say what the task asks now, where that is not what it asked before."""
    now = capacity.active(task)
    if now != before:
        ws.emit(
            routing.TaskRelaxed(
                *ws.of(task),
                requires=[
                    routing.RequirementFacts(text=item.text, relaxed_at=_since(ws, item, before))
                    for item in now
                ],
                because=because,
            )
        )


def _since(ws: Workspace, item: Any, before: tuple[Any, ...]) -> str | None:
    return None if item in before else ws.at
