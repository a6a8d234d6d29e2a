"""What users of other engines complain of about work and its decisions: more scenes, as in
router_complaints.py. Their mutants are in router_mutants_work.py.

«More than one router on one database» (3.1) is the runtime's promise: tests/simulation/mutants.py lets
stale owners through, and full lives notice.
"""

from services.router.domain import commands as cmd
from services.router.domain import explanation, views
from services.router.driver import Driver
from shared.contracts import interactions
from shared.contracts.instants import parse_instant
from tests.unit.router_centre import (
    accept,
    centre,
    come,
    complete,
    decline,
    has,
    leave,
    offered,
    task_of,
    work,
)
from tests.unit.router_complaints import AUTO, refusal

IN_PAIRS = {"parallel": 2, "ttl_s": 600}


def decisions(driver: Driver, thread: str) -> list[tuple[str, str]]:
    """What was decided of the conversation's task, and why."""
    found = explanation.explain_task(driver.core, task_of(driver, thread)["id"])["decisions"]
    return [(one["kind"], one["because"]) for one in found]


# -- 3.1 two agents get one item; limits exceeded


def a_decision_of_before_is_not_carried_out_after():
    """The item has moved to another team; who was asked before it moved is too late."""
    driver = centre({"ana": {"queues": [{"queue": "main"}]}})
    driver.put("queue", "two")
    driver.put("agent", "ben", channels={"chat": 9}, queues=[{"queue": "two"}])
    come(driver, "ana", "ben")
    driver.say("c1")
    before = work(driver, "ana")["offers"][0]["id"]
    task = task_of(driver, "c1")["id"]
    driver.command(cmd.TransferTask(task=task, to=cmd.TransferTo(queue="two")))
    assert refusal(driver, cmd.AcceptOffer(agent="ana", offer=before)) == "revoked"
    assert (has(driver, "ana"), offered(driver, "ben")) == ([], ["c1"])


def what_an_agent_does_counts_once():
    """Asked in pairs, answered twice: the counters stay right, and so does who is next."""
    driver = come(centre({"ana": {}, "ben": {}}, offer=IN_PAIRS), "ana", "ben")
    driver.say("c1")
    offer = work(driver, "ana")["offers"][0]["id"]
    for _ in range(2):
        driver.command(cmd.AcceptOffer(agent="ana", offer=offer))
    desks = driver.core.desks
    assert [(desks[name].used, desks[name].count.get("chat")) for name in ("ana", "ben")] == [
        (30, 1), (0, 0)]  # fmt: skip
    complete(driver, task_of(driver, "c1")["id"])
    assert (desks["ana"].used, desks["ana"].count["chat"]) == (0, 0)
    assert len(driver.found("task.assigned")) == len(driver.found("offer.accepted")) == 1


# -- 3.2 stuck or leaked reservations


def who_lost_the_race_is_free_at_once():
    driver = centre({"ana": {}, "ben": {"channels": {"chat": 1}}}, offer=IN_PAIRS)
    come(driver, "ana", "ben")
    driver.say("c1")
    driver.say("c2")
    assert offered(driver, "ben") == ["c1"]
    accept(driver, "ana", "c1")
    assert offered(driver, "ben") == ["c2"]


def what_is_done_is_nowhere_any_more():
    driver = come(centre({"ana": {"channels": {"chat": 1}}}, offer=AUTO), "ana")
    for name in ("c1", "c2"):
        driver.say(name)
    complete(driver, task_of(driver, "c1")["id"])
    complete(driver, task_of(driver, "c2")["id"])
    status = views.queue_status(driver.core, "main")
    assert status is not None
    assert [status[key] for key in ("waiting", "reserved", "assigned")] == [0, 0, 0]
    assert work(driver, "ana")["tasks"] == []
    assert driver.core.desks["ana"].used == 0


def an_absent_last_agent_stops_nobody():
    for select in ("ranked", "round_robin", "least_loaded", "longest_idle"):
        agents = {name: {} for name in ("ana", "ben", "zoe")}
        driver = come(centre(agents, select=select, offer=AUTO), "ana", "ben", "zoe")
        leave(driver, "zoe")
        for number in range(4):
            driver.say(f"c{number}")
        assert len(has(driver, "ana")) + len(has(driver, "ben")) == 4, select


