"""For whom work is kept, and that it is kept for nobody else."""

from services.router.domain import commands as cmd
from services.router.domain import invariants
from services.router.domain.config import AgentQueue
from tests.unit.router_centre import accept, centre, come, complete, offered


def test_reopened_work_is_kept_for_whom_it_names_and_nobody_else():
    """Its priority was raised: that it is lowered first leaves no trace of whom it was kept for."""
    levels = [{"name": "waited", "when": {"waiting_s": 1}, "do": [{"raise_priority": 5}]}]
    prefer = {"agent": "ana", "reopen_within_s": 100}
    rule = {"steps": [{"queue": "main"}], "prefer": prefer, "escalation": "ladder"}
    driver = centre({"ana": {}, "ben": {}})
    driver.put("escalation", "ladder", levels=levels)
    driver.put("policy", "default", rules=[rule])
    driver.say("t1")
    driver.wait(2)
    come(driver, "ben")
    complete(driver, accept(driver, "ben"))
    driver.say("t1")
    assert invariants.check(driver.core) == []
    assert offered(driver, "ben") == ["t1"]


def test_work_that_goes_back_tells_where_it_waits():
    """It was taken from another queue than its first."""
    steps = [{"queue": "other", "timeout_s": 5}, {"queue": "main", "keep_previous": True}]
    driver = centre({"ben": {"queues": [AgentQueue("main")]}})
    driver.put("queue", "other")
    driver.put("policy", "default", rules=[{"steps": steps}])
    come(driver, "ben")
    driver.say("t1")
    driver.wait(6)
    task = accept(driver, "ben")
    driver.command(cmd.RequeueTask(task=task))
    assert driver.types()[:2] == ["task.requeued", "task.queued"]
