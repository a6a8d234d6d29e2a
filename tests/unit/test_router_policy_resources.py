"""Resources as people write them: each refusal with its pointer, doubts as warnings."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.router.domain import config
from services.router.domain.customers import CustomerIndex
from services.router.domain.policy import CompiledPolicy
from services.router.domain.references import Known, highest_skills, references, warnings
from services.router.forms import FORMS
from services.router.resources import BODY_MAX_BYTES, check, parse
from shared.contracts.problems import Refused

RULE = {"steps": [{"queue": "billing"}]}


def refused(kind: str, body: Any) -> list[tuple[str, str, str | None]]:
    parsed = parse(kind, body, "x")
    assert parsed.resource is None and parsed.canonical is None
    return [(fault.pointer, fault.code, fault.expected) for fault in parsed.faults]


def policy(**rule: Any) -> dict[str, Any]:
    return {"rules": [{**RULE, **rule}]}


def require(*items: Any) -> dict[str, Any]:
    return policy(require=list(items))


def ladder(**level: Any) -> dict[str, Any]:
    whole = {"name": "l", "when": {"declines": 1}, "do": [{"relax": "all"}], **level}
    return {"levels": [whole]}


@pytest.mark.parametrize(
    ("kind", "body", "fault"),
    [
        ("agent", b"[1]", ("", "type", "an object")),
        ("agent", b"{", ("", "json", None)),
        ("agent", b'{"capacity": NaN}', ("", "json", None)),
        ("agent", b'"' + b"x" * BODY_MAX_BYTES + b'"', ("", "too_large", f"at most {BODY_MAX_BYTES} bytes")),
        ("agent", {"id": "y"}, ("/id", "id_mismatch", "x")),
        ("agent", {"skils": {}}, ("/skils", "unknown_field", "skills")),
        ("agent", {"capacity": "100"}, ("/capacity", "type", "a valid integer")),
        ("agent", {"capacity": 0}, ("/capacity", "range", ">= 1")),
        ("agent", {"skills": {"de": 11}}, ("/skills/de", "range", "<= 10")),
        ("agent", {"skills": {"a/b": True}}, ("/skills/a~1b", "type", "a valid integer")),
        ("agent", {"channels": {"fax": 1}}, ("/channels/fax", "one_of", "'phone', 'email', 'chat' or 'social'")),
        ("agent", {"timezone": "Berlin"}, ("/timezone", "time_zone", "such as Europe/Berlin")),
        ("agent", {"queues": ["a", {"queue": "b", "rnk": 1}]}, ("/queues/1/rnk", "unknown_field", "rank")),
        ("agent", {"queues": ["a", "a"]}, ("/queues/1", "duplicate", None)),
        ("agent", {"queues": ["no good"]}, ("/queues/0", "id", "1 to 64 of A-Z a-z 0-9 _ -")),
        ("agent", {"attributes": {"a": "x" * 20_000}}, ("/attributes", "too_large", "at most 16384 bytes")),
        ("queue", {"order": "fifo"}, ("/order", "one_of", "'head_start', 'strict_priority', 'weighted_wait' or 'deadline'")),
        ("queue", {"offer": {"ttl": 3}}, ("/offer/ttl", "unknown_field", "ttl_s")),
        ("queue", {"offer": {"ttl_s": 0}}, ("/offer/ttl_s", "range", "> 0")),
        ("queue", {"service_level": {"first_response": {"threshold_s": 1, "goal": 2}}}, ("/service_level/first_response/goal", "range", "<= 1")),
        ("queue", {"limit": {"waiting": 1, "overflow_to": "x"}}, ("/limit/overflow_to", "self_reference", None)),
        ("policy", {}, ("/rules", "missing", None)),
        ("policy", {"rules": [{"steps": []}]}, ("/rules/0/steps", "too_short", "length >= 1")),
        ("policy", {"rules": [{"steps": [{"queue": "q", "skip_if": "x"}]}]}, ("/rules/0/steps/0/skip_if", "one_of", "'nobody_could'")),
        ("policy", policy(when="1 +"), ("/rules/0/when", "cel_syntax", "a value or a name")),
        ("policy", policy(when="task.chanel == 1"), ("/rules/0/when", "cel_unknown_variable", "task.channel")),
        ("policy", policy(when="[1].all(x, [1].all(y, true))"), ("/rules/0/when", "cel_nested_macro", "one macro after another")),
        ("policy", policy(when="agent.id == 'a'"), ("/rules/0/when", "cel_unknown_variable", "one of conversation, customer, message, now, queues, task")),
        ("policy", policy(priority="10 +"), ("/rules/0/priority", "cel_syntax", "a value or a name")),
        ("policy", policy(priority=True), ("/rules/0/priority", "type", "a number or CEL that gives one")),
        ("policy", policy(priority=10**10), ("/rules/0/priority", "range", "at most 1000000000")),
        ("policy", require("skil('a') > 1"), ("/rules/0/require/0", "cel_unknown_function", "skill")),
        ("policy", require({"cel": "skil('a') > 1"}), ("/rules/0/require/0/cel", "cel_unknown_function", "skill")),
        ("policy", require("now == null"), ("/rules/0/require/0", "cel_unknown_variable", "one of agent, conversation, customer, message, task")),
        ("policy", require({"level": 3}), ("/rules/0/require/0", "one_of", "skill or cel")),
        ("policy", require({"skill": "a", "level": 0}), ("/rules/0/require/0/level", "range", ">= 1")),
        ("policy", require({"skill": "a", "level": 3, "relax": [{"after_s": 1, "level": 3}]}), ("/rules/0/require/0/relax/0/level", "order", "below 3")),
        ("policy", require({"skill": "a", "level": 3, "relax": [{"after_s": 5, "level": 2}, {"after_s": 5, "level": 1}]}), ("/rules/0/require/0/relax/1/after_s", "order", None)),
        ("policy", require({"skill": "a", "relax": [{"after_s": 5, "drop": True}, {"after_s": 6, "drop": True}]}), ("/rules/0/require/0/relax/1", "order", "drop as the last stage")),
        ("policy", require({"skill": "a", "relax": [{"after_s": 5}]}), ("/rules/0/require/0/relax/0", "one_of", "level or drop")),
        ("policy", require({"cel": "true", "relax": [{"after_s": 5, "level": 1}]}), ("/rules/0/require/0/relax/0/level", "one_of", "drop: true")),
        ("escalation", ladder(when={}), ("/levels/0/when", "one_of", "waiting_s, sla, declines, agent_silent_s, reopened, cel")),
        ("escalation", ladder(when={"waiting_s": 1, "declines": 1}), ("/levels/0/when", "one_of", "waiting_s, sla, declines, agent_silent_s, reopened, cel")),
        ("escalation", ladder(when={"sla": {"metric": "m"}}), ("/levels/0/when/sla", "one_of", "used or breached")),
        ("escalation", ladder(when={"cel": 'message.text.matches("(")'}), ("/levels/0/when/cel", "cel_bad_pattern", "unclosed group")),
        ("escalation", ladder(do=[{"reclaim": "now"}]), ("/levels/0/do/0/reclaim", "one_of", "'keep_place' or 'lose_place'")),
        ("escalation", ladder(do=[{"rase_priority": 1}]), ("/levels/0/do/0/rase_priority", "unknown_field", "raise_priority")),
        ("escalation", {"levels": ladder()["levels"] * 2}, ("/levels/1/name", "duplicate", None)),
        ("customer", {"identities": [{"scheme": "phone"}]}, ("/identities/0/value", "missing", None)),
        ("team", {"supervisors": "sam"}, ("/supervisors", "type", "a valid list")),
    ],
)  # fmt: skip
def test_refused_with_its_pointer(kind: str, body: Any, fault: tuple[str, str, str | None]):
    assert fault in refused(kind, body)


def test_all_faults_are_reported_at_once():
    body = {"rules": [{"steps": [{"queue": "q"}], "when": "1 +", "priority": "2 +"}], "oops": 1}
    assert [pointer for pointer, _, _ in refused("policy", body)] == [
        "/rules/0/when",
        "/rules/0/priority",
        "/oops",
    ]


def test_the_place_within_a_rule_is_said():
    (fault,) = parse("policy", policy(when="true && tsk == 1"), "x").faults
    assert fault.message == "there is no 'tsk' (character 9)"


# -- what is accepted

AGENTS = [
    {
        "id": "ana", "name": "Ana Silva", "team": "north", "capacity": 100,
        "channels": {"phone": 1, "chat": 3}, "skills": {"billing": 4, "de": 5},
        "queues": ["billing", {"queue": "general", "rank": 2, "delay_s": 30, "tier": 1}],
        "attributes": {"ratio": 1.0}, "timezone": "Europe/Berlin",
    },
    {"id": "helper", "kind": "bot", "capacity": 1000, "channels": {"chat": 20}},
]  # fmt: skip
ACCEPTED: list[tuple[str, dict[str, Any]]] = [
    *(("agent", body) for body in AGENTS),
    ("queue", {"id": "q"}),
    (
        "queue",
        {
            "id": "q", "order": "deadline", "head_start_s": 1.5, "select": "ranked",
            "offer": {"ttl_s": 20, "parallel": 2, "auto_accept": True, "misses_before_away": 1, "cool_down_s": 0},
            "wrap_up": {"limit_s": 60}, "service_level": {"first_response": {"threshold_s": 60, "goal": 0.9}},
            "calendar": "office", "orphans": {"after_s": 0}, "limit": {"waiting": 0, "overflow_to": "p"},
        },
    ),
    (
        "policy",
        {
            "id": "p", "on_edit": "take",
            "rules": [
                {
                    "name": "r", "when": 'task.channel == "chat"', "priority": "1 + 1",
                    "require": [
                        {"skill": "de", "level": 3, "relax": [{"after_s": 60, "level": 1}, {"after_s": 180, "drop": True}]},
                        "skill(task.language) >= 1",
                        {"cel": 'agent.kind == "bot"', "relax": [{"after_s": 9, "drop": True}]},
                    ],
                    "prefer": {"agent": "last", "hold_s": 30, "reopen_within_s": 86400},
                    "escalation": "standard",
                    "steps": [{"queue": "a", "timeout_s": 300, "skip_if": "nobody_could"}, {"queue": "b", "keep_previous": True}],
                },
            ],
        },
    ),
    (
        "escalation",
        {
            "id": "standard",
            "levels": [
                {"name": "a", "when": {"waiting_s": 1}, "do": [{"raise_priority": 5}, {"relax": "all"}]},
                {"name": "b", "when": {"sla": {"metric": "first_response", "breached": True}}, "do": [{"offer_to": "supervisors"}, {"notify": "sam"}]},
                {"name": "c", "when": {"sla": {"metric": "m", "used": 0.75}}, "do": [{"add_queue": "q"}]},
                {"name": "d", "when": {"reopened": 2}, "do": [{"reclaim": "lose_place"}, {"drop_requirement": "triage"}]},
                {"name": "e", "when": {"cel": "message.text == null"}, "do": [{"relax": "all"}]},
            ],
        },
    ),
    ("customer", {"id": "kim", "tier": "gold", "identities": [{"scheme": "phone", "value": "+4915"}], "attributes": {"n": 2.0}}),
    ("team", {"id": "north", "supervisors": ["sam"]}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "body"), ACCEPTED)
def test_the_canonical_form_is_stable(kind: str, body: dict[str, Any]):
    parsed = parse(kind, msgspec.json.encode(body), body.get("id", "w"))
    assert parsed.faults == []
    assert parsed.canonical is not None
    stored = msgspec.json.encode(parsed.canonical)
    assert msgspec.json.decode(stored, type=config.TYPES[kind]) == parsed.resource
    again = parse(kind, stored, body.get("id", "w"))
    assert (again.resource, again.canonical) == (parsed.resource, parsed.canonical)


def test_rules_that_together_cost_too_much_are_refused():
    """Each keeps its limits; all of them are held against every message."""
    costly = policy(when=r'message.text.matches("\\w{9}a")')["rules"] * 200
    assert refused("policy", {"rules": costly})[0][:2] == ("/rules", "too_costly")
    levels = [
        {
            "name": f"l{n}",
            "when": {"cel": 'task.tags.exists(t, t != "a" || t != "b")'},
            "do": [{"relax": "all"}],
        }
        for n in range(50)
    ]
    assert parse("escalation", {"levels": levels}, "x").faults == []


def test_short_forms_and_defaults():
    ana = parse("agent", AGENTS[0], "ana").resource
    assert ana.queues == (
        config.AgentQueue("billing"),
        config.AgentQueue("general", rank=2, delay_s=30),
    )
    assert ana.serves("billing") == config.AgentQueue("billing") and ana.serves("else") is None
    helper = parse("agent", AGENTS[1], "helper").resource
    assert helper.queues is None and helper.serves("any") == config.AgentQueue("any")
    queue = parse("queue", b"{}", "q").resource
    assert queue == config.Queue("q")
    assert (queue.order, queue.head_start_s, queue.select) == ("head_start", 60, "least_loaded")
    assert queue.offer == config.OfferRules(20, 1, False, 3, 60)


def test_channels_that_the_settings_do_not_name_keep_their_cost():
    settings = config.Settings(channels={"chat": config.ChannelCost(50)})
    assert settings.channel("chat").cost == 50
    assert settings.channel("phone").cost == 100


def test_written_policies_decide():
    body = {"rules": [policy(require=["skill('a') >= 2"], priority=3)["rules"][0]]}
    CompiledPolicy(parse("policy", body, "p").resource, 1)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["rules", "when", "steps", "queue", "require", "skill", "relax", "levels",
                         "do", "offer", "id", "queues", "channels", "chat", "a~/b", "identities"]),
        inner, max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@settings(deadline=None)
@given(
    st.sampled_from(sorted(FORMS)),
    st.dictionaries(st.sampled_from(["rules", "levels", "queues", "offer", "x"]), JUNK),
)
def test_any_body_is_judged_without_raising(kind: str, body: dict[str, Any]):
    parsed = parse(kind, body, "x")
    assert (parsed.resource is None) is bool(parsed.faults)
    for fault in parsed.faults:
        assert fault.pointer == "" or fault.pointer.startswith("/")


# -- what is named must be there, or is doubted

KNOWN = Known(
    queues=frozenset({"billing", "general"}),
    escalations=frozenset({"standard"}),
    calendars=frozenset({"office"}),
    agents=frozenset({"ana"}),
    teams=frozenset({"north"}),
    skills={"billing": 4},
)


def named(kind: str, body: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    resource = parse(kind, body, "x").resource
    return [(fault.pointer, fault.code, fault.expected) for fault in references(resource, KNOWN)]


def test_unknown_queue_escalation_and_calendar_are_refused():
    assert named(
        "policy", {"rules": [{"steps": [{"queue": "biling"}], "escalation": "standrd"}]}
    ) == [
        ("/rules/0/escalation", "unknown_escalation", "standard"),
        ("/rules/0/steps/0/queue", "unknown_queue", "billing"),
    ]
    assert named("queue", {"calendar": "ofice"}) == [("/calendar", "unknown_calendar", "office")]
    assert named("agent", {"queues": ["general", "zzz"]}) == [
        ("/queues/1", "unknown_queue", "one of billing, general")
    ]
    assert named("escalation", ladder(do=[{"relax": "all"}, {"add_queue": "generl"}])) == [
        ("/levels/0/do/1/add_queue", "unknown_queue", "general")
    ]


def test_what_is_not_known_here_is_not_judged():
    resource = parse("queue", {"calendar": "ofice"}, "x").resource
    assert references(resource, Known()) == []
    assert warnings(parse("policy", require("skill('x') > 1"), "x").resource, Known()) == []


def doubts(kind: str, body: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (warn.pointer, warn.message) for warn in warnings(parse(kind, body, "x").resource, KNOWN)
    ]


@pytest.mark.parametrize(
    ("kind", "body", "doubt"),
    [
        ("agent", {"team": "south", "channels": {"chat": 1}}, ("/team", "there is no team 'south' yet")),
        ("agent", {}, ("/channels", "the agent serves no channel, so nothing will be offered to him")),
        ("agent", {"channels": {"chat": 1}, "queues": []}, ("/queues", "the agent serves no queue, so nothing will be offered to him")),
        ("queue", {"limit": {"waiting": 1, "overflow_to": "later"}}, ("/limit/overflow_to", "there is no queue 'later' yet")),
        ("policy", require({"skill": "bling", "level": 1}), ("/rules/0/require/0", "no agent has the skill 'bling'")),
        ("policy", require({"skill": "billing", "level": 5}), ("/rules/0/require/0", "no agent has billing at 5; the highest is 4")),
        ("policy", require('skill("x") >= 1 && true'), ("/rules/0/require/0", "no agent has the skill 'x'")),
        ("policy", policy(prefer={"agent": "zoe"}), ("/rules/0/prefer/agent", "there is no agent 'zoe' yet")),
        ("policy", {"rules": [RULE, {**RULE, "when": "true"}]}, ("/rules/1", "the rule is never reached: rule 0 has no condition")),
        ("policy", policy(steps=[{"queue": "billing"}, {"queue": "general"}]), ("/rules/0/steps/0", "without timeout_s the steps after this one never begin")),
        ("escalation", ladder(do=[{"notify": "sam"}]), ("/levels/0/do/0/notify", "there is no agent 'sam' yet")),
        ("team", {"supervisors": ["ana", "sam"]}, ("/supervisors/1", "there is no agent 'sam' yet")),
    ],
)  # fmt: skip
def test_doubts(kind: str, body: dict[str, Any], doubt: tuple[str, str]):
    assert doubts(kind, body) == [doubt]


def test_sound_resources_raise_no_doubt():
    assert doubts("policy", require({"skill": "billing", "level": 4})) == []
    assert (
        doubts("policy", policy(require=["skill('billing') >= 4"], prefer={"agent": "last"})) == []
    )
    assert doubts("escalation", ladder(do=[{"offer_to": "supervisors"}])) == []


def test_an_identity_of_two_customers_is_doubted():
    index = CustomerIndex()
    identities = [{"scheme": "email", "value": "A@x"}]
    index.put(parse("customer", {"identities": identities}, "kim").resource)
    twin = parse("customer", {"identities": identities}, "kai").resource
    assert [warn.pointer for warn in warnings(twin, Known(customers=index))] == ["/identities/0"]


def test_highest_skills():
    agents = [config.Agent("a", skills={"x": 1, "y": 5}), config.Agent("b", skills={"x": 3})]
    assert highest_skills(agents) == {"x": 3, "y": 5}


def test_check_answers_or_refuses_with_every_fault():
    resource, canonical, found = check("policy", require({"skill": "new"}), "x", KNOWN)
    assert (resource.id, canonical["id"], len(found)) == ("x", "x", 1)
    for body, pointer in (
        ({"rules": 1}, "/rules"),
        ({"rules": [{"steps": [{"queue": "q"}]}]}, "/rules/0/steps/0/queue"),
    ):
        with pytest.raises(Refused) as raised:
            check("policy", body, "x", KNOWN)
        assert (raised.value.kind, [fault.pointer for fault in raised.value.errors]) == (
            "validation",
            [pointer],
        )
