"""`scenario.yaml` as people write it: every field and limit by name. `reading.py` takes it from here."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from shared.contracts.ids import CLIENT_ID
from shared.contracts.topics import Channel
from shared.http.resources import Resource

VERSION = "omniroute/scenario/v1"
SPAN_MAX_S = 31_622_400  # a leap year
REPLICATIONS_MAX = 100_000
PERIODS_MAX = 1_000
GROUPS_MAX = 100
CLASSES_MAX = 100
THRESHOLDS_MAX = 20
HEADS_MAX = 100_000
RATE_MAX_PER_H = 100_000_000
SHAPE_MAX = 1_000_000
NAME_MAX = 50  # a group's, so that its agents' ids keep within the limit of ids


def _name(text: str) -> str:
    if not CLIENT_ID.match(text) or len(text) > NAME_MAX:
        raise ValueError(f"{text!r} is no name: 1 to {NAME_MAX} of A-Z a-z 0-9 _ -.")
    return text


Name = Annotated[str, AfterValidator(_name)]
Span = Annotated[float, Field(gt=0, le=SPAN_MAX_S)]
SpanOrNone = Annotated[float, Field(ge=0, le=SPAN_MAX_S)]
Share = Annotated[float, Field(ge=0, le=1)]
Shape = Annotated[float, Field(gt=0, le=SHAPE_MAX)]
Bend = Annotated[float, Field(ge=0.1, le=100)]  # a Weibull's; beyond lies what no float holds
Rate = Annotated[float, Field(ge=0, le=RATE_MAX_PER_H)]
Heads = Annotated[int, Field(ge=0, le=HEADS_MAX)]
Phases = Annotated[int, Field(ge=1, le=SHAPE_MAX)]

# A number, or one for each period.
Spans = SpanOrNone | Annotated[list[SpanOrNone], Field(min_length=1, max_length=PERIODS_MAX)]
Shares = Share | Annotated[list[Share], Field(min_length=1, max_length=PERIODS_MAX)]
Shapes = Shape | Annotated[list[Shape], Field(min_length=1, max_length=PERIODS_MAX)]
Bends = Bend | Annotated[list[Bend], Field(min_length=1, max_length=PERIODS_MAX)]
Rates = Rate | Annotated[list[Rate], Field(min_length=1, max_length=PERIODS_MAX)]
Counts = Heads | Annotated[list[Heads], Field(min_length=1, max_length=PERIODS_MAX)]
Wholes = Phases | Annotated[list[Phases], Field(min_length=1, max_length=PERIODS_MAX)]


class OneOf(Resource):
    """Exactly one field is set."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        chosen = self.chosen()
        if len(chosen) != 1:
            given = f"not {' and '.join(chosen)}" if chosen else "and none is given"
            known = ", ".join(type(self).model_fields)
            raise ValueError(f"Exactly one of {known} is asked for, {given}.")
        return self

    def chosen(self) -> list[str]:
        return [name for name in type(self).model_fields if getattr(self, name) is not None]


class MeanForm(Resource):
    mean_s: Spans


class UniformForm(Resource):
    min_s: Spans
    max_s: Spans


class LognormalForm(Resource):
    mean_s: Spans
    sd_s: Spans


class GammaForm(Resource):
    shape: Shapes
    mean_s: Spans


class ErlangForm(Resource):
    """`shape`: how many exponential phases; `mean_s` of their sum."""

    shape: Wholes
    mean_s: Spans


class WeibullForm(Resource):
    shape: Bends
    mean_s: Spans


class HyperexponentialForm(Resource):
    """Exponential with mean `mean_s` for a share `probability` of all, `else_mean_s` for the others."""

    probability: Shares
    mean_s: Spans
    else_mean_s: Spans


class DistributionForm(OneOf):
    exponential: MeanForm | None = None
    uniform: UniformForm | None = None
    lognormal: LognormalForm | None = None
    gamma: GammaForm | None = None
    erlang: ErlangForm | None = None
    weibull: WeibullForm | None = None
    hyperexponential: HyperexponentialForm | None = None
    fixed: Spans | None = None


class ServiceForm(DistributionForm):
    by_group: Annotated[dict[Name, DistributionForm], Field(min_length=1)] | None = None


class ArrivalsForm(OneOf):
    poisson_per_h: Rates | None = None
    every_s: Spans | None = None
    file: Annotated[str, Field(min_length=1, max_length=4096)] | None = None


class RetryForm(Resource):
    probability: Shares
    after: DistributionForm


class TaskForm(Resource):
    """What the contact's first message says; `customer` is one of the workspace's customers."""

    channel: Channel
    attributes: dict[str, Any] = {}
    language: Annotated[str, Field(min_length=1, max_length=35)] | None = None
    text: Annotated[str, Field(max_length=10_000)] | None = None
    subject: Annotated[str, Field(max_length=1_000)] | None = None
    customer: Annotated[str, Field(min_length=1, max_length=64)] | None = None


class ContactForm(Resource):
    name: Annotated[Name, Field(alias="class")]
    task: TaskForm
    arrivals: ArrivalsForm
    service: ServiceForm
    patience: DistributionForm | None = None
    retry: RetryForm | None = None


class StaffForm(Resource):
    group: Name
    count: Counts
    agent: dict[str, Any]
    answer_s: SpanOrNone | DistributionForm | None = None


class GammaFactorForm(Resource):
    shape: Shape
    mean: Annotated[float, Field(gt=0, le=1_000)]


class BusynessForm(Resource):
    gamma: GammaFactorForm


class ReportForm(Resource):
    within_s: Annotated[list[SpanOrNone], Field(max_length=THRESHOLDS_MAX)] = []


class ScenarioForm(Resource):
    """`starts_at`: the instant of the start, for calendars and for rules that read `now`."""

    version: Literal["omniroute/scenario/v1"]
    name: Annotated[str, Field(max_length=200)] = ""
    workspace: dict[str, Any]
    starts_at: str = "2026-01-05T00:00:00Z"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    replications: Annotated[int, Field(ge=1, le=REPLICATIONS_MAX)] = 10
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    horizon_s: Span
    warm_up_s: SpanOrNone = 0
    drain: bool = True
    lines: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    periods_s: Annotated[list[Span], Field(min_length=1, max_length=PERIODS_MAX)] | None = None
    busyness: BusynessForm | None = None
    staff: Annotated[list[StaffForm], Field(min_length=1, max_length=GROUPS_MAX)]
    contacts: Annotated[list[ContactForm], Field(min_length=1, max_length=CLASSES_MAX)]
    report: ReportForm = ReportForm()
