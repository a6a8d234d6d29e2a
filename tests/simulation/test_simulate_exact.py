"""Days so regular that every figure can be worked out by hand."""

import json

import pytest

from services.cli.simulate import read
from services.router.simulate import running
from services.router.simulate.centre import hired
from services.router.simulate.replication import Replication
from services.router.simulate.report import report
from tests.simulation.centres import calls, means, scenario_of, simulated, staff


def regular(every_s, service_s, **more):
    return calls({"every_s": every_s}, {"fixed": service_s}, **more)


def recorded(tmp_path, *at_s):
    file = tmp_path / "arrivals.ndjson"
    file.write_text("".join(f'{{"at_s": {at}}}\n' for at in at_s))
    return {"file": file.name}


def test_one_agent_who_falls_behind():
    """Arrivals at 0, 10, …, 90; the k-th waits 5 k seconds; the last leaves at 150."""
    made = simulated(
        horizon_s=100, staff=[staff(1)], contacts=[regular(10, 15)], report={"within_s": [20]}
    )
    figures = means(made["total"])
    assert figures == {
        "arrived": 10, "served": 10, "abandoned": 0, "blocked": 0, "retried": 0,
        "p_wait": 0.9, "p_no_wait": 0.1, "wait_s": 22.5, "wait_served_s": 22.5,
        "queue_length": (5 + 10 + 15 + 20 + 25 + 30 + 30 + 20 + 10) / 100,
    }  # fmt: skip
    within = made["total"]["within"]["20"]
    assert (within["served"]["mean"], within["abandoned_within"]["mean"]) == (5, 0)
    assert {one["mean"] for one in within["service_level"].values()} == {0.5}
    group = made["groups"]["all"]
    assert means(group) == {"occupancy": 1, "busy_s": 150, "staffed_s": 150}
    assert group["served_by_class"]["call"]["mean"] == 10
    assert group["served_at_once_by_class"]["call"]["mean"] == 1


def test_the_warm_up_is_cut_from_figures_and_the_horizon_ends_averages():
    made = simulated(horizon_s=100, warm_up_s=30, staff=[staff(2)], contacts=[regular(10, 15)])
    figures, group = means(made["total"]), means(made["groups"]["all"])
    assert (figures["arrived"], figures["wait_s"], figures["queue_length"]) == (7, 0, 0)
    # From 30: two services to the end of the first, then always one and a half; the last leaves at 105.
    assert group["staffed_s"] == 2 * (105 - 30)
    assert group["occupancy"] == pytest.approx((5 + 15 * 7 - 5) / (2 * 70))
    assert group["busy_s"] == 5 + 15 * 7


def test_without_drain_the_horizon_cuts_what_goes_on():
    """The k-th waits 5 k; at 100 those of 70, 80 and 90 still wait."""
    made = simulated(
        horizon_s=100, drain=False, staff=[staff(1)], contacts=[regular(10, 15)],
        report={"within_s": [15]},
    )  # fmt: skip
    figures = means(made["total"])
    assert (figures["arrived"], figures["served"]) == (10, 7)
    assert figures["wait_served_s"] == pytest.approx((5 + 10 + 15 + 20 + 25 + 30) / 7)
    assert figures["wait_s"] == pytest.approx((105 + 30 + 20 + 10) / 10)
    assert means(made["groups"]["all"])["staffed_s"] == 100
    levels = made["total"]["within"]["15"]["service_level"]
    assert levels["abandons_ignored"]["mean"] == pytest.approx(4 / 7)
    assert levels["live"]["mean"] == pytest.approx(4 / 9)


def test_service_is_of_the_period_in_which_it_starts():
    """The call of 90 starts at 105 in the second period, after the call of 80 (from 80 to 105)."""
    made = simulated(
        horizon_s=120, periods_s=[100, 120], staff=[staff(1)],
        contacts=[calls({"every_s": [80, 10]}, {"fixed": [105, 2]})],
    )  # fmt: skip
    # Arrivals 0, 80 | 160 is past the horizon: the second period keeps the first one's last gap.
    assert means(made["total"])["arrived"] == 2
    first, second = (means(one) for one in made["total"]["by_period"])
    assert (first["arrived"], second["arrived"]) == (2, 0)
    assert first["wait_s"] == 25 / 2
    assert means(made["groups"]["all"])["busy_s"] == 105 + 2
    assert second["wait_s"] is None and second["queue_length"] == pytest.approx(5 / 20)


