"""Random workspaces and histories: what holds in all of them, seen from outside by the journal."""

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.router.domain import commands as cmd
from services.router.domain import invariants, views
from services.router.domain.state import OPEN
from services.router.driver import Driver
from shared.contracts.problems import Refused

SELECTS = ("least_loaded", "longest_idle", "round_robin", "best_skilled", "ranked", "random")
ORDERS = ("head_start", "strict_priority", "weighted_wait", "deadline")
CHANNELS = ("chat", "email", "phone")
ENDS = ("accepted", "declined", "expired", "revoked")

AGENTS = st.lists(
    st.fixed_dictionaries(
        {
            "capacity": st.sampled_from([60, 100, 150]),
            "channels": st.dictionaries(st.sampled_from(CHANNELS), st.integers(1, 3), min_size=1),
            "skills": st.dictionaries(st.sampled_from(["de", "en"]), st.integers(1, 5)),
            "tier": st.integers(1, 2),
        }
    ),
    min_size=1,
    max_size=5,
)
QUEUE = st.fixed_dictionaries(
    {
        "order": st.sampled_from(ORDERS),
        "select": st.sampled_from(SELECTS),
        "offer": st.fixed_dictionaries(
            {"parallel": st.integers(1, 3), "ttl_s": st.just(15), "auto_accept": st.booleans()}
        ),
    }
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["say", "say", "say", "accept", "accept", "decline", "complete", "wait",
                         "away", "back", "requeue", "cancel"]),
        st.integers(0, 99),
    ),
    min_size=5,
    max_size=60,
)  # fmt: skip


def play(
    agents: list[dict[str, Any]], queue: dict[str, Any], steps: list[tuple[str, int]],
    names: list[str],
) -> Driver:  # fmt: skip
    """The same story whoever the agents are: they are addressed by their place."""
    driver = Driver(seed=3)
    driver.put("queue", "main", **queue)
    require = [{"skill": "de", "level": 2, "relax": [{"after_s": 20, "drop": True}]}]
    rules = [
        {"when": 'task.language == "de"', "priority": 3, "require": require,
         "steps": [{"queue": "main"}]},
        {"steps": [{"queue": "main"}]},
    ]  # fmt: skip
    driver.put("policy", "default", rules=rules)
    for name, body in zip(names, agents, strict=True):
        serves = [{"queue": "main", "tier": body["tier"]}]
        more = {key: value for key, value in body.items() if key != "tier"}
        driver.put("agent", name, queues=serves, **more)
        driver.command(cmd.SetPresence(agent=name, status="available"))
        driver.wait(1)
    for number, (what, pick) in enumerate(steps):
        _step(driver, names, number, what, pick)
    return driver


def _step(driver: Driver, names: list[str], number: int, what: str, pick: int) -> None:
    driver.wait(0.25)
    who = names[pick % len(names)]
    offers = views.work(driver.core, who)[1]["offers"]
    shown = [one for _, one in views.tasks(driver.core, states=sorted(OPEN))]
    task = shown[pick % len(shown)]["id"] if shown else "tsk_none"
    commands: dict[str, cmd.Command | None] = {
        "accept": cmd.AcceptOffer(agent=who, offer=offers[0]["id"]) if offers else None,
        "decline": cmd.DeclineOffer(agent=who, offer=offers[0]["id"]) if offers else None,
        "complete": cmd.CompleteTask(task=task),
        "away": cmd.SetPresence(agent=who, status="away"),
        "back": cmd.SetPresence(agent=who, status="available"),
        "requeue": cmd.RequeueTask(task=task),
        "cancel": cmd.CancelTask(task=task),
    }
    if what == "say":
        language = "de" if pick % 3 else "en"
        driver.say(f"c{number}", channel=CHANNELS[pick % 3], language=language)
    elif what == "wait":
        driver.wait(pick)
    elif (command := commands[what]) is not None:
        try:
            driver.command(command)
        except Refused:
            pass


