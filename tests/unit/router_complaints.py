"""What users of other engines complain of, played on ours: each scene asserts that it does not happen.

Numbers are the sections of the collected complaints. Each scene has a mutant (router_mutants.py) that
it must notice.
"""

from services.router.domain import capacity, explanation, views
from services.router.domain import commands as cmd
from services.router.driver import Driver
from shared.contracts.problems import Refused
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

AUTO = {"auto_accept": True}


def refusal(driver: Driver, command: cmd.Command) -> str | None:
    """Why a command was refused: its reason, or kind; None when it was not."""
    try:
        driver.command(command)
    except Refused as refused:
        return refused.reason or refused.kind
    return None


# -- 3.1 two agents get one item; limits exceeded


def one_item_one_agent():
    driver = come(centre({"ana": {}, "ben": {}}, offer={"parallel": 2}), "ana", "ben")
    driver.say("c1")
    second = work(driver, "ben")["offers"][0]["id"]
    accept(driver, "ana")
    assert refusal(driver, cmd.AcceptOffer(agent="ben", offer=second)) == "taken"
    assert (has(driver, "ana"), has(driver, "ben")) == (["c1"], [])


def never_more_than_the_limit():
    driver = come(centre({"ana": {"channels": {"chat": 3}, "capacity": 900}}), "ana")
    for number in range(5):
        driver.say(f"c{number}")
    assert len(offered(driver, "ana")) == 3
    for _ in range(3):
        accept(driver, "ana")
    assert (len(has(driver, "ana")), offered(driver, "ana")) == (3, [])


def a_supervisors_choice_stays():
    driver = come(centre({"ana": {}, "ben": {}}, offer={"ttl_s": 10}), "ana", "ben")
    driver.say("c1")
    taken = task_of(driver, "c1")["id"]
    driver.command(cmd.AssignTask(task=taken, to="ben"))
    driver.wait(60)
    assert (has(driver, "ben"), offered(driver, "ana")) == (["c1"], [])
    assert [event["agent_id"] for event in driver.found("task.assigned")] == ["ben"]


# -- 3.2 stuck or leaked reservations


def a_reservation_never_outlives_its_offers():
    driver = come(centre({"ana": {}}, offer={"ttl_s": 20, "cool_down_s": 5}), "ana")
    driver.say("c1")
    driver.wait(21)
    assert task_of(driver, "c1")["state"] == "pending"
    driver.wait(5)
    leave(driver, "ana")
    assert task_of(driver, "c1")["state"] == "pending"
    assert driver.core.desks["ana"].used == 0


def each_wrap_up_ends_at_its_own_time_without_the_browser():
    driver = come(centre({"ana": {}}, wrap_up={"limit_s": 60}, offer=AUTO), "ana")
    driver.say("c1")
    driver.say("c2")
    complete(driver, task_of(driver, "c1")["id"])
    driver.wait(30)
    complete(driver, task_of(driver, "c2")["id"])
    driver.wait(31)
    assert [task_of(driver, name)["state"] for name in ("c1", "c2")] == ["completed", "wrapping"]
    driver.wait(30)
    assert (has(driver, "ana"), driver.core.desks["ana"].used) == ([], 0)


# -- 3.3 presence


def the_last_word_on_presence_wins():
    driver = come(centre({"ana": {}}, offer=AUTO), "ana")
    driver.say("c1")
    driver.command(cmd.SetPresence(agent="ana", status="offline", after_current=True))
    driver.command(cmd.SetPresence(agent="ana", status="available"))
    complete(driver, task_of(driver, "c1")["id"])
    assert work(driver, "ana")["agent"]["presence"]["status"] == "available"


def the_end_of_work_never_makes_anybody_available():
    driver = come(centre({"ana": {}}, wrap_up={"limit_s": 10}, offer=AUTO), "ana")
    driver.say("c1")
    leave(driver, "ana", "away")
    complete(driver, task_of(driver, "c1")["id"])
    driver.wait(11)
    driver.say("c2")
    assert work(driver, "ana")["agent"]["presence"]["status"] == "away"
    assert has(driver, "ana") == []


def work_of_who_vanished_is_taken_up_after_a_grace():
    driver = centre({"ana": {}, "ben": {}}, orphans={"after_s": 60}, offer=AUTO)
    come(driver, "ana")
    driver.say("c1")
    driver.lifecycle(cmd.PRESENCE_LAPSED, agent="ana")
    come(driver, "ben")
    driver.wait(59)
    assert has(driver, "ana") == ["c1"]
    driver.wait(2)
    assert has(driver, "ben") == ["c1"]
    assert driver.found("task.requeued")[-1]["reason"] == "orphaned"


