"""Position and expected wait: told at once, told again when they move, measured; surges."""

import random

import pytest

from services.router.domain import commands as cmd
from services.router.domain import estimates, invariants, views
from services.router.domain.ranks import CHUNK_MAX, Ranks
from services.router.driver import Driver
from tests.unit.router_centre import accept, centre, come, complete, has, offered, task_of

ONE = {"ana": {"channels": {"chat": 1}}}


def steady(driver: Driver, count: int, each_s: float) -> None:
    """Conversations that come and are done, one after the other."""
    for number in range(count):
        driver.say(f"past{number}")
        task = accept(driver, "ana")
        driver.wait(each_s)
        complete(driver, task)


def told(driver: Driver, thread: str) -> list[tuple[int, float | None]]:
    task = task_of(driver, thread)["id"]
    events = [event for event in driver.found("task.estimate") if event["task_id"] == task]
    return [(event["position"], event["wait_s"]) for event in events]


def test_who_waits_is_told_his_place_at_once_and_when_it_moves():
    driver = come(centre(ONE), "ana")
    steady(driver, 3, 60)
    for name in ("now", "one", "two", "three"):
        driver.say(name)
    assert told(driver, "now") == [], "offered at once"
    assert told(driver, "one") == [(1, 60.0)]
    assert told(driver, "three") == [(3, 180.0)]
    complete(driver, accept(driver, "ana"))
    driver.wait(30)
    assert [place for place, _ in told(driver, "three")] == [3, 2]
    shown = task_of(driver, "three")["estimate"]
    assert (shown["position"], shown["method"]) == (2, "recent_assignments")


def test_far_behind_not_every_step_is_told_and_near_the_head_each_is():
    driver = come(centre(ONE), "ana")
    steady(driver, 3, 20)
    for number in range(31):
        driver.say(f"w{number}")
    for _ in range(30):
        task = accept(driver, "ana")
        driver.wait(20)
        complete(driver, task)
    places = [place for place, _ in told(driver, "w30")]
    assert places[0] == 30 and places[-1] <= 2 and places == sorted(places, reverse=True)
    far = [one for one in places if one > 10]
    assert all(a - b >= a // 10 for a, b in zip(far, far[1:], strict=False))
    assert len(far) < 15


def test_how_well_the_first_estimate_was_met_comes_with_the_assignment():
    driver = come(centre(ONE), "ana")
    steady(driver, 3, 60)
    driver.say("now")
    task = accept(driver, "ana")
    driver.say("one")
    driver.wait(90)
    complete(driver, task)
    accept(driver, "ana")
    event = driver.found("task.assigned")[-1]
    assert (event["estimated_s"], event["actual_s"]) == (60.0, 90.0)
    assert driver.found("task.assigned")[-2]["estimated_s"] is None, "never told to wait"


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("head_start", ["old0", "late5", "new2", "new0"]),
        ("strict_priority", ["late5", "new2", "old0", "new0"]),
        ("weighted_wait", ["late5", "old0", "new2", "new0"]),
    ],
)
def test_the_position_is_that_of_the_queues_order(order: str, expected: list[str]):
    """old0 came first, the digit is the priority."""
    driver = centre({"ana": {"channels": {"chat": 1}}}, order=order, head_start_s=10)
    rule = {"priority": "int(task.attributes.p)", "steps": [{"queue": "main"}]}
    driver.put("policy", "default", rules=[rule])
    for name, wait_s in (("old0", 60), ("new2", 0), ("new0", 10), ("late5", 20)):
        driver.say(name, attributes={"p": name[-1]})
        driver.wait(wait_s)
    places = {task_of(driver, name)["estimate"]["position"]: name for name in expected}
    assert [places[place] for place in sorted(places)] == expected
    come(driver, "ana")
    for name in expected:
        task = accept(driver, "ana")
        assert has(driver, "ana") == [name]
        complete(driver, task)


def test_of_a_closed_queue_the_time_until_it_opens_counts():
    driver = come(centre(ONE), "ana")
    steady(driver, 3, 60)
    opens = driver.now_us + 3_600_000_000
    driver.config("calendar", "office", 1, {"id": "office"}, [[opens, opens + 10**9]])
    driver.put("queue", "main", calendar="office")
    driver.say("one")
    assert told(driver, "one") == [(1, 3660.0)]
    assert views.queue_status(driver.core, "main")["estimate"]["wait_s"] == pytest.approx(
        3720, abs=9
    )


def test_ranks_are_those_of_a_sorted_list():
    chance, ranks, plain = random.Random(3), Ranks(), []
    for _ in range(6 * CHUNK_MAX):
        key = (chance.randrange(500), chance.randrange(10_000))
        if plain and chance.random() < 0.4:
            gone = plain.pop(chance.randrange(len(plain)))
            ranks.discard(gone)
        ranks.add(key)
        plain.append(key)
        if chance.random() < 0.05:
            probe = (chance.randrange(500), chance.randrange(10_000))
            assert ranks.before(probe) == sum(one < probe for one in plain)
    assert len(ranks) == len(plain)
    ranks.discard((999, 0))
    for key in plain:
        ranks.discard(key)
    assert len(ranks) == 0 and ranks.before((999, 0)) == 0


