"""The resources as people write them: every field and cross-check by name.

Pydantic refuses here what `services/router/domain/config.py` then takes for granted; what a single
field may be is in `services/router/fields.py`.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from services.router.fields import (
    ACTIONS_MAX,
    AGENT_QUEUES_MAX,
    AGENT_SKILLS_MAX,
    CAP_MAX,
    IDENTITIES_MAX,
    LEVEL_MAX,
    LEVELS_MAX,
    NAMED_AGENTS_MAX,
    OFFER_TTL_MAX_S,
    PARALLEL_MAX,
    PRIORITY_MAX,
    RELAX_MAX,
    REQUIRES_MAX,
    RULES_MAX,
    SERVICE_LEVELS_MAX,
    SHIFTS_MAX,
    STEPS_MAX,
    SUPERVISORS_MAX,
    UNITS_MAX,
    AgentCel,
    Attributes,
    Count,
    Id,
    Name,
    NamedAgents,
    NeededLevel,
    Share,
    Skill,
    Span,
    SpanOrNone,
    When,
    Zone,
    as_cel,
    as_priority,
    as_queue,
    check_weights,
    fault,
)
from shared.contracts.ids import CLIENT_ID
from shared.contracts.topics import Channel


class Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class AgentQueueForm(Form):
    queue: Id
    rank: Annotated[int, Field(ge=1, le=1000)] = 1
    delay_s: SpanOrNone = 0
    tier: Annotated[int, Field(ge=1, le=1000)] = 1


class AgentForm(Form):
    id: Id
    name: Name | None = None
    team: Id | None = None
    kind: Literal["human", "bot"] = "human"
    capacity: Annotated[int, Field(ge=1, le=UNITS_MAX)] = 100
    channels: dict[Channel, Annotated[int, Field(ge=0, le=CAP_MAX)]] = {}
    skills: Annotated[
        dict[Skill, Annotated[int, Field(ge=0, le=LEVEL_MAX)]], Field(max_length=AGENT_SKILLS_MAX)
    ] = {}
    queues: (
        Annotated[
            list[Annotated[AgentQueueForm, BeforeValidator(as_queue, AgentQueueForm | Id)]],
            Field(max_length=AGENT_QUEUES_MAX),
        ]
        | None
    ) = None
    attributes: Attributes = {}
    timezone: Zone | None = None

    @model_validator(mode="after")
    def _queues_once(self) -> Self:
        seen: set[str] = set()
        for place, entry in enumerate(self.queues or []):
            if entry.queue in seen:
                raise fault("duplicate", f"{entry.queue} is named twice", "", f"/queues/{place}")
            seen.add(entry.queue)
        return self


class CoolDownsForm(Form):
    declined_s: SpanOrNone | None = None
    missed_s: SpanOrNone | None = None
    requeued_s: SpanOrNone | None = None
    transferred_s: SpanOrNone | None = None


class OfferForm(Form):
    ttl_s: Annotated[float, Field(gt=0, le=OFFER_TTL_MAX_S)] = 20
    parallel: Annotated[int, Field(ge=1, le=PARALLEL_MAX)] = 1
    auto_accept: bool = False
    misses_before_away: Count = 3
    cool_down_s: SpanOrNone = 60
    cool_down: CoolDownsForm = CoolDownsForm()


class WrapUpForm(Form):
    limit_s: Span


class ServiceLevelForm(Form):
    threshold_s: Span
    goal: Share


class OrphansForm(Form):
    after_s: SpanOrNone = 120


class ResponseForm(Form):
    limit_s: Span


class DrainForm(Form):
    limit_s: SpanOrNone = 600


class SurgeForm(Form):
    factor: Annotated[float, Field(gt=1, le=1000)] = 2
    min_per_min: Annotated[float, Field(gt=0, le=UNITS_MAX)] = 10


class LimitForm(Form):
    waiting: Annotated[int, Field(ge=0, le=UNITS_MAX)]
    overflow_to: Id | None = None


class QueueForm(Form):
    id: Id
    order: Literal["head_start", "strict_priority", "weighted_wait", "deadline"] = "head_start"
    head_start_s: SpanOrNone = 60
    select: Literal[
        "least_loaded", "longest_idle", "round_robin", "best_skilled", "ranked", "random"
    ] = "least_loaded"
    offer: OfferForm = OfferForm()
    wrap_up: WrapUpForm | None = None
    service_level: Annotated[dict[Id, ServiceLevelForm], Field(max_length=SERVICE_LEVELS_MAX)] = {}
    calendar: Id | None = None
    orphans: OrphansForm = OrphansForm()
    limit: LimitForm | None = None
    response: ResponseForm | None = None
    drain: DrainForm = DrainForm()
    surge: SurgeForm = SurgeForm()

    @model_validator(mode="after")
    def _overflow_elsewhere(self) -> Self:
        if self.limit and self.limit.overflow_to == self.id:
            raise fault(
                "self_reference", "a queue cannot overflow to itself", "", "/limit/overflow_to"
            )
        return self


class RelaxForm(Form):
    after_s: Span
    level: NeededLevel | None = None
    drop: Literal[True] | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.level is None) == (self.drop is None):
            raise fault("one_of", "a relaxation is either a lower level or drop", "level or drop")
        return self


class RequireForm(Form):
    skill: Skill | None = None
    level: NeededLevel = 1
    cel: AgentCel | None = None
    relax: Annotated[list[RelaxForm], Field(max_length=RELAX_MAX)] = []
    agents: NamedAgents | None = None
    not_agents: NamedAgents | None = None
    preferred: bool = False

    @model_validator(mode="after")
    def _sound(self) -> Self:
        given = [self.skill, self.cel, self.agents, self.not_agents]
        if sum(one is not None for one in given) != 1:
            raise fault(
                "one_of",
                "a requirement is either a skill or CEL, or names agents",
                "skill or cel",
            )
        if self.skill is None and "level" in self.model_fields_set:
            raise fault("one_of", "a level belongs to a skill", "level within the CEL", "/level")
        if self.skill is None and self.preferred:
            raise fault("one_of", "only a skill can be preferred", "a skill", "/preferred")
        self._relaxes_step_by_step()
        return self

    def _relaxes_step_by_step(self) -> None:
        level, after_s = self.level, 0.0
        for place, stage in enumerate(self.relax):
            at = f"/relax/{place}"
            if place and self.relax[place - 1].drop:
                raise fault("order", "nothing can follow a drop", "drop as the last stage", at)
            if stage.after_s <= after_s:
                raise fault(
                    "order", "each stage comes later than the one before", "", f"{at}/after_s"
                )
            if stage.level is not None and self.skill is None:
                raise fault("one_of", "only a skill has levels", "drop: true", f"{at}/level")
            if stage.level is not None and stage.level >= level:
                raise fault("order", "each stage asks for less", f"below {level}", f"{at}/level")
            level, after_s = stage.level or level, stage.after_s


class PreferForm(Form):
    agent: Id = "last"
    hold_s: SpanOrNone = 0
    reopen_within_s: SpanOrNone = 0
    hard: bool = False


class StepForm(Form):
    queue: Id
    timeout_s: Span | None = None
    skip_if: Literal["nobody_could"] | None = None
    keep_previous: bool = False


NUMBER_OR_CEL = WithJsonSchema(
    {
        "anyOf": [{"type": "number"}, {"type": "string"}],
        "description": "a number, or CEL that gives one",
    }
)


class RuleForm(Form):
    name: Name | None = None
    when: When | None = None
    priority: Annotated[Any, AfterValidator(as_priority), NUMBER_OR_CEL] = 0
    require: Annotated[
        list[Annotated[RequireForm, BeforeValidator(as_cel, RequireForm | str)]],
        Field(max_length=REQUIRES_MAX),
    ] = []
    prefer: PreferForm | None = None
    escalation: Id | None = None
    steps: Annotated[list[StepForm], Field(min_length=1, max_length=STEPS_MAX)]


class PolicyForm(Form):
    id: Id
    on_edit: Literal["keep", "take"] = "keep"
    rules: Annotated[list[RuleForm], Field(max_length=RULES_MAX)]

    @model_validator(mode="after")
    def _in_time(self) -> Self:
        check_weights(
            (rule.when for rule in self.rules), (rule.priority for rule in self.rules), "/rules"
        )
        return self


class SlaTriggerForm(Form):
    metric: Id
    used: Share | None = None
    breached: Literal[True] | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.used is None) == (self.breached is None):
            raise fault("one_of", "an SLA trigger is either used or breached", "used or breached")
        return self


class OneOf(Form):
    """Exactly one field is set."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(getattr(self, name) is not None for name in type(self).model_fields) != 1:
            raise fault("one_of", "exactly one is asked for", ", ".join(type(self).model_fields))
        return self


