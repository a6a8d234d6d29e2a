"""`scenario.yaml` -> Scenario: what is wrong is refused with its place and with what would be right."""

from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Any, cast

import msgspec

from services.router.domain.config import Customer
from services.router.resources import parse
from services.router.simulate import forms
from services.router.simulate.distributions import (
    PARAMETERS,
    Distribution,
    Kind,
    PerPeriod,
    whole_us,
)
from services.router.simulate.scenario import (
    Busyness,
    ContactClass,
    Group,
    Poisson,
    Recorded,
    Regular,
    Retry,
    Scenario,
    Written,
)
from shared.contracts.instants import parse_instant
from shared.contracts.problems import Fault, Refused
from shared.http.resources import validate_resource
from shared.rules import nearest

HOUR_US = 3_600_000_000

ReadArrivals = Callable[[str], tuple[int, ...]]
"""A file's arrivals, in microseconds from the start, in order. Raises ValueError, OSError."""


class Place(msgspec.Struct, frozen=True):
    """Where things are wrong: collects faults below a pointer."""

    pointer: str
    faults: list[Fault]

    def at(self, *steps: object) -> "Place":
        return Place(self.pointer + "".join(f"/{step}" for step in steps), self.faults)

    def wrong(self, code: str, message: str, expected: str | None = None) -> None:
        self.faults.append(Fault(self.pointer, code, message, expected))


def read_scenario(
    content: Any,
    workspace: str,
    resources: list[Written],
    read_arrivals: ReadArrivals,
) -> Scenario:
    """The content of a scenario, with the resources of its workspace (already checked one by one).

    Raises Refused (validation) with every fault that can be seen without running it.
    """
    form = _form(content)
    faults: list[Fault] = []
    top = Place("", faults)
    ends = _periods(form, top)
    customers = {one.id: one for one in resources if one.kind == "customer"}
    reader = _Reader(len(ends), [one.group for one in form.staff], customers, read_arrivals)
    scenario = Scenario(
        name=form.name,
        workspace=workspace,
        resources=resources,
        groups=[reader.group(one, top.at("staff", n)) for n, one in enumerate(form.staff)],
        classes=[reader.kind(one, top.at("contacts", n)) for n, one in enumerate(form.contacts)],
        start_us=_start(form.starts_at, top.at("starts_at")),
        horizon_us=whole_us(form.horizon_s),
        ends_us=ends,
        seed=form.seed,
        replications=form.replications,
        confidence=form.confidence,
        warm_up_us=whole_us(form.warm_up_s),
        drain=form.drain,
        lines=form.lines,
        busyness=form.busyness and Busyness(form.busyness.gamma.shape, form.busyness.gamma.mean),
        within_us=tuple(map(whole_us, form.report.within_s)),
    )
    _once([one.name for one in scenario.groups], top.at("staff"), "group")
    _once([one.name for one in scenario.classes], top.at("contacts"), "class")
    _once(form.report.within_s, top.at("report", "within_s"), "")
    _check_groups(form, scenario, top)
    if faults:
        raise Refused("validation", faults[0].message, errors=faults)
    return scenario


def _form(content: Any) -> forms.ScenarioForm:
    try:
        return validate_resource(content, forms.ScenarioForm)
    except Refused as refused:
        errors = _told_once(refused.errors)
        raise Refused("validation", errors[0].message, errors=errors) from refused


def _told_once(faults: list[Fault]) -> list[Fault]:
    """What is neither a number nor a list is told in one."""
    found: dict[str, Fault] = {}
    for fault in faults:
        if fault.pointer in found and fault.code.endswith("_type"):
            message = f"{found[fault.pointer].message.removesuffix('.')}, or a list of such."
            fault = Fault(fault.pointer, "type", message, "one, or one per period")
        found[fault.pointer] = fault
    return list(found.values())


def _periods(form: forms.ScenarioForm, top: Place) -> tuple[int, ...]:
    if form.warm_up_s >= form.horizon_s:
        message = "The warm-up leaves nothing to measure."
        top.at("warm_up_s").wrong("range", message, f"< horizon_s, {form.horizon_s:g}")
    ends = form.periods_s or [form.horizon_s]
    for number, (before, after) in enumerate(pairwise(ends), 1):
        if after <= before:
            message = "Each period ends later than the one before."
            top.at("periods_s", number).wrong("order", message, f"> {before:g}")
    return tuple(map(whole_us, ends))


def _start(text: str, place: Place) -> int:
    try:
        return parse_instant(text)
    except ValueError as error:
        place.wrong("instant", f"{error}.", "RFC 3339 with an offset")
        return 0


def _once(names: Iterable[object], place: Place, field: str) -> None:
    seen: set[object] = set()
    for number, name in enumerate(names):
        if name in seen:
            where = place.at(number, field) if field else place.at(number)
            where.wrong("duplicate", f"{name!r} is there twice.", "each once")
        seen.add(name)


def _check_groups(form: forms.ScenarioForm, scenario: Scenario, top: Place) -> None:
    """`by_group` names groups that there are; who is missing shows when the centre is set up."""
    known = [one.name for one in scenario.groups]
    for number, contact in enumerate(form.contacts):
        for name in contact.service.by_group or ():
            if name not in known:
                expected = nearest(name, known) or ", ".join(known)
                place = top.at("contacts", number, "service", "by_group", name)
                place.wrong("unknown_group", f"There is no group {name!r}.", expected)