def test_what_the_last_period_says_holds_on():
    made = simulated(
        horizon_s=100, periods_s=[20, 40], staff=[staff([1, 2])],
        contacts=[calls({"every_s": [0, 10]}, {"fixed": 20})],
    )  # fmt: skip
    first, second = (means(one) for one in made["total"]["by_period"])
    # None before 20; from then on two agents keep up; the last of 20, 30, …, 90 leaves at 110.
    assert (first["arrived"], second["arrived"], second["p_wait"]) == (0, 8, 0)
    assert means(made["groups"]["all"])["staffed_s"] == 20 + 2 * 90


def test_when_staff_falls_idle_agents_leave_first(tmp_path):
    """At 100 one of three is busy until 130: the two idle ones leave, he goes on."""
    made = simulated(
        folder=tmp_path, horizon_s=200, periods_s=[100, 200], staff=[staff([3, 1])],
        contacts=[calls(recorded(tmp_path, 90, 110), {"fixed": 40})],
    )  # fmt: skip
    figures, group = means(made["total"]), means(made["groups"]["all"])
    assert (figures["wait_s"], figures["p_wait"]) == ((0 + 20) / 2, 0.5)
    # The last departure is at 170.
    assert group["staffed_s"] == 3 * 100 + 70
    assert group["busy_s"] == 80


def test_then_whoever_ends_work_first_leaves_and_takes_nothing_new(tmp_path):
    """Two agents work until 130 and 140; from 100 on there is one. He who ends at 130 leaves,
    though a call has waited since 105; the other takes it at 140."""
    made = simulated(
        folder=tmp_path, horizon_s=300, periods_s=[100, 300], staff=[staff([2, 1])],
        contacts=[calls(recorded(tmp_path, 90, 100, 105), {"fixed": [40, 40]})],
    )  # fmt: skip
    # 90 -> until 130. The call of 100 comes in the instant of the change: the idle one has left.
    figures, group = means(made["total"]), means(made["groups"]["all"])
    assert figures["wait_s"] == pytest.approx((0 + 30 + 65) / 3)
    made = simulated(
        folder=tmp_path, horizon_s=300, periods_s=[100, 300], staff=[staff([2, 1])],
        contacts=[calls(recorded(tmp_path, 90, 95, 105), {"fixed": [40, 50]})],
    )  # fmt: skip
    figures, group = means(made["total"]), means(made["groups"]["all"])
    # Ends at 130 (leaves) and 135; the third waits from 105 to 135 and ends at 185.
    assert figures["wait_s"] == pytest.approx(30 / 3)
    assert group["staffed_s"] == 130 + 185
    assert group["busy_s"] == 40 + 40 + 50


def test_who_was_about_to_leave_stays_when_staff_rises_again(tmp_path):
    made = simulated(
        folder=tmp_path, horizon_s=300, periods_s=[100, 110, 300], staff=[staff([2, 1, 2])],
        contacts=[calls(recorded(tmp_path, 90, 95, 120, 121), {"fixed": 40})],
    )  # fmt: skip
    # Both work until 130 and 135 and are two again from 110 on: the others wait for them.
    assert means(made["total"])["wait_s"] == pytest.approx((10 + 14) / 4)
    assert means(made["groups"]["all"])["staffed_s"] == 2 * 175


def test_staff_may_be_nobody(tmp_path):
    made = simulated(
        folder=tmp_path, horizon_s=300, periods_s=[100, 200, 300], staff=[staff([1, 0, 1])],
        contacts=[calls(recorded(tmp_path, 50, 150), {"fixed": 60})],
    )  # fmt: skip
    # On duty 0 to 110 (works on), and 200 to 260 (serves who has waited since 150).
    assert means(made["total"])["wait_s"] == 25
    assert means(made["groups"]["all"])["staffed_s"] == 110 + 60