@settings(max_examples=60, deadline=None)
@given(AGENTS, QUEUE, STEPS)
def test_capacity_offers_and_work_conservation(
    agents: list[dict[str, Any]], queue: dict[str, Any], steps: list[tuple[str, int]]
) -> None:
    driver = play(agents, queue, steps, [f"a{n}" for n in range(len(agents))])
    assert invariants.check(driver.core) == []
    assert invariants.over_capacity(driver.core) == []
    for name in driver.core.desks:
        load = views.work(driver.core, name)[1]["agent"]["load"]
        assert load["used"] <= load["capacity"]
    for _, shown in views.tasks(driver.core, states=sorted(OPEN)):
        driver.command(cmd.CancelTask(task=shown["id"]))
    driver.wait(100)
    _each_offer_ends_once(driver)
    _one_acceptance_for_each_assignment(driver)


def _each_offer_ends_once(driver: Driver) -> None:
    made = {event["offer_id"] for event in driver.found("offer.created")}
    ended = Counter(event["offer_id"] for kind in ENDS for event in driver.found(f"offer.{kind}"))
    assert set(ended) == made
    assert all(count == 1 for count in ended.values())


def _one_acceptance_for_each_assignment(driver: Driver) -> None:
    by_offer = [event["offer_id"] for event in driver.found("task.assigned")]
    accepted = [event["offer_id"] for event in driver.found("offer.accepted")]
    assert by_offer == accepted
    owner: dict[str, str | None] = {}
    for event in driver.journal:
        data = _data(event)
        task = data.get("task_id")
        if event.type == "routing.task.assigned.v1":
            assert owner.get(task) is None, "assigned to two at once"
            owner[task] = data["agent_id"]
        elif event.type in ("routing.task.requeued.v1", "routing.task.completed.v1"):
            owner[task] = None


def _data(event: Any) -> dict[str, Any]:
    import msgspec

    return msgspec.json.decode(event.data)


def _winners(driver: Driver, names: list[str]) -> list[tuple[str, int]]:
    return [
        (event["conversation_id"], names.index(event["agent_id"]))
        for event in driver.found("offer.created")
    ]


@settings(max_examples=40, deadline=None)
@given(AGENTS, QUEUE, STEPS)
def test_new_names_in_the_same_order_change_nothing(
    agents: list[dict[str, Any]], queue: dict[str, Any], steps: list[tuple[str, int]]
) -> None:
    one = [f"a{n}" for n in range(len(agents))]
    other = [f"zed{n}x" for n in range(len(agents))]
    assert _winners(play(agents, queue, steps, one), one) == _winners(
        play(agents, queue, steps, other), other
    )


@settings(max_examples=40, deadline=None)
@given(AGENTS, QUEUE, STEPS, st.sampled_from(["least_loaded", "ranked"]), st.randoms())
def test_names_decide_full_ties_only(
    agents: list[dict[str, Any]], queue: dict[str, Any], steps: list[tuple[str, int]],
    select: str, chance: Any,
) -> None:  # fmt: skip
    """These selects end in the instant of becoming available, which no two of these agents share."""
    queue = {**queue, "select": select}
    one = [f"a{n}" for n in range(len(agents))]
    other = list(one)
    chance.shuffle(other)
    assert _winners(play(agents, queue, steps, one), one) == _winners(
        play(agents, queue, steps, other), other
    )


@settings(max_examples=20, deadline=None)
@given(AGENTS, QUEUE, STEPS)
def test_the_same_story_gives_the_same_bytes(
    agents: list[dict[str, Any]], queue: dict[str, Any], steps: list[tuple[str, int]]
) -> None:
    names = [f"a{n}" for n in range(len(agents))]
    first, second = (play(agents, queue, steps, names) for _ in range(2))
    assert first.journal == second.journal
    assert first.core.dump() == second.core.dump()