class _Reader:
    """What depends on the number of periods."""

    def __init__(
        self,
        periods: int,
        groups: list[str],
        customers: Mapping[str, Written],
        read_arrivals: ReadArrivals,
    ) -> None:
        self._periods = periods
        self._groups = groups
        self._customers = customers
        self._read_arrivals = read_arrivals

    def group(self, form: forms.StaffForm, place: Place) -> Group:
        agent = dict(form.agent)
        if "id" in agent:
            message = "Staff is counted in heads; agents get their ids from the group."
            place.at("agent", "id").wrong("unknown_field", message, "no id")
        parsed = parse("agent", {**agent, "id": "agent"}, "agent")
        for fault in parsed.faults:
            at = place.pointer + "/agent" + fault.pointer
            place.faults.append(msgspec.structs.replace(fault, pointer=at))
        answer = form.answer_s
        if isinstance(answer, float | int):
            answer = forms.DistributionForm(fixed=float(answer)) if answer else None
        return Group(
            form.group,
            parsed.canonical or {},
            tuple(int(one) for one in self._each(form.count, place.at("count"))),
            None if answer is None else self._distribution(answer, place.at("answer_s")),
        )

    def kind(self, form: forms.ContactForm, place: Place) -> ContactClass:
        retry = form.retry
        return ContactClass(
            name=form.name,
            message=self._message(form.task, place.at("task")),
            arrivals=self._arrivals(form.arrivals, place.at("arrivals")),
            service=self._service(form.service, place.at("service")),
            patience=form.patience and self._distribution(form.patience, place.at("patience")),
            retry=retry
            and Retry(
                self._each(retry.probability, place.at("retry", "probability")),
                self._distribution(retry.after, place.at("retry", "after")),
            ),
        )

    def _message(self, form: forms.TaskForm, place: Place) -> dict[str, Any]:
        said = form.model_dump(exclude_none=True, exclude={"customer"})
        if form.customer is not None:
            said["identities"] = self._identities(form.customer, place.at("customer"))
        return said

    def _identities(self, name: str, place: Place) -> list[dict[str, str]]:
        if name not in self._customers:
            known = list(self._customers)
            expected = nearest(name, known) or ", ".join(known) or "one of /workspace/customers"
            place.wrong("unknown_customer", f"There is no customer {name!r}.", expected)
            return []
        customer = msgspec.json.decode(self._customers[name].body, type=Customer)
        if not customer.identities:
            message = f"The customer {name!r} cannot be known: it has no identities."
            place.wrong("no_identity", message, "identities: [{scheme: …, value: …}]")
        return [{"scheme": one.scheme, "value": one.value} for one in customer.identities[:1]]

    def _arrivals(self, form: forms.ArrivalsForm, place: Place) -> Poisson | Regular | Recorded:
        if form.poisson_per_h is not None:
            rates = self._each(form.poisson_per_h, place.at("poisson_per_h"))
            return Poisson(tuple(rate / HOUR_US for rate in rates))
        if form.every_s is not None:
            if form.every_s == 0:
                place.at("every_s").wrong("range", "Nothing arrives every 0 s.", "> 0")
            every = self._each(form.every_s, place.at("every_s"))
            return Regular(tuple(map(whole_us, every)))
        try:
            return Recorded(self._read_arrivals(form.file or ""))
        except (OSError, ValueError) as error:
            place.at("file").wrong("file", f"{error}", 'lines such as {"at_s": 12.5}')
            return Recorded(())

    def _service(self, form: forms.ServiceForm, place: Place) -> dict[str, PerPeriod]:
        if form.by_group is None:
            return dict.fromkeys(self._groups, self._distribution(form, place))
        return {
            name: self._distribution(one, place.at("by_group", name))
            for name, one in form.by_group.items()
        }

    def _distribution(self, form: forms.DistributionForm, place: Place) -> PerPeriod:
        kind = cast("Kind", form.chosen()[0])
        given = getattr(form, kind)
        if kind == "fixed":
            values = self._each(given, place.at(kind))
            return tuple(Distribution(kind, (value,)) for value in values)
        names = PARAMETERS[kind]
        each = [self._each(getattr(given, name), place.at(kind, name)) for name in names]
        if kind == "uniform":
            _check_order(each[0], each[1], place.at(kind, "max_s"))
        return tuple(Distribution(kind, one) for one in zip(*each, strict=True))

    def _each(self, given: float | list[Any], place: Place) -> tuple[float, ...]:
        """One value for each period."""
        if not isinstance(given, list):
            return (given,) * self._periods
        if len(given) != self._periods:
            message = f"The list has {len(given)} values."
            place.wrong("length", message, f"a number, or {self._periods}: one per period")
            return tuple(given[:1]) * self._periods
        return tuple(given)


def _check_order(low: tuple[float, ...], high: tuple[float, ...], place: Place) -> None:
    for less, more in zip(low, high, strict=True):
        if more < less:
            place.wrong("range", "max_s is less than min_s.", f">= {less:g}")
            return