def test_lines_are_taken_by_who_waits_and_who_is_served(tmp_path):
    made = simulated(
        folder=tmp_path, horizon_s=100, lines=2, staff=[staff(1)],
        contacts=[
            calls(
                recorded(tmp_path, 0, 1, 2, 30, 31), {"fixed": 30},
                retry={"probability": 1, "after": {"fixed": 10}},
            )
        ],
    )  # fmt: skip
    # 2 finds no line; at 30 the first has left in the same instant; 31 finds none. No retries.
    figures = means(made["total"])
    assert (figures["arrived"], figures["served"], figures["blocked"]) == (5, 3, 2)
    assert figures["retried"] == 0
    # Of the admitted: 0, 29 and 30 seconds.
    assert (figures["wait_s"], figures["p_wait"]) == (pytest.approx(59 / 3), pytest.approx(2 / 3))


def test_a_full_queue_blocks_after_the_offer_was_tried(tmp_path):
    made = simulated(
        folder=tmp_path, queue={"limit": {"waiting": 1}}, horizon_s=100, staff=[staff(1)],
        contacts=[calls(recorded(tmp_path, 0, 1, 2), {"fixed": 30})],
    )  # fmt: skip
    figures = means(made["total"])
    assert (figures["served"], figures["blocked"], figures["wait_s"]) == (2, 1, 29 / 2)


def test_who_abandons_tries_again_with_the_same_patience(tmp_path):
    """One agent until 100. The second call gives up at 15, comes again at 45, gives up at 55, comes
    again at 85, gives up at 95, would come at 125: that is after the horizon."""
    made = simulated(
        folder=tmp_path, horizon_s=120, warm_up_s=1, periods_s=[50, 120], staff=[staff(1)],
        contacts=[
            calls(
                recorded(tmp_path, 0, 5), {"fixed": 100}, patience={"fixed": 10},
                retry={"probability": 1, "after": {"fixed": 30}},
            )
        ],
        report={"within_s": [10, 9.5]},
    )  # fmt: skip
    figures = means(made["total"])
    assert (figures["arrived"], figures["retried"], figures["abandoned"]) == (3, 2, 3)
    assert (figures["served"], figures["wait_s"], figures["wait_served_s"]) == (0, 10, None)
    by_period = [means(one) for one in made["total"]["by_period"]]
    assert [one["arrived"] for one in by_period] == [2, 1]
    within = made["total"]["within"]
    assert within["10"]["abandoned_within"]["mean"] == 3
    assert within["9.5"]["abandoned_within"]["mean"] == 0
    assert within["10"]["service_level"]["abandons_ignored"]["mean"] is None


def test_who_gives_up_in_the_instant_of_his_turn_is_served(tmp_path):
    made = simulated(
        folder=tmp_path, horizon_s=100, staff=[staff(1)],
        contacts=[calls(recorded(tmp_path, 0, 10), {"fixed": 30}, patience={"fixed": 20})],
    )  # fmt: skip
    assert means(made["total"])["served"] == 2


def test_an_answer_takes_time_and_patience_goes_on(tmp_path):
    """Offered at 0, the first would be answered at 5 but gives up at 3; the agent is offered the
    second, which came at 2, at once, and answers at 8."""
    contacts = [
        calls(recorded(tmp_path, 0), {"fixed": 10}, name="hasty", patience={"fixed": 3}),
        calls({"every_s": [0, 100]}, {"fixed": 10}, name="calm"),
    ]
    made = simulated(
        folder=tmp_path, horizon_s=50, periods_s=[2, 50], staff=[staff(1, answer_s={"fixed": 5})],
        contacts=contacts,
    )  # fmt: skip
    assert means(made["classes"]["hasty"])["abandoned"] == 1
    calm = means(made["classes"]["calm"])
    assert (calm["served"], calm["wait_s"], calm["p_wait"]) == (1, 6, 1)
    group = made["groups"]["all"]
    assert (group["busy_s"]["mean"], group["staffed_s"]["mean"]) == (10, 18)
    assert group["served_at_once_by_class"]["calm"]["mean"] == 0


def test_an_agent_who_answers_too_late_misses_the_offer_and_comes_back(tmp_path):
    """20 s to answer, 8 allowed: each offer expires, and the agent is away after the first miss until
    he sees it. Cool-down 30: offered at 0 (till 8), at 30 (till 38); the caller gives up at 60, while
    the third offer of 60 … is not his: patience ends first."""
    made = simulated(
        folder=tmp_path, horizon_s=100,
        queue={"offer": {"ttl_s": 8, "misses_before_away": 1, "cool_down_s": 30}},
        staff=[staff(1, answer_s={"fixed": 20})],
        contacts=[calls(recorded(tmp_path, 0), {"fixed": 10}, patience={"fixed": 60})],
    )  # fmt: skip
    figures = means(made["total"])
    assert (figures["served"], figures["abandoned"], figures["wait_s"]) == (0, 1, 60)


