"""A command that is refused while much has come due costs no rebuild of the workspace: what it is refused
for whatever comes due is told before anything happens."""

import msgspec
import pytest

from services.router.domain import commands as cmd
from services.router.domain import loading
from services.router.domain.core import _HANDLERS
from shared.contracts.problems import Refused
from tests.unit.router_centre import accept, centre, come, complete, task_of, work


class Counted:
    """A centre in which offers, wrap-ups and relaxations are due, and how often it was rebuilt."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        agents = {"ana": {}, "ben": {"channels": {"chat": 1}}}
        self.driver = driver = come(centre(agents, wrap_up={"limit_s": 5}), "ana", "ben")
        for name in ("kim", "lee"):
            driver.put("customer", name)
        driver.command(cmd.MergeCustomer(customer="lee", into="kim"))
        for number in range(9):
            driver.say(f"c{number}")
        self.offer = work(driver, "ana")["offers"][0]["id"]
        self.done = complete(driver, accept(driver, "ben"))["id"]
        driver.command(cmd.CloseTask(task=self.done))
        self.wraps = complete(driver, accept(driver, "ben"))["id"]
        self.rebuilt = 0
        whole = loading.derive

        def derive(ws: object) -> None:
            self.rebuilt += 1
            whole(ws)  # type: ignore[arg-type]

        monkeypatch.setattr(loading, "derive", derive)
        driver.now_us += 30_000_000  # nobody has woken the owner meanwhile

    def refused(self, command: cmd.Command) -> str:
        before = self.driver.core.dump()
        with pytest.raises(Refused) as refused:
            self.driver.command(command)
        assert self.driver.core.dump() == before
        assert self.driver.core.now == self.driver.core.meta.now_us, "nor has time passed"
        return refused.value.reason or refused.value.kind


def refusals(of: Counted) -> list[tuple[cmd.Command, str]]:
    task = task_of(of.driver, "c8")["id"]
    body = b'{"id": "t", "shifts": [{"calendar": "none"}]}'
    return [
        (cmd.AcceptOffer(agent="ana", offer=of.offer), "expired"),
        (cmd.DeclineOffer(agent="ana", offer="off_none"), "not-found"),
        (cmd.SetPresence(agent="nobody", status="away"), "not-found"),
        (cmd.CompleteTask(task="tsk_none"), "not-found"),
        (cmd.CompleteTask(task=of.done), "state"),
        (cmd.HoldTask(task=task, agent="ben"), "forbidden"),
        (cmd.CancelTask(task=task, if_version=1), "precondition-failed"),
        (cmd.PutResource(resource="team", id="t", body=msgspec.Raw(body)), "validation"),
        (cmd.DeleteResource(resource="queue", id="none"), "not-found"),
        (cmd.DeleteResource(resource="queue", id="main", if_version=7), "precondition-failed"),
        (cmd.MergeCustomer(customer="kim", into="lee"), "state"),
        (cmd.MergeCustomer(customer="lee", into="nobody"), "validation"),
        (cmd.UnmergeCustomer(customer="kim"), "state"),
    ]


def test_what_nothing_due_could_change_is_refused_without_a_rebuild(monkeypatch):
    of = Counted(monkeypatch)
    for command, why in refusals(of):
        assert of.refused(command) == why, command
    assert of.rebuilt == 0


def test_what_came_due_decides_where_it_can(monkeypatch):
    """The wrap-up is over by now: closing it is refused for that, and what it kept is free."""
    of = Counted(monkeypatch)
    assert of.refused(cmd.CloseTask(task=of.wraps)) == "state"
    assert of.rebuilt == 1, "only this one, which the timers brought about"
    waiting = next(one for one in of.driver.core.tasks.values() if one.state == "pending")
    assert of.driver.command(cmd.AssignTask(task=waiting.id, to="ben"))["agent_id"] == "ben"


def test_what_is_still_to_be_stored_is_so_after_a_rebuild(monkeypatch):
    of = Counted(monkeypatch)
    assert of.refused(cmd.CloseTask(task=of.wraps)) == "state" and of.rebuilt == 1
    changed = of.driver.core.changes()
    assert {one.kind for one in changed} >= {"agent", "meta", "offer", "task"}
    assert all(one in of.driver.core.dump() for one in changed)
    assert of.driver.core.changes() == []


def test_an_accept_that_is_repeated_is_answered_while_much_is_due(monkeypatch):
    of = Counted(monkeypatch)
    offers = [one for one in of.driver.core.offers.values() if one.state == "accepted"]
    for offer in offers:
        answer = of.driver.command(cmd.AcceptOffer(agent=offer.agent_id, offer=offer.id))
        assert answer["id"] == offer.task_id
    assert (len(offers), of.rebuilt) == (2, 0)


def test_every_refusal_that_is_told_early_is_told_without_timers_too(monkeypatch):
    """The early word and the handler's are the same."""
    of = Counted(monkeypatch)
    of.driver.wait(0)
    for command, why in refusals(of):
        assert of.refused(command) == why, command
    assert set(_HANDLERS) >= {type(command).__name__ for command, _ in refusals(of)}