# -- 3.4 sticky agents who are gone


def nobody_waits_for_an_agent_who_is_gone():
    prefer = {"agent": "last", "hold_s": 300, "reopen_within_s": 9999}
    driver = come(centre({"ana": {}, "ben": {}}, {"prefer": prefer}), "ana")
    driver.say("c1")
    complete(driver, accept(driver, "ana"))
    leave(driver, "ana")
    come(driver, "ben")
    driver.say("c1", "again")
    assert offered(driver, "ben") == ["c1"]


# -- 3.5 backlog not drained, newer before older


def the_backlog_is_taken_at_once_and_the_oldest_first():
    driver = centre({"ana": {"channels": {"chat": 1}}})
    for number in range(3):
        driver.say(f"c{number}")
        driver.wait(10)
    come(driver, "ana")
    for number in range(3):
        assert offered(driver, "ana") == [f"c{number}"]
        complete(driver, accept(driver, "ana"))


# -- 3.6 fairness


def nobody_is_filled_to_the_limit_first():
    driver = come(centre({"ana": {}, "ben": {}, "cleo": {}}, offer=AUTO), "ana", "ben", "cleo")
    for number in range(6):
        driver.say(f"c{number}")
    assert [len(has(driver, name)) for name in ("ana", "ben", "cleo")] == [2, 2, 2]


def who_returns_from_holiday_is_not_flooded():
    agents = {name: {"channels": {"chat": 50}, "capacity": 9000} for name in ("a", "b", "back")}
    driver = come(centre(agents, select="round_robin", offer=AUTO), "a", "b")
    for number in range(30):
        driver.say(f"old{number}")
    come(driver, "back")
    for number in range(9):
        driver.say(f"new{number}")
    assert len(has(driver, "back")) == 3


# -- 3.7 capacity across channels


def one_capacity_for_all_channels():
    driver = come(centre({"ana": {"channels": {"chat": 3, "email": 5}}}, offer=AUTO), "ana")
    for number in range(3):
        driver.say(f"c{number}")
    driver.say("m1", channel="email")
    assert has(driver, "ana") == ["c0", "c1", "c2"], "90 of 100 units: no 20 are left"
    driver.say("c3")
    assert len(has(driver, "ana")) == 3


# -- 3.8 assigned but unanswered


def a_silent_agent_loses_it_as_often_as_needed():
    driver = centre(
        {"ana": {}, "ben": {}}, response={"limit_s": 60}, offer={"cool_down_s": 30, **AUTO}
    )
    come(driver, "ana", "ben")
    driver.say("c1")
    for _ in range(3):
        driver.wait(30)
        driver.say("c1", "hello?")
        driver.wait(30)
    reasons = [event["reason"] for event in driver.found("task.requeued")]
    assert reasons == ["no_response"] * 3, "each agent has 60 s; messages restart nothing"


# -- 3.9 idle agents beside waiting work


def a_heavier_task_that_may_not_use_him_blocks_nobody():
    driver = centre({"ana": {"skills": {"en": 5}}})
    rules = [
        {"when": 'task.language == "de"', "priority": 99, "steps": [{"queue": "main"}],
         "require": [{"skill": "de", "level": 1}]},
        {"steps": [{"queue": "main"}]},
    ]  # fmt: skip
    driver.put("policy", "default", rules=rules)
    driver.say("german", language="de")
    driver.say("english", language="en")
    come(driver, "ana")
    assert offered(driver, "ana") == ["english"]


# -- 3.10 starvation


def a_point_of_priority_is_worth_a_stated_wait():
    driver = centre({"ana": {"channels": {"chat": 1}}}, head_start_s=60)
    rule = {"priority": "int(task.attributes.p)", "steps": [{"queue": "main"}]}
    driver.put("policy", "default", rules=[rule])
    driver.say("low", attributes={"p": "0"})
    driver.wait(301)
    driver.say("high", attributes={"p": "5"})
    come(driver, "ana")
    assert offered(driver, "ana") == ["low"], "five points are 300 s, it has waited 301"


# -- 3.11 why did it go there?


def each_decision_says_why():
    driver = come(centre({"ben": {}, "ana": {}}), "ben", "ana")
    driver.say("c1")
    accept(driver, "ben" if offered(driver, "ben") else "ana")
    decisions = explanation.explain_task(driver.core, task_of(driver, "c1")["id"])["decisions"]
    made = next(one for one in decisions if one["kind"] == "offered")
    assert made["winner"] and made["considered"] == 2 and len(made["order_keys"]) == 3
    assert made["because"] == "least loaded of 2"
    assert [one["kind"] for one in decisions] == ["planned", "offered", "assigned"]