class TriggerForm(OneOf):
    waiting_s: Span | None = None
    sla: SlaTriggerForm | None = None
    declines: Count | None = None
    agent_silent_s: Span | None = None
    reopened: Count | None = None
    cel: When | None = None


_WHOM = {
    "description": "`supervisors`, an agent's id, or a team",
    "anyOf": [
        {"type": "string"},
        {"type": "object", "properties": {"team": {"type": "string"}}, "required": ["team"]},
    ],
}


def _whom(value: Any) -> Any:
    """ "supervisors", an agent's id, or {team: its id}."""
    name, at = value, ""
    if isinstance(value, dict) and len(value) == 1 and "team" in value:
        name, at = value["team"], "/team"
    if not isinstance(name, str):
        raise fault("type", "that is nobody", "supervisors, an agent's id or {team: id}", at)
    if not CLIENT_ID.match(name):
        raise fault("id", f"{name!r} is no id", "1 to 64 of A-Z a-z 0-9 _ -", at)
    return value


Whom = Annotated[Any, AfterValidator(_whom), WithJsonSchema(_WHOM)]


class ActionForm(OneOf):
    raise_priority: Annotated[float, Field(ge=-PRIORITY_MAX, le=PRIORITY_MAX)] | None = None
    relax: Literal["all"] | None = None
    add_queue: Id | None = None
    offer_to: Whom | None = None
    notify: Whom | None = None
    reclaim: Literal["keep_place", "lose_place"] | None = None
    drop_requirement: Name | None = None


