"""What the router's events must show: each message routed once, one owner, nobody over capacity."""

from collections import Counter

import msgspec

from shared.contracts.instants import parse_instant
from shared.testing.simulation.centre import NEVER, Centre
from shared.testing.simulation.features import Features
from shared.testing.simulation.ledger import Ledger, Posted
from shared.testing.simulation.load_checks import Load, Loads
from shared.testing.simulation.truth import Event, Told

_ENDED = ("completed", "cancelled")
_OF_ENDED = ("estimate", "identified", "priority_changed")
"""What may still be told of a task that has ended: who writes again is known before it reopens."""
_OFFER_ENDS = ("accepted", "declined", "expired", "revoked")


class SeenTask(msgspec.Struct):
    conversation: str
    channel: str
    state: str = "pending"
    owner: str | None = None
    warm: bool = False
    held: bool = False
    customer: str | None = None


class SeenOffer(msgspec.Struct):
    agent: str
    task: str
    expires_us: int
    state: str = "open"


class Office:
    """One workspace, rebuilt from what was published."""

    def __init__(self, centre: Centre, ledger: Ledger) -> None:
        self.workspace = centre.workspace
        self.ledger = ledger
        self.loads = Loads(centre)
        self.features = Features(centre.in_use)
        self.tasks: dict[str, SeenTask] = {}
        self.offers: dict[str, SeenOffer] = {}
        self.open_of: dict[str, str] = {}
        self.routed: Counter[str] = Counter()
        self.done: Counter[tuple[str, str]] = Counter()
        self.abandoned: Counter[str] = Counter()
        self.versions: Counter[tuple[str, str, int]] = Counter()
        self.written: Counter[tuple[str, str, int, int]] = Counter()
        self.lives: Counter[tuple[str, str]] = Counter()
        self.from_messages: set[str] = set()

    def complain(self, event: Told, what: str) -> None:
        self.ledger.complain(f"{self.workspace} {event.seq} {event.kind}: {what}")

    def follow(self, events: list[Told]) -> None:
        for event in events:
            kind = event.kind
            self.features.see(kind, event.data)
            if kind.startswith("task."):
                self._task(kind[5:], event, event.data)
            elif kind.startswith("offer."):
                self._offer(kind[6:], event, event.data)
            elif kind == "config.changed":
                self._written(event.data)

    def _written(self, data: Event) -> None:
        """What is written anew after its end counts its versions from 1 again."""
        kind, name = data["kind"], data["id"]
        if data["deleted"]:
            self.done["deleted", f"{kind} {name}"] += 1
            self.lives[kind, name] += 1
        else:
            self.versions[kind, name, data["version"]] += 1
            self.written[kind, name, data["version"], self.lives[kind, name]] += 1

    # Tasks

    def _task(self, kind: str, event: Told, data: Event) -> None:
        if kind in ("created", "reopened", "message") and data["event_id"] is not None:
            self.routed[data["event_id"]] += 1
        if kind == "created":
            self._created(event, data)
            return
        task = self.tasks.get(data["task_id"])
        if task is None:
            self.complain(event, "of a task that was never created")
            return
        if kind == "reopened":
            self._reopened(event, data["task_id"], task)
        elif task.state in _ENDED and kind not in _OF_ENDED:
            self.complain(event, f"of a task that is {task.state}")
        elif kind == "assigned":
            self._assigned(event, data, task)
        elif kind in ("held", "resumed"):
            self.done[kind, data["task_id"]] += 1
            self._hold(data["task_id"], task, held=kind == "held")
        elif kind in ("requeued", "transferred"):
            self._moved(kind, data, task)
        elif kind == "wrapping":
            self.done["complete", data["task_id"]] += 1
            task.state = "wrapping"
        elif kind in _ENDED:
            self._ended(kind, data, task)
        elif kind == "priority_changed" and data["by"] == "command":
            self.done[kind, data["task_id"]] += 1

    def _created(self, event: Told, data: Event) -> None:
        name, conversation = data["task_id"], data["conversation_id"]
        if name in self.tasks:
            self.complain(event, "a task is created twice")
        if conversation in self.open_of:
            self.complain(event, "a second open task of a conversation")
        facts: Event = data["customer"] or {}
        self.tasks[name] = SeenTask(
            conversation, data["channel"], data["state"], customer=facts.get("id")
        )
        self.open_of[conversation] = name
        if data["event_id"] is not None:
            self.from_messages.add(name)

    def _reopened(self, event: Told, name: str, task: SeenTask) -> None:
        if task.state != "completed" or task.conversation in self.open_of:
            self.complain(event, f"a task that is {task.state} is reopened")
        task.state = "pending"
        self.open_of[task.conversation] = name

    def _assigned(self, event: Told, data: Event, task: SeenTask) -> None:
        agent, offer = data["agent_id"], self.offers.get(data["offer_id"] or "")
        if offer is not None and (offer.state, offer.agent) != ("accepted", agent):
            self.complain(event, f"assigned by an offer to {offer.agent} that is {offer.state}")
        if offer is not None and task.owner is not None and not task.warm:
            self.complain(event, f"{agent} gets a task that {task.owner} has")
        if offer is None and task.owner != agent:
            self.done["assign", data["task_id"]] += 1
        if data["over_capacity"]:
            self.done["over capacity", data["task_id"]] += 1
        if task.owner != agent:
            self._release(data["task_id"], task)
            task.owner = agent
            load = Load(task.channel, task.held)
            # What was offered to him has its place already.
            checked = offer is None and not data["over_capacity"]
            self._load(event, agent, data["task_id"], load, checked=checked)
        task.state, task.warm = "assigned", False

    def _moved(self, kind: str, data: Event, task: SeenTask) -> None:
        if kind == "transferred":
            self.done["transferred", data["task_id"]] += 1
            task.warm = data["mode"] == "warm"
            if task.warm:
                return
        else:
            self.done[f"requeued {data['reason']}", data["task_id"]] += 1
        self._release(data["task_id"], task)
        task.state = "pending"

    def _ended(self, kind: str, data: Event, task: SeenTask) -> None:
        name = data["task_id"]
        if kind == "completed" and task.state == "assigned":
            self.done["complete", name] += 1
        elif kind == "completed" and data["reason"] is None:
            self.done["close", name] += 1
        elif kind == "cancelled":
            self.done[f"cancelled {data['reason']}", name] += 1
            self.abandoned[task.conversation] += data["reason"] == "abandoned"
        self._release(name, task)
        task.state, task.warm, task.held = kind, False, False
        self.open_of.pop(task.conversation, None)

    # Offers and load

    def _offer(self, kind: str, event: Told, data: Event) -> None:
        name = data["offer_id"]
        if kind == "created":
            if name in self.offers:
                self.complain(event, "an offer is made twice")
            task = self.tasks[data["task_id"]]
            expires_us = parse_instant(data["expires_at"])
            self.offers[name] = SeenOffer(data["agent_id"], data["task_id"], expires_us)
            self._load(event, data["agent_id"], name, Load(task.channel))
            if data["agent_id"] == NEVER.get(task.customer or ""):
                self.complain(event, f"{data['agent_id']} is never to meet {task.customer}")
            return
        offer = self.offers[name]
        if offer.state != "open":
            self.complain(event, f"an offer that is {offer.state} ends again")
        if kind == "expired" and event.at_us < offer.expires_us:
            self.complain(event, "an offer expires early")
        offer.state = kind
        self.loads.leave(offer.agent, name)

    def _release(self, name: str, task: SeenTask) -> None:
        if task.owner is not None:
            self.loads.leave(task.owner, name)
        task.owner = None

    def _hold(self, name: str, task: SeenTask, *, held: bool) -> None:
        """A resume may exceed what the agent can take."""
        task.held = held
        if task.owner is not None:
            self.loads.put(task.owner, name, Load(task.channel, held))

    def _load(
        self, event: Told, agent: str, name: str, load: Load, *, checked: bool = True
    ) -> None:
        if checked and (what := self.loads.lack(agent, load.channel)):
            self.complain(event, what)
        if checked and self.loads.is_interrupted(agent, load.channel):
            self.features.counts["assigned to interrupt"] += 1
        self.loads.put(agent, name, load)

    # At the end

    def finish(self, posted: list[Posted]) -> None:
        for each in posted:
            times = self.routed.pop(each.id, 0)
            if times != (1 if each.customer else 0):
                self.ledger.complain(
                    f"{self.workspace}: {each.type} {each.id} routed {times} times"
                )
        for stranger in self.routed:
            self.ledger.complain(f"{self.workspace}: {stranger} was routed and never posted")
        ends = Counter(each.conversation for each in posted if each.abandons)
        for conversation, times in self.abandoned.items():
            if times > ends[conversation]:
                self.ledger.complain(
                    f"{self.workspace}: {conversation} abandoned {times} of {ends[conversation]}"
                )
        for name, offer in self.offers.items():
            if offer.state == "open" and self.tasks[offer.task].state in _ENDED:
                self.ledger.complain(f"{self.workspace}: offer {name} outlives its task")
        for key, times in self.written.items():
            # A merge says of a customer that he is another now, and writes nothing.
            if times > 1 and key[0] != "customer":
                self.ledger.complain(f"{self.workspace}: {key} was written {times} times")