def ties_do_not_depend_on_who_was_created_first():
    winners = set()
    for names in (("ana", "ben"), ("ben", "ana")):
        driver = centre({name: {} for name in names}, select="longest_idle")
        come(driver, *names)
        driver.say("c1")
        winners.add(driver.found("offer.created")[0]["agent_id"])
    assert winners == {"ana"}


# -- 3.12 decline, transfer, exclusion


def what_he_declined_does_not_come_straight_back():
    driver = come(centre({"ana": {}}, offer={"cool_down_s": 60}), "ana")
    driver.say("c1")
    decline(driver, "ana")
    driver.wait(59)
    assert offered(driver, "ana") == []
    driver.wait(2)
    assert offered(driver, "ana") == ["c1"]


def a_transfer_that_cannot_work_is_refused_and_changes_nothing():
    driver = come(centre({"ana": {}, "ben": {}}), "ana")
    driver.say("c1")
    task = accept(driver, "ana")
    to_ben = cmd.TransferTask(task=task, agent="ana", to=cmd.TransferTo(agent="ben"))
    assert refusal(driver, to_ben) == "state"
    assert has(driver, "ana") == ["c1"]


def who_gave_it_away_is_attached_no_more():
    driver = come(centre({"ana": {"channels": {"chat": 1}}, "ben": {}}), "ana")
    driver.say("c1")
    task = accept(driver, "ana")
    driver.command(cmd.TransferTask(task=task, agent="ana", to=cmd.TransferTo(queue="main")))
    assert (has(driver, "ana"), task_of(driver, "c1")["agent_id"]) == ([], None)
    driver.say("c2")
    assert offered(driver, "ana") == ["c2"]


def never_this_customer_with_that_agent():
    driver = come(centre({"ana": {}}), "ana")
    identity = {"scheme": "email", "value": "kim@example.org"}
    driver.put("customer", "kim", identities=[identity], never_pair=["ana"])
    driver.say("c1", identities=[identity])
    driver.wait(600)
    assert driver.found("offer.created") == []


# -- 3.13 wrap-up


def a_change_of_status_does_not_close_what_is_wrapped_up():
    driver = come(centre({"ana": {}}, wrap_up={"limit_s": 60}, offer=AUTO), "ana")
    driver.say("c1")
    complete(driver, task_of(driver, "c1")["id"])
    leave(driver, "ana", "away")
    assert task_of(driver, "c1")["state"] == "wrapping"
    assert views.work(driver.core, "ana")[1]["tasks"][0]["wrap_up_until"]


# -- 3.14 shifts, leave, hours


def out_of_hours_nobody_is_offered_anything():
    driver = centre({"ana": {}}, calendar=None)
    opens = driver.now_us + 600_000_000
    driver.config("calendar", "office", 1, {"id": "office"}, [[opens, opens + 10**9]])
    driver.put("queue", "main", calendar="office")
    come(driver, "ana")
    driver.say("c1")
    assert offered(driver, "ana") == []
    driver.wait(600)
    assert offered(driver, "ana") == ["c1"]


# -- 3.15 position and waiting time for the customer


def the_customer_can_be_told_where_he_stands():
    driver = centre({"ana": {}})
    for number in range(3):
        driver.say(f"c{number}")
    events = [(e["conversation_id"], e["position"]) for e in driver.found("task.estimate")]
    assert events == [("c0", 1), ("c1", 2), ("c2", 3)]


# -- 3.16 honest outcome codes


def a_dead_offer_says_how_it_died():
    driver = come(centre({"ana": {}}, offer={"ttl_s": 10}), "ana")
    driver.say("c1")
    missed = work(driver, "ana")["offers"][0]["id"]
    driver.wait(11)
    driver.say("c2")
    declined = work(driver, "ana")["offers"][0]["id"]
    decline(driver, "ana")
    driver.say("c3")
    cancelled = work(driver, "ana")["offers"][0]["id"]
    driver.command(cmd.CancelTask(task=task_of(driver, "c3")["id"]))
    answers = [refusal(driver, cmd.AcceptOffer(agent="ana", offer=one))
               for one in (missed, declined, cancelled)]  # fmt: skip
    assert answers == ["expired", "declined", "cancelled"]


# -- 3.17 no automatic distribution at all


def work_finds_its_agent_by_itself():
    driver = come(centre({"ana": {}}), "ana")
    driver.say("c1")
    assert offered(driver, "ana") == ["c1"]
    assert (
        capacity.admissible(
            driver.core, driver.core.tasks[task_of(driver, "c1")["id"]], driver.core.desks["ana"]
        )
        is False
    ), "he has it on offer"