class LevelForm(Form):
    name: Name
    when: TriggerForm
    do: Annotated[list[ActionForm], Field(min_length=1, max_length=ACTIONS_MAX)]


class EscalationForm(Form):
    id: Id
    levels: Annotated[list[LevelForm], Field(max_length=LEVELS_MAX)]

    @model_validator(mode="after")
    def _names_once(self) -> Self:
        seen: set[str] = set()
        for place, level in enumerate(self.levels):
            if level.name in seen:
                raise fault(
                    "duplicate", f"{level.name!r} is named twice", "", f"/levels/{place}/name"
                )
            seen.add(level.name)
        check_weights((level.when.cel for level in self.levels), (), "/levels")
        return self


class IdentityForm(Form):
    scheme: Id
    value: Annotated[str, Field(min_length=1, max_length=512)]


class CustomerForm(Form):
    id: Id
    name: Name | None = None
    tier: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    language: Annotated[str, Field(min_length=1, max_length=35)] | None = None
    identities: Annotated[list[IdentityForm], Field(max_length=IDENTITIES_MAX)] = []
    attributes: Attributes = {}
    never_pair: Annotated[list[Id], Field(max_length=NAMED_AGENTS_MAX)] = []
    timezone: Zone | None = None


class ShiftForm(Form):
    calendar: Id
    agents: Annotated[list[Id], Field(max_length=AGENT_QUEUES_MAX)] = []
    zone: Literal["agent", "calendar"] = "agent"


class TeamForm(Form):
    id: Id
    name: Name | None = None
    supervisors: Annotated[list[Id], Field(max_length=SUPERVISORS_MAX)] = []
    shifts: Annotated[list[ShiftForm], Field(max_length=SHIFTS_MAX)] = []


FORMS: dict[str, type[Form]] = {
    "agent": AgentForm,
    "queue": QueueForm,
    "policy": PolicyForm,
    "escalation": EscalationForm,
    "customer": CustomerForm,
    "team": TeamForm,
}
