"""`POST policies:evaluate`: what a policy would do with events or tasks, without doing it."""

from typing import Any, Literal

import msgspec

from services.router.domain import capacity, planning, shapes, task_facts
from services.router.domain.config import Customer, Policy, Queue
from services.router.domain.desk import Desk
from services.router.domain.policy import CompiledPolicy, Plan, first_step, queues_at
from services.router.domain.pools import Key, Member, agent_key
from services.router.domain.references import Known, references
from services.router.domain.requirements import Requirement, active, met_by
from services.router.domain.state import Conversation, Task
from services.router.domain.workspace import Workspace
from shared.contracts.instants import span_us
from shared.contracts.interactions import Author, Flag, Identity, Interaction
from shared.contracts.problems import Fault, Refused, not_found
from shared.contracts.topics import Channel

SAMPLES_MAX = 1_000
_NO_QUEUE = Queue("")


class Sample(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """An event (what a customer says) or a task. `customer` is an id or the facts themselves;
    without it `identities` are resolved, and of a known conversation its customer is taken. A task's
    own `priority` holds, as with `POST tasks`."""

    channel: Channel
    text: str | None = None
    subject: str | None = None
    language: str | None = None
    attributes: dict[str, Any] = {}
    flags: list[Flag] = []
    kind: str = "conversation"
    priority: float | None = None
    customer: str | dict[str, Any] | None = None
    customer_id: str | None = None
    identities: list[Identity] = []
    conversation_id: str | None = None
    conversation_key: str | None = None
    direction: Literal["inbound", "outbound"] = "inbound"
    author: Author | None = None


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked. `policy` (already checked by resources.py) or `policy_id`; `now_us` None: now.
    `spoken`: the samples are events, each the next message of its conversation."""

    samples: list[Sample]
    spoken: bool = True
    policy: Policy | None = None
    policy_id: str | None = None
    now_us: int | None = None


def evaluate(ws: Workspace, asked: Evaluation) -> shapes.EvaluatedPolicy:
    """`{"results": […]}`, one for each sample. Changes nothing.

    Raises Refused: not-found for a policy, validation for what an inline policy names in vain.
    """
    policy = _policy(ws, asked)
    kind = "events" if asked.spoken else "tasks"
    return {
        "results": [
            _result(ws, policy, sample, asked, f"/{kind}/{place}")
            for place, sample in enumerate(asked.samples)
        ]
    }


def _policy(ws: Workspace, asked: Evaluation) -> CompiledPolicy:
    if asked.policy is None:
        name = asked.policy_id or planning.DEFAULT_POLICY
        if name not in ws.policies:
            raise not_found("policy", name)
        return ws.policies[name]
    known = Known(queues=frozenset(ws.queues), escalations=frozenset(ws.ladders))
    faults = references(asked.policy, known)
    if faults:
        moved = [msgspec.structs.replace(one, pointer=f"/policy{one.pointer}") for one in faults]
        raise Refused("validation", faults[0].message, errors=moved)
    return CompiledPolicy(asked.policy, 0)


def _result(
    ws: Workspace, policy: CompiledPolicy, sample: Sample, asked: Evaluation, pointer: str
) -> shapes.PlannedTask:
    task = _task(ws, sample, pointer, spoken=asked.spoken)
    message = _message(ws, sample) if asked.spoken else None
    facts = task_facts.of(ws, task, message).replaced(
        now_us=asked.now_us,
        customer=_customer(sample),
        conversation=_conversation(ws, sample) if asked.spoken else None,
    )
    plan = policy.plan(facts)
    if plan is None:
        trace = [msgspec.to_builtins(entry) for entry in policy.trace(facts)]
        return {
            "rule": None, "reason": planning.NO_RULE, "queue": None, "queues": [], "requires": [],
            "priority": 0, "escalation": None, "agents": [], "trace": trace,
        }  # fmt: skip
    found = _planned(ws, task, plan)
    own = None if asked.spoken else sample.priority
    return found if own is None else {**found, "priority": own}


def _planned(ws: Workspace, task: Task, plan: Plan) -> shapes.PlannedTask:
    asks = active(plan.requires, 0)
    step = first_step(plan.steps, 0, lambda step: bool(_able(ws, task, (step.queue,), asks)))
    queues = queues_at(plan.steps, step)
    return {
        "rule": plan.rule_name or f"rule {plan.rule + 1}",
        "queue": queues[0],
        "queues": list(queues),
        "requires": [item.text for item in asks],
        "priority": plan.priority,
        "escalation": plan.escalation,
        "agents": _able(ws, task, queues, asks),
        "trace": [msgspec.to_builtins(entry) for entry in plan.trace],
    }


def _able(
    ws: Workspace, task: Task, queues: tuple[str, ...], asks: tuple[Requirement, ...]
) -> list[str]:
    """All who serve the queues and the channel and meet the requirements, whatever their presence
    and load, in the order of the first queue's `select`."""
    queue = ws.queues.get(queues[0], _NO_QUEUE)
    never = planning.never_pair(ws, task)
    found: list[tuple[Key, str]] = []
    for desk in ws.desks.values():
        member = _member(desk, queues)
        serves = desk.config.channels.get(task.channel, 0) > 0
        paired = desk.id not in never
        if member is not None and serves and paired and met_by(asks, desk.facts):
            found.append((agent_key(queue, asks, desk, member), desk.id))
    return [name for _, name in sorted(found)]


def _member(desk: Desk, queues: tuple[str, ...]) -> Member | None:
    served = capacity.serving(desk, queues, set())
    if served is None:
        return None
    return Member(served.queue, served.rank, span_us(served.delay_s), served.tier)


# -- samples as tasks and messages


def _task(ws: Workspace, sample: Sample, pointer: str, *, spoken: bool) -> Task:
    thread = ws.conversations.get(sample.conversation_id or "")
    customer = _resolved(ws, sample, thread, pointer)
    return Task(
        id="",
        number=0,
        kind=sample.kind,
        state="pending",
        conversation_id=sample.conversation_id or "",
        channel=sample.channel,
        customer_id=customer.id if customer else None,
        language=_language(sample, thread, None if spoken else customer),
        attributes=sample.attributes,
        subject=sample.subject,
        text=sample.text,
        priority=sample.priority or 0,
        created_us=ws.now,
        waiting_since_us=ws.now,
    )


def _language(sample: Sample, thread: Conversation | None, customer: Customer | None) -> str | None:
    """As opening.py has it: of what is said or asked for, else of its conversation; of a task for which
    nobody has said anything, else the customer's."""
    known = customer.language if customer else None
    return sample.language or (thread.language if thread else None) or known


def _resolved(
    ws: Workspace, sample: Sample, thread: Conversation | None, pointer: str
) -> Customer | None:
    named = sample.customer if isinstance(sample.customer, str) else sample.customer_id
    if named is None:
        found = ws.customers.resolve(sample.identities)
        if found is not None or thread is None or thread.customer_id is None:
            return found
        return ws.customers.get(thread.customer_id)
    customer = ws.customers.get(named)
    if customer is None:
        at = f"{pointer}/customer"
        fault = Fault(at, "unknown_customer", f"there is no customer {named!r}")
        raise Refused("validation", fault.message, errors=[fault])
    return customer


def _customer(sample: Sample) -> dict[str, Any] | None:
    return sample.customer if isinstance(sample.customer, dict) else None


def _conversation(ws: Workspace, sample: Sample) -> dict[str, Any]:
    known = ws.conversations.get(sample.conversation_id or "")
    return {
        "id": sample.conversation_id,
        "channel": sample.channel,
        "key": sample.conversation_key,
        "messages": 1 + (len(known.messages) if known else 0),
    }


def _message(ws: Workspace, sample: Sample) -> Interaction:
    return Interaction(
        workspace=ws.name,
        connector="",
        channel=sample.channel,
        conversation_id=sample.conversation_id or "",
        message_id="",
        received_at=ws.at,
        direction=sample.direction,
        author=sample.author or Author("customer"),
        conversation_key=sample.conversation_key,
        text=sample.text,
        subject=sample.subject,
        language=sample.language,
        flags=sample.flags,
        attributes=sample.attributes,
    )