def honoured(office: Office, ledger: Ledger) -> None:
    """Every command that was answered with success has had its effect, once."""
    acked = [each for each in ledger.acked if each.workspace == office.workspace]
    expected: Counter[tuple[str, str]] = Counter()
    overridden: Counter[str] = Counter()
    for each in acked:
        body = each.body
        if each.name in ("AcceptOffer", "DeclineOffer"):
            offer = office.offers.get(str(body["offer"]))
            wanted = "accepted" if each.name == "AcceptOffer" else "declined"
            if offer is None or offer.state != wanted:
                ledger.complain(f"{office.workspace}: {each.name} answered, offer {offer}")
        elif each.name == "CreateTask" and str(each.reply["id"]) not in office.tasks:
            ledger.complain(f"{office.workspace}: CreateTask answered, no {each.reply['id']}")
        elif each.name == "PutResource" and body["resource"] not in ("calendar", "sla_policy"):
            key = (str(body["resource"]), str(body["id"]), int(str(each.reply["version"])))
            if key not in office.versions:
                ledger.complain(f"{office.workspace}: PutResource answered, no {key}")
        elif each.name == "DeleteResource":
            expected["deleted", f"{body['resource']} {body['id']}"] += 1
        elif each.name in _EFFECTS:
            expected[_EFFECTS[each.name].format(**body), str(body["task"])] += 1
            if body.get("override_capacity"):
                overridden[str(body["task"])] += 1
    for (effect, task), times in office.done.items():
        if effect == "over capacity" and times > overridden[task]:
            ledger.complain(
                f"{office.workspace}: {task} over capacity, though nobody asked for that"
            )
    counted = {effect for effect, _ in expected} & _EXACT
    for key in expected.keys() | {key for key in office.done if key[0] in counted}:
        if office.done[key] != expected[key]:
            ledger.complain(
                f"{office.workspace}: {key} done {office.done[key]} times, answered {expected[key]}"
            )


_EFFECTS = {
    "CompleteTask": "complete",
    "CloseTask": "close",
    "HoldTask": "held",
    "TransferTask": "transferred",
    "RequeueTask": "requeued {reason}",
    "CancelTask": "cancelled {reason}",
    "AssignTask": "assign",
}
_EXACT = frozenset(
    {"complete", "close", "held", "transferred", "assign", "deleted"}
    | {"requeued not mine", "requeued moved", "cancelled spam"}
)

__all__ = ["Office", "honoured"]