def who_hangs_up_leaves_nobody_locked_in():
    driver = come(centre({"ana": {"channels": {"phone": 1}}}), "ana")
    driver.say("call1", channel="phone")
    driver.say("call2", channel="phone")
    assert offered(driver, "ana") == ["call1"]
    driver.say("call1", name=interactions.CONVERSATION_ENDED, reason="ended", channel="phone")
    assert offered(driver, "ana") == ["call2"], "in the same moment"
    assert task_of(driver, "call1")["reason"] == "abandoned"
    task = accept(driver, "ana")
    driver.say("call2", name=interactions.CONVERSATION_ENDED, reason="ended", channel="phone")
    assert has(driver, "ana") == ["call2"], "who had begun finishes: notes, disposition"
    complete(driver, task)
    assert driver.core.desks["ana"].used == 0


def after_clearing_the_next_one_has_its_whole_time():
    driver = come(centre({"ana": {"channels": {"chat": 1}}}, offer={"ttl_s": 20}), "ana")
    driver.say("c1")
    task = accept(driver, "ana")
    driver.say("c2")
    driver.wait(100)
    complete(driver, task)
    seen = work(driver, "ana")
    assert (seen["tasks"], [one["conversation_id"] for one in seen["offers"]]) == ([], ["c2"])
    assert parse_instant(seen["offers"][0]["expires_at"]) == driver.now_us + 20_000_000
    driver.wait(19)
    accept(driver, "ana")
    assert has(driver, "ana") == ["c2"]


def a_supervisor_ends_what_its_agent_has_left():
    driver = come(centre({"ana": {}}, wrap_up={"limit_s": 9_999}, offer=AUTO), "ana")
    for name in ("c1", "c2"):
        driver.say(name)
    one, other = (task_of(driver, name)["id"] for name in ("c1", "c2"))
    leave(driver, "ana", "away")
    complete(driver, one)
    driver.command(cmd.CloseTask(task=one))
    driver.command(cmd.CancelTask(task=other, reason="duplicate"))
    assert [task_of(driver, name)["state"] for name in ("c1", "c2")] == ["completed", "cancelled"]
    assert (has(driver, "ana"), driver.core.desks["ana"].used) == ([], 0)


# -- 3.7 capacity across channels and per person


def one_limit_for_all_queues():
    driver = centre({"ana": {"channels": {"chat": 2}}}, offer=AUTO)
    driver.put("queue", "two", offer=AUTO)
    rules = [
        {"when": 'task.attributes.q == "two"', "steps": [{"queue": "two"}]},
        {"steps": [{"queue": "main"}]},
    ]
    driver.put("policy", "default", rules=rules)
    come(driver, "ana")
    for number, queue in enumerate(("main", "two", "main", "two")):
        driver.say(f"c{number}", attributes={"q": queue})
    assert has(driver, "ana") == ["c0", "c1"]


def of_two_limits_the_tighter_one_holds():
    agents = {
        "ana": {"channels": {"chat": 5}, "capacity": 100},
        "ben": {"channels": {"chat": 2}, "capacity": 900},
    }
    driver = come(centre(agents, offer=AUTO), "ana", "ben")
    for number in range(8):
        driver.say(f"c{number}")
    assert (len(has(driver, "ana")), len(has(driver, "ben"))) == (3, 2)


# -- 3.11 why did it go there?


def the_policy_is_named():
    driver = come(centre({"ana": {}}, {"name": "Everything"}), "ana")
    driver.say("c1")
    kind, because = decisions(driver, "c1")[0]
    assert (kind, because) == ("planned", "Everything of the policy default, version 1")
    told = driver.found("task.created")[0]["policy"]
    assert (told["id"], told["version"], told["rule"]) == ("default", 1, "Everything")
    rules = [{"name": "Other", "steps": [{"queue": "main"}]}]
    driver.put("policy", "default", rules=rules, on_edit="take")
    assert decisions(driver, "c1")[-1] == ("planned", "Other of the policy default, version 2")