def test_positions_follow_a_random_history():
    chance = random.Random(5)
    driver = centre({"ana": {"channels": {"chat": 2}}, "ben": {"channels": {"chat": 1}}})
    for number in range(120):
        driver.say(f"c{number}")
        waiting = [task for _, task in views.tasks(driver.core, states=["pending"])]
        if number == 40:
            come(driver, "ana", "ben")
        if waiting and chance.random() < 0.3:
            task = waiting[chance.randrange(len(waiting))]["id"]
            driver.command(cmd.ReprioritizeTask(task=task, priority=chance.randrange(5)))
        driver.wait(chance.random() * 10)
        order = sorted(
            (task for task in driver.core.tasks.values() if task.id in driver.core.pool_of),
            key=lambda task: (task.waiting_since_us - task.priority * 60_000_000, task.number),
        )
        found = [estimates.estimate(driver.core, task) for task in order]
        assert [one.position for one in found if one] == list(range(1, len(order) + 1))
    assert invariants.check(driver.core) == []


def test_a_wait_that_nobody_can_tell_is_looked_at_ever_more_seldom():
    driver = centre({})
    driver.say("c1")
    before = driver.number
    driver.wait(30 * 86_400)
    assert driver.number - before < 120


def wait_s(driver: Driver, thread: str) -> float:
    return task_of(driver, thread)["estimate"]["wait_s"]


def test_how_much_comes_into_an_idle_queue_says_nothing_of_how_fast_it_moves():
    driver = come(centre(ONE), "ana")
    for number in range(5):
        driver.say(f"a{number}")
        busy = accept(driver, "ana")
        driver.say(f"b{number}")
        for _ in range(2):  # b waits, and is served after 40 s
            driver.wait(40)
            complete(driver, busy)
            busy = accept(driver, "ana") if offered(driver, "ana") else busy
            if task_of(driver, f"b{number}")["state"] == "completed":
                break
        driver.wait(900)
    driver.say("now")
    accept(driver, "ana")
    driver.say("next")
    assert wait_s(driver, "next") == 40


def test_a_night_is_no_interval_and_no_silence():
    driver = come(centre(ONE), "ana")
    steady(driver, 3, 60)
    opens = driver.now_us + 14 * 3_600_000_000
    driver.config("calendar", "office", 1, {"id": "office"}, [[opens, opens + 9 * 3_600_000_000]])
    driver.put("queue", "main", calendar="office")
    for name in ("one", "two"):
        driver.say(name)
    driver.wait(13 * 3_600)
    assert wait_s(driver, "one") == (opens - driver.core.now) / 1e6 + 60
    driver.wait(3_600 + 1)
    accept(driver, "ana")
    assert wait_s(driver, "two") <= 60


def test_an_interval_alone_at_most_doubles_the_mean():
    driver = come(centre(ONE), "ana")
    steady(driver, 3, 60)
    driver.wait(14 * 3_600)
    driver.say("early")
    accept(driver, "ana")
    driver.say("next")
    assert wait_s(driver, "next") <= 120


def test_who_waits_in_several_queues_is_told_of_the_one_that_serves_him_soonest():
    driver = come(centre(ONE), "ana")
    steady(driver, 3, 60)
    driver.put("queue", "special")
    steps = [{"queue": "special", "timeout_s": 10}, {"queue": "main", "keep_previous": True}]
    driver.put("policy", "default", rules=[{"steps": steps}])
    driver.put("agent", "ana", channels={"chat": 1}, queues=[{"queue": "main"}])
    driver.say("now")
    driver.wait(11)
    assert has(driver, "ana") == [] and offered(driver, "ana") == ["now"]
    accept(driver, "ana")
    driver.say("next")
    assert wait_s(driver, "next") is None, "nothing has been assigned in the first queue"
    driver.wait(11)
    assert task_of(driver, "next")["queues"] == ["special", "main"]
    assert wait_s(driver, "next") is not None
    driver.wait(15)
    assert told(driver, "next")[-1][1] is not None


@pytest.mark.parametrize("before", ["head_start", "strict_priority", "deadline"])
def test_places_hold_when_a_queue_with_waiting_tasks_gets_another_order(before: str) -> None:
    driver = Driver()
    driver.put("queue", "main", order=before)
    driver.put("policy", "default", rules=[{"steps": [{"queue": "main"}]}])
    for thread in ("first", "second", "third"):
        driver.say(thread)
        driver.now_us += 1_000_000
    for order in ("strict_priority", "weighted_wait", "head_start"):
        driver.put("queue", "main", order=order)
        tasks = driver.core.tasks.values()
        places = [estimates.estimate(driver.core, task) for task in tasks]
        assert [place and place.position for place in places] == [1, 2, 3]
