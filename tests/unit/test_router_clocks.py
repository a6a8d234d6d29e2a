"""What the router hears of its tasks' clocks, in whatever order the two services came by it."""

from services.router.domain import commands as cmd
from services.router.driver import Driver
from tests.unit.router_centre import accept, centre, come, complete, task_of, work

DUE = "2030-01-01T00:00:00Z"


def assigned() -> Driver:
    driver = centre({"a": {}}, rule={"prefer": {"reopen_within_s": 600}})
    come(driver, "a")
    driver.say("c")
    accept(driver, "a")
    return driver


def due(driver: Driver) -> list[str]:
    (task,) = work(driver, "a")["tasks"]
    return [one["metric"] for one in task["due"]]


def test_a_clock_without_a_task_is_nobodys() -> None:
    """The next task's, perhaps: held to it, this one would keep it for ever."""
    driver = assigned()
    driver.clock("sla.clock.started.v1", "c", task_id=None, due_at=DUE, target_s=60)
    assert due(driver) == []
    driver.clock("sla.clock.bound.v1", "c", due_at=DUE)
    assert due(driver) == ["first_response"]


def test_a_clock_that_had_ended_before_is_not_due() -> None:
    driver = assigned()
    driver.clock("sla.clock.bound.v1", "c", due_at=DUE, state="met")
    assert due(driver) == []


def test_an_answered_question_is_not_due_though_it_was_late() -> None:
    driver = assigned()
    driver.clock("sla.clock.bound.v1", "c", due_at=DUE)
    driver.clock("sla.clock.breached.v1", "c", due_at=DUE, detected_lag_s=0)
    assert due(driver) == ["first_response"], "late, and still to be answered"
    driver.clock("sla.clock.missed.v1", "c", due_at=DUE, satisfied_at=DUE)
    assert due(driver) == []
    driver.clock("sla.clock.resumed.v1", "c", due_at=DUE)
    assert due(driver) == ["first_response"], "a late event shows that it was no answer"


def test_clocks_that_run_on_are_a_reopened_tasks_again() -> None:
    driver = assigned()
    for name in ("runs", "ends"):
        driver.clock("sla.clock.bound.v1", "c", clock_id=name, metric=name, due_at=DUE)
    task = complete(driver, task_of(driver, "c")["id"])["id"]
    ended = {"clock_id": "ends", "metric": "ends", "task_id": task, "due_at": DUE}
    driver.clock("sla.clock.met.v1", "c", satisfied_at=DUE, **ended)
    driver.say("c", "one more thing")
    accept(driver, "a")
    assert due(driver) == ["runs"]


def held(wrap_up: bool = False) -> tuple[Driver, str]:
    queue = {"wrap_up": {"limit_s": 60}} if wrap_up else {}
    driver = centre({"a": {}, "b": {}}, **queue)
    come(driver, "a")
    driver.say("c")
    task = accept(driver, "a")
    driver.command(cmd.HoldTask(task=task, reason="parts"))
    return driver, task


def ends_of_holds(driver: Driver) -> list[str | None]:
    return [one["agent_id"] for one in driver.found("task.resumed")]


def test_a_hold_that_ends_with_its_assignment_is_told() -> None:
    """Clocks pause while a task is held: nobody would tell them that it is no longer."""
    driver, task = held()
    driver.command(cmd.RequeueTask(task=task))
    assert (task_of(driver, "c")["held"], ends_of_holds(driver)) == (False, [None])

    driver, task = held()
    come(driver, "b")
    driver.command(cmd.TransferTask(task=task, to=cmd.TransferTo(agent="b"), mode="warm"))
    assert (task_of(driver, "c")["held"], ends_of_holds(driver)) == (True, [])
    driver.command(cmd.TransferTask(task=task, to=cmd.TransferTo(queue="main")))
    assert (task_of(driver, "c")["held"], ends_of_holds(driver)) == (False, [None])

    driver, task = held(wrap_up=True)
    complete(driver, task)
    assert (task_of(driver, "c")["held"], ends_of_holds(driver)) == (False, ["a"])