def test_a_requirement_relaxes_in_virtual_time(tmp_path):
    rule = {
        "require": [{"skill": "es", "level": 5, "relax": [{"after_s": 12, "level": 1}]}],
        "steps": [{"queue": "main"}],
    }
    made = simulated(
        folder=tmp_path, policies=[{"id": "default", "rules": [rule]}], horizon_s=100,
        staff=[staff(1, "spanish", {"es": 5}), staff(1, "bilingual", {"es": 3})],
        contacts=[calls(recorded(tmp_path, 0, 1), {"fixed": 90})],
    )  # fmt: skip
    assert means(made["total"])["wait_s"] == 6
    served = {name: one["served_by_class"]["call"]["mean"] for name, one in made["groups"].items()}
    assert served == {"spanish": 1, "bilingual": 1}


def test_a_step_and_a_ladder_ring_in_virtual_time(tmp_path):
    """After 20 s the second queue joins; its agents are free. A ladder raises the priority of who
    has waited 5 s over one who came before."""
    made = simulated(
        folder=tmp_path, horizon_s=100,
        queues=[{"id": "first"}, {"id": "second"}],
        policies=[{
            "id": "default",
            "rules": [{"steps": [
                {"queue": "first", "timeout_s": 20}, {"queue": "second", "keep_previous": True},
            ]}],
        }],
        staff=[
            {"group": "far", "count": 1, "agent": {"channels": {"phone": 1}, "queues": ["second"]}},
        ],
        contacts=[calls(recorded(tmp_path, 3), {"fixed": 10})],
    )  # fmt: skip
    assert means(made["total"])["wait_s"] == 20


def test_wrap_up_keeps_the_agent_but_not_the_line(tmp_path):
    made = simulated(
        folder=tmp_path, queue={"wrap_up": {"limit_s": 5}}, horizon_s=100, lines=1,
        staff=[staff(1)], contacts=[calls(recorded(tmp_path, 0, 10), {"fixed": 10})],
    )  # fmt: skip
    figures = means(made["total"])
    # The line is free at 10; the agent at 15.
    assert (figures["blocked"], figures["wait_s"]) == (0, 2.5)
    assert means(made["groups"]["all"])["busy_s"] == 30


def test_service_by_group(tmp_path):
    service = {"by_group": {"slow": {"fixed": 50}, "fast": {"fixed": 7}}}
    made = simulated(
        folder=tmp_path, horizon_s=100, staff=[staff(1, "fast"), staff(1, "slow")],
        contacts=[calls(recorded(tmp_path, 0, 1), service)],
    )  # fmt: skip
    busy = {name: one["busy_s"]["mean"] for name, one in made["groups"].items()}
    assert busy == {"fast": 7, "slow": 50}


def test_a_silent_agents_ladder_does_not_fire_while_he_talks(tmp_path):
    ladder = {"id": "l", "levels": [
        {"name": "silent", "when": {"agent_silent_s": 30}, "do": [{"reclaim": "keep_place"}]},
    ]}  # fmt: skip
    rule = {"escalation": "l", "steps": [{"queue": "main"}]}
    content = scenario_of(
        policies=[{"id": "default", "rules": [rule]}], horizon_s=100, staff=[staff(1)],
        contacts=[calls(recorded(tmp_path, 0), {"fixed": 90})],
    )  # fmt: skip
    content["workspace"]["escalations"] = [ladder]
    scenario = read(content, tmp_path)
    sums = running.run(scenario, hired(scenario), 1, lambda more: None)
    made = report(scenario, sums, 1.0)
    assert means(made["groups"]["all"])["busy_s"] == 90


# -- the same figures, however they are worked out

MIXED = {
    "queue": {"order": "head_start"},
    "horizon_s": 1200,
    "periods_s": [300, 700, 1200],
    "lines": 12,
    "replications": 6,
    "busyness": {"gamma": {"shape": 20, "mean": 1.0}},
    "staff": [staff([3, 5, 2], "a", {"x": 5}), staff(2, "b", {"x": 2})],
    "contacts": [
        calls(
            [200, 300, 100], {"gamma": {"shape": 2, "mean_s": [40, 50, 45]}}, name="one",
            patience={"exponential": {"mean_s": 60}},
            retry={"probability": 0.5, "after": {"uniform": {"min_s": 10, "max_s": 90}}},
        ),
        calls(60, {"lognormal": {"mean_s": 60, "sd_s": 30}}, name="two"),
    ],
    "report": {"within_s": [20]},
}  # fmt: skip