def every_change_of_hands_is_told():
    driver = come(centre({"ana": {}, "ben": {}}, offer={"cool_down_s": 0}), "ana")
    driver.say("c1")
    task = accept(driver, "ana")
    driver.command(cmd.TransferTask(task=task, to=cmd.TransferTo(queue="main")))
    driver.command(cmd.AssignTask(task=task, to="ben", override_capacity=True))
    driver.command(cmd.RequeueTask(task=task, reason="lunch"))
    told = dict(decisions(driver, "c1"))
    assert told["transferred"] == "to queue main, from ana"
    assert told["assigned"] == "assigned by hand"
    assert told["requeued"] == "lunch, from ben"


def why_the_third_came_first():
    """The eighth of thirteen calls got an agent; the others are told what they lack."""
    driver = centre({"ana": {"skills": {"en": 5}, "channels": {"chat": 1}}})
    skill = {"when": "task.language == 'de'", "require": [{"skill": "de", "level": 1}]}
    driver.put("policy", "default", rules=[{**skill, "steps": [{"queue": "main"}]},
                                           {"steps": [{"queue": "main"}]}])  # fmt: skip
    for name, language in (("c1", "de"), ("c2", "de"), ("c3", "en")):
        driver.say(name, language=language)
    come(driver, "ana")
    assert offered(driver, "ana") == ["c3"]
    found = explanation.explain_task(driver.core, task_of(driver, "c1")["id"])
    assert found["candidates"]["by_reason"] == {"skill de >= 1": 1}
    assert "1 without de >= 1" in found["summary"]


# -- 3.12 decline, transfer, exclusion


def what_nobody_takes_goes_elsewhere():
    """Voicemail instead of the same agent again."""
    driver = centre({"ana": {"queues": [{"queue": "main"}]}})
    driver.put("queue", "voicemail", offer=AUTO)
    driver.put("agent", "box", kind="bot", channels={"chat": 9}, queues=[{"queue": "voicemail"}])
    level = {"name": "refused", "when": {"declines": 1}, "do": [{"add_queue": "voicemail"}]}
    driver.put("escalation", "ladder", levels=[level])
    rule = {"steps": [{"queue": "main"}], "escalation": "ladder"}
    driver.put("policy", "default", rules=[rule])
    come(driver, "ana", "box")
    driver.say("c1")
    decline(driver, "ana")
    assert has(driver, "box") == ["c1"]


def a_blind_transfer_frees_at_once():
    driver = come(centre({"ana": {"channels": {"chat": 1}}}), "ana")
    driver.put("queue", "nobody", calendar=None)
    driver.say("c1")
    task = accept(driver, "ana")
    driver.command(cmd.TransferTask(task=task, agent="ana", to=cmd.TransferTo(queue="nobody")))
    driver.say("c2")
    assert (has(driver, "ana"), offered(driver, "ana")) == ([], ["c2"])
    assert task_of(driver, "c1")["state"] == "pending"


def who_had_it_does_not_block_the_requeue():
    driver = come(centre({"ana": {}, "ben": {}}), "ana")
    driver.say("c1")
    task = accept(driver, "ana")
    driver.command(cmd.RequeueTask(task=task))
    assert (has(driver, "ana"), task_of(driver, "c1")["agent_id"]) == ([], None)
    come(driver, "ben")
    assert offered(driver, "ben") == ["c1"]


# -- 3.15 position and waiting time for the customer


def the_customer_is_told_again_when_he_moves_up():
    driver = come(centre({"ana": {"channels": {"chat": 1}}}, offer=AUTO), "ana")
    for number in range(4):
        driver.say(f"c{number}")
    driver.wait(40)
    complete(driver, task_of(driver, "c0")["id"])
    driver.wait(40)
    told = [(e["position"], e["wait_s"]) for e in driver.found("task.estimate")
            if e["conversation_id"] == "c3"]  # fmt: skip
    assert [*dict.fromkeys(position for position, _ in told)] == [3, 2]
    assert told[-1][1] is not None, "and how long he will wait"
