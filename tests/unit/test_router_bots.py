"""Bots first: what they say answers for them, and they are nobody's last agent where a human was."""

from services.router.domain import commands as cmd
from services.router.driver import Driver
from tests.unit.router_centre import accept, centre, come, complete, has, leave, offered, task_of

KIM = [{"scheme": "crm", "value": "kim"}]
LAST = {"prefer": {"agent": "last", "hold_s": 30}}


def house() -> Driver:
    """What comes goes to the bot, whatever it hands over to Ana or Ben."""
    driver = centre({name: {"queues": [{"queue": "main"}]} for name in ("ana", "ben")})
    driver.put("queue", "bots", offer={"auto_accept": True}, response={"limit_s": 30})
    at = [{"queue": "bots"}]
    driver.put("agent", "helper", kind="bot", capacity=999, channels={"chat": 9}, queues=at)
    driver.put("policy", "default", rules=[{"steps": [{"queue": "bots"}]}])
    driver.put("policy", "humans", rules=[{"steps": [{"queue": "main"}], **LAST}])
    driver.put("customer", "kim", identities=KIM)
    return come(driver, "helper", "ana", "ben")


def hand_over(driver: Driver, thread: str) -> None:
    name = task_of(driver, thread)["id"]
    assert has(driver, "helper") == [thread]
    driver.command(cmd.TransferTask(task=name, agent="helper", to=cmd.TransferTo(policy="humans")))


def contact(driver: Driver, thread: str, agent: str) -> None:
    """A customer's chat: the bot, then a human to the end."""
    driver.say(thread, identities=KIM)
    hand_over(driver, thread)
    driver.command(cmd.CompleteTask(task=accept(driver, agent, thread)))
    driver.wait(5)


def test_whom_a_bot_hands_over_goes_to_the_human_who_had_him_last():
    driver = house()
    contact(driver, "c1", "ana")
    driver.say("c2", identities=KIM)
    hand_over(driver, "c2")
    assert offered(driver, "ana") == ["c2"], "of another conversation"
    complete(driver, accept(driver, "ana"))
    driver.wait(5)
    driver.say("c2", identities=KIM)
    hand_over(driver, "c2")
    assert offered(driver, "ana") == ["c2"], "of the same"


def test_a_bot_is_last_where_no_human_was():
    driver = house()
    driver.say("c1", identities=KIM)
    complete(driver, task_of(driver, "c1")["id"])
    rule = {"steps": [{"queue": "bots"}], "prefer": {"agent": "last"}}
    driver.put("policy", "default", rules=[rule])
    driver.say("c2", identities=KIM)
    assert has(driver, "helper") == ["c2"]
    assert driver.core.conversations["c1"].last_agent == "helper"


def said(driver: Driver, thread: str, role: str) -> None:
    driver.say(thread, "We are open until six.", author={"role": role}, direction="outbound")


def test_what_a_bot_says_answers_for_the_bot_that_has_the_work():
    driver = house()
    driver.say("c1")
    driver.wait(10)
    said(driver, "c1", "bot")
    driver.wait(60)
    assert has(driver, "helper") == ["c1"]
    assert driver.found("task.requeued") == []


def test_what_a_bot_says_answers_for_no_human():
    driver = house()
    driver.put("queue", "main", response={"limit_s": 30})
    driver.say("c1")
    hand_over(driver, "c1")
    accept(driver, "ana", "c1")
    said(driver, "c1", "bot")
    driver.wait(60)
    assert [one["reason"] for one in driver.found("task.requeued")] == ["no_response"]


def full(driver: Driver, **limit: object) -> None:
    """One waits in the queue of the humans, and no more may."""
    leave(driver, "ana")
    leave(driver, "ben")
    driver.put("queue", "relief")
    driver.put("queue", "main", limit={"waiting": 1, **limit})
    for thread in ("c1", "c2"):
        driver.say(thread)
        hand_over(driver, thread)


def test_what_a_bot_hands_over_goes_where_a_full_queue_overflows_to():
    driver = house()
    full(driver, overflow_to="relief")
    assert task_of(driver, "c1")["queues"] == ["main"]
    assert task_of(driver, "c2")["queues"] == ["relief"]


def test_what_a_bot_hands_over_is_never_cancelled_for_a_full_queue():
    driver = house()
    full(driver)
    assert task_of(driver, "c2")["state"] == "pending"
    driver.say("c2", "still there?")
    assert task_of(driver, "c2")["queues"] == ["main"]