def figures_of(made):
    return json.dumps({name: one for name, one in made.items() if name != "run"}, sort_keys=True)


def test_workers_change_no_figure():
    scenario = read(scenario_of(**MIXED), ".")
    entities = hired(scenario)
    alone = running.run(scenario, entities, 1, lambda more: None)
    done = []
    beside = running.run(scenario, entities, 2, done.append)
    assert sum(done) == 6
    made = [figures_of(report(scenario, sums, 1.0)) for sums in (alone, beside)]
    assert made[0] == made[1]
    other = read(scenario_of(**{**MIXED, "seed": 2}), ".")
    changed = running.run(other, entities, 1, lambda more: None)
    assert figures_of(report(scenario, changed, 1.0)) != made[0]


def test_offers_that_the_core_accepts_itself_change_no_figure(monkeypatch):
    """Where nobody takes time to answer, the core is told to accept: against answering by hand."""
    quick = simulated(**MIXED)
    monkeypatch.setattr("services.router.simulate.centre._quickened", lambda scenario, one: one)
    by_hand = simulated(**MIXED)
    assert by_hand["run"]["inputs"] > quick["run"]["inputs"]
    assert figures_of(quick) == figures_of(by_hand)


def test_all_that_arrives_is_told():
    """Every contact of the counted time is served, abandoned or blocked when work has run out."""
    scenario = read(scenario_of(**MIXED), ".")
    sums = Replication(scenario, 3, hired(scenario)).run()
    rows = [row for periods in sums.rows for row in periods]
    assert sum(row[0] for row in rows) == sum(row[1] + row[2] + row[3] for row in rows) > 50
    assert sum(row[0] for row in rows) == sums.contacts
    assert sum(map(sum, sums.served)) == sum(row[1] for row in rows)


def test_who_answers_and_ends_before_the_others_leaves_in_their_place(tmp_path):
    """At 100 one is in service until 200 and one answers at 103, until 113: he leaves, though it
    was not known at 100. A call of 105 is offered at 200 and answered at 205."""
    made = simulated(
        folder=tmp_path, horizon_s=300, periods_s=[100, 300],
        staff=[staff([2, 1], answer_s={"fixed": 5})],
        contacts=[
            calls({"file": _lines(tmp_path, "long", 90)}, {"fixed": 105}, "long"),
            calls({"file": _lines(tmp_path, "short", 98, 105)}, {"fixed": 10}, "short"),
        ],
    )  # fmt: skip
    assert means(made["classes"]["short"])["wait_s"] == (5 + 100) / 2
    assert means(made["groups"]["all"])["staffed_s"] == 113 + 215


def test_agents_of_several_chats_leave_when_the_last_one_ends(tmp_path):
    """One has chats until 100 and 102, the other until 101: from 50 on the second takes nothing
    new, though he is less loaded, and leaves at 101."""
    agent = {"capacity": 90, "channels": {"chat": 3}}
    content = scenario_of(
        queues=[{"id": "main"}], horizon_s=300, periods_s=[50, 300],
        staff=[{"group": "all", "count": [2, 1], "agent": agent}],
        contacts=[calls(recorded(tmp_path, 0, 1, 2, 60), {"fixed": 100})],
    )  # fmt: skip
    content["workspace"]["channels"] = {"chat": {"cost": 30}}
    content["contacts"][0]["task"]["channel"] = "chat"
    scenario = read(content, tmp_path)
    sums = running.run(scenario, hired(scenario), 1, lambda more: None)
    made = report(scenario, sums, 1.0)
    assert means(made["total"])["wait_s"] == 0
    assert means(made["groups"]["all"]) == {
        "occupancy": pytest.approx((160 + 100) / (160 + 101 + 140)),
        "busy_s": 160 + 100,
        "staffed_s": 160 + 101,
    }


def _lines(folder, name, *at_s):
    file = folder / f"{name}.ndjson"
    file.write_text("".join(f"{at}\n" for at in at_s))
    return file.name
