"""What a task asks of an agent, and how that is relaxed the longer it waits.

A requirement is bound to its task when the task is planned: `skill(task.language) >= 1` becomes
"de >= 1", which an index answers; only what is no plain skill stays CEL. Bound requirements are
stored with the task, so that later changes of the policy do not reach it.
"""

import re
from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from services.router.domain.agent_facts import AgentFacts, Path
from services.router.domain.config import Relax, Require
from services.router.domain.facts import AGENT_NAMES, TaskFacts
from shared.contracts.instants import span_us
from shared.rules import Condition, compile_condition
from shared.rules.tokens import Token, string_value, tokens
from shared.rules.variables import Variables

Signature = tuple[tuple[str, int | str], ...]

_NAMING = re.compile(r"(?P<excludes>!\()?agent\.id in (?P<names>\[.*\])(?(excludes)\))")
VERDICTS_MAX = 1_000  # kept of one condition


class Check(NamedTuple):
    """One condition on one agent. `value` is what the agent has (a level, or None)."""

    text: str
    value: Any
    passed: bool
    missing: str | None = None


class Requirement(msgspec.Struct, frozen=True, omit_defaults=True, cache_hash=True):
    """One requirement, bound to its task.

    Either `skill` with its least `level` (an index answers it), or `cel` with `bound`, the JSON of
    the task's values that it reads. `text` is how people see it: "billing >= 3".
    """

    text: str
    skill: str | None = None
    level: int = 1
    cel: str | None = None
    bound: str = "{}"
    relax: tuple[Relax, ...] = ()
    preferred: bool = False

    def met_by(self, who: AgentFacts) -> bool:
        """Whether the agent may have the task; what is only preferred rules nobody out."""
        if self.skill is not None:
            return self.preferred or who.skills.get(self.skill, -1) >= self.level
        return self.suits(who)

    def suits(self, who: AgentFacts) -> bool:
        if self.skill is not None:
            return who.skills.get(self.skill, -1) >= self.level
        named = _named(self.cel or "")
        if named is not None:
            names, wanted = named
            return (who.agent.id in names) == wanted
        fields = _fields(self.cel or "")
        seen = None if fields is None else who.seen_at(fields)
        if seen is None:
            return self._judged(who)
        known = _verdicts(self.cel or "", self.bound)
        if seen not in known:
            if len(known) >= VERDICTS_MAX:
                known.clear()
            known[seen] = self._judged(who)
        return known[seen]

    def _judged(self, who: AgentFacts) -> bool:
        return who.judge(_condition(self.cel or ""), _values(self.bound)).holds

    @property
    def condition_text(self) -> str:
        """How it reads among other conditions: "skill billing >= 3"."""
        return self.text if self.skill is None else f"skill {self.text}"

    def evaluate(self, who: AgentFacts) -> Check:
        """The same as met_by, with what was seen, and what was missed where he does not meet it."""
        passed = self.met_by(who)
        value = passed if self.skill is None else who.skills.get(self.skill)
        missing = None if passed else self._missing(who)
        return Check(self.condition_text, value, passed, missing)

    def _missing(self, who: AgentFacts) -> str | None:
        if self.skill is not None:
            return None if self.skill in who.skills else f"skill {self.skill}"
        if _named(self.cel or "") is not None:
            return None  # everybody has an id; so many names are not compiled
        return who.judge(_condition(self.cel or ""), _values(self.bound)).missing

    def at(self, waited_us: int) -> "Requirement | None":
        """What it asks for after so much waiting; None when it is dropped."""
        due = [stage for stage in self.relax if span_us(stage.after_s) <= waited_us]
        return self._relaxed(due[-1]) if due else self

    def last(self) -> "Requirement | None":
        """What it asks for when all its relaxations are due."""
        return self._relaxed(self.relax[-1]) if self.relax else self

    def next_us(self, waited_us: int) -> int | None:
        """After how much waiting it next changes; None when never again."""
        later = (span_us(stage.after_s) for stage in self.relax)
        return min((at for at in later if at > waited_us), default=None)

    def _relaxed(self, stage: Relax) -> "Requirement | None":
        if stage.drop:
            return None
        if self.skill is None or stage.level is None:
            return self
        text = skill_text(self.skill, stage.level, preferred=self.preferred)
        return msgspec.structs.replace(self, level=stage.level, text=text)


def skill_text(skill: str, level: int, *, preferred: bool = False) -> str:
    return f"{skill} >= {level} preferred" if preferred else f"{skill} >= {level}"


def preferences(requirements: Iterable[Requirement]) -> tuple[Requirement, ...]:
    """Those that only put agents in order."""
    return tuple(item for item in requirements if item.preferred)


def drops(requirement: Requirement, name: str) -> bool:
    """Whether `drop_requirement: <name>` means this one: by skill or by its whole text."""
    return name in (requirement.skill, requirement.text, requirement.cel)


def active(
    requirements: tuple[Requirement, ...],
    waited_us: int,
    *,
    relax_all: bool = False,
    dropped: Collection[str] = (),
) -> tuple[Requirement, ...]:
    """What the task asks for now, in the order of the rule.

    `relax_all`: as if every relaxation were due; `dropped`: names given to drop_requirement.
    """
    stages = _stages(requirements)
    if not dropped and (not stages or (not relax_all and waited_us < stages[0])):
        return requirements
    kept = (item for item in requirements if not any(drops(item, name) for name in dropped))
    now = (item.last() if relax_all else item.at(waited_us) for item in kept)
    return tuple(item for item in now if item is not None)


def are_firm(requirements: tuple[Requirement, ...]) -> bool:
    """Whether waiting changes nothing of them."""
    for item in requirements:  # noqa: SIM110  # so few that a generator would cost more
        if item.relax:
            return False
    return True


@lru_cache(maxsize=8192)
def shared(requirements: tuple[Requirement, ...]) -> tuple[Requirement, ...]:
    """The same tuple for all that ask the same: what is remembered of it is found without comparing
    it field by field."""
    return requirements


@lru_cache(maxsize=8192)
def _stages(requirements: tuple[Requirement, ...]) -> tuple[int, ...]:
    """After how much waiting any of them is relaxed, in order."""
    stages = {span_us(stage.after_s) for item in requirements for stage in item.relax}
    return tuple(sorted(stages))


def next_relaxation_us(
    requirements: tuple[Requirement, ...],
    waited_us: int,
    *,
    relax_all: bool = False,
    dropped: Collection[str] = (),
) -> int | None:
    """After how much waiting (more than `waited_us`) one of them is next relaxed; None: never."""
    stages = _stages(requirements)
    if relax_all or not stages:
        return None
    if not dropped:
        return next((at for at in stages if at > waited_us), None)
    kept = (item for item in requirements if not any(drops(item, name) for name in dropped))
    times = (item.next_us(waited_us) for item in kept)
    return min((at for at in times if at is not None), default=None)


def met_by(requirements: Iterable[Requirement], who: AgentFacts) -> bool:
    """Whether the agent meets all of them."""
    return all(item.met_by(who) for item in requirements)


def signature(requirements: Iterable[Requirement]) -> Signature:
    """Equal for tasks that ask exactly the same of an agent (order and relaxations apart)."""
    return tuple(
        sorted(
            {
                (f"{'p' if item.preferred else 's'}:{item.skill}", item.level)
                if item.skill is not None
                else (f"c:{item.cel}", item.bound)
                for item in requirements
            },
            key=str,
        )
    )


def canonical(requirements: Iterable[Requirement]) -> tuple[Requirement, ...]:
    """Each once, in an order of their own: the same for all that have one signature, wherever they
    were written."""
    found = {signature((item,)): item for item in requirements}
    return tuple(found[key] for key in sorted(found, key=str))


# -- binding


def bind(requires: Iterable[Require | str], facts: TaskFacts) -> tuple[Requirement, ...]:
    """A rule's requirements bound to a task."""
    return tuple(item for require in requires for item in _bind(require, facts))


def _bind(require: Require | str, facts: TaskFacts) -> list[Requirement]:
    if isinstance(require, str):
        return bind_cel(require, (), facts)
    if require.cel is not None:
        return bind_cel(require.cel, require.relax, facts)
    if require.skill is None:
        return [_bind_agents(require)]
    return [
        Requirement(
            text=skill_text(require.skill, require.level, preferred=require.preferred),
            skill=require.skill,
            level=require.level,
            relax=require.relax,
            preferred=require.preferred,
        )
    ]


def _bind_agents(require: Require) -> Requirement:
    """Agents required or excluded by name."""
    names = require.agents or require.not_agents
    among = f"agent.id in {msgspec.json.encode(names).decode()}"
    if require.agents:
        return Requirement(text=f"agent is {' or '.join(names)}", cel=among, relax=require.relax)
    return Requirement(
        text=f"agent is not {' or '.join(names)}", cel=f"!({among})", relax=require.relax
    )


def paths_read(requires: Iterable[Require | str]) -> set[tuple[str, ...]]:
    """What binding these reads of the task and its surroundings."""
    sources = [item if isinstance(item, str) else item.cel for item in requires]
    read = [_condition(source).paths for source in sources if source is not None]
    return {path for paths in read for path in paths if path[0] != "agent"}


def bind_cel(source: str, relax: tuple[Relax, ...], facts: TaskFacts) -> list[Requirement]:
    """Requirements that a CEL condition states: one for each part joined by `&&`."""
    return [_bind_part(part, relax, facts.variables) for part in _conjuncts(source)]


def _bind_part(part: "Part", relax: tuple[Relax, ...], variables: Variables) -> Requirement:
    simple = _simple(part.tokens, variables)
    if simple:
        return Requirement(text=skill_text(*simple), skill=simple[0], level=simple[1], relax=relax)
    bound = _bound(part.source, variables)
    return Requirement(text=part.source, cel=part.source, bound=bound, relax=relax)


class Part(NamedTuple):
    source: str
    tokens: tuple[Token, ...]


@lru_cache(maxsize=4096)
def _condition(source: str) -> Condition:
    return compile_condition(source, AGENT_NAMES, skills=True)


@lru_cache(maxsize=4096)
def _named(source: str) -> tuple[frozenset[str], bool] | None:
    """The agents that a condition names, and whether it asks for them or excludes them (as written by
    `_bind_agents`); None for any other."""
    found = _NAMING.fullmatch(source)
    if found is None:
        return None
    try:
        names = msgspec.json.decode(found["names"], type=list[str])
    except msgspec.DecodeError:
        return None
    return frozenset(names), not found["excludes"]


@lru_cache(maxsize=4096)
def _fields(source: str) -> tuple[Path, ...] | None:
    """What a condition reads of an agent; None where that is more than single fields."""
    condition = _condition(source)
    of_agent = dict(condition.needs).get("agent", frozenset())
    if of_agent is None or "skills" in of_agent:
        return None
    return tuple(path[1:] for path in condition.paths if path[0] == "agent")


@lru_cache(maxsize=1024)
def _verdicts(source: str, bound: str) -> dict[tuple[Any, ...], bool]:
    """What a condition said of agents, by what it reads of them: asked once for all who are alike."""
    return {}


@lru_cache(maxsize=8192)
def _values(bound: str) -> dict[str, Any]:
    return msgspec.json.decode(bound, type=dict[str, Any])


def _bound(source: str, variables: Variables) -> str:
    """The JSON of the variables that the condition reads, reduced to the parts that it reads."""
    found: dict[str, Any] = {}
    paths = [path for path in _condition(source).paths if path[0] != "agent"]
    values = variables.values if paths else {}
    for path in sorted(paths, key=len):
        _copy(path, values, found)
    return msgspec.json.encode(found, order="deterministic").decode()


def _copy(path: tuple[str, ...], source: dict[str, Any], into: dict[str, Any]) -> None:
    for depth, name in enumerate(path):
        if name not in source:
            return
        if depth == len(path) - 1 or not isinstance(source[name], dict):
            into[name] = source[name]
            return
        source = source[name]
        into = into.setdefault(name, {})


@lru_cache(maxsize=4096)
def _conjuncts(source: str) -> tuple[Part, ...]:
    """The parts joined by && outside any bracket; the whole where `||` or `?` joins them."""
    parts: list[list[Token]] = [[]]
    depth = 0
    whole = tokens(source)
    for token in whole:
        depth += (token.text in ("(", "[", "{")) - (token.text in (")", "]", "}"))
        if depth == 0 and token.kind == "op" and token.text in ("||", "?"):
            return (_part(source, list(whole)),)
        if depth == 0 and token.kind == "op" and token.text == "&&":
            parts.append([])
        else:
            parts[-1].append(token)
    return tuple(_part(source, part) for part in parts)


def _part(source: str, found: list[Token]) -> Part:
    last = found[-1]
    return Part(source[found[0].start : last.start + len(last.text)], tuple(found))


def _simple(part: tuple[Token, ...], variables: Variables) -> tuple[str, int] | None:
    """(skill, least level) where the part is `skill(name)`, alone or compared with a number >= 1."""
    texts = [token.text for token in part]
    if len(part) < 4 or texts[:2] != ["skill", "("] or ")" not in texts:
        return None
    end = texts.index(")")
    level = _least(texts[end + 1 :])
    name = _skill_name(part[2:end], variables)
    return (name, level) if name is not None and level is not None else None


def _least(texts: list[str]) -> int | None:
    if not texts:
        return 1  # a bare skill means: not zero
    if len(texts) != 2 or not texts[1].isdecimal():
        return None
    number = int(texts[1])
    if texts[0] == ">=" and number >= 1:
        return number
    if texts[0] == ">":
        return number + 1
    return 1 if texts == ["!=", "0"] else None


def _skill_name(part: tuple[Token, ...], variables: Variables) -> str | None:
    if len(part) == 1 and part[0].kind == "string":
        return string_value(part[0].text)
    if not all(
        token.kind == "ident" if at % 2 == 0 else token.text == "." for at, token in enumerate(part)
    ):
        return None
    try:
        value = variables.at(tuple(token.text for token in part[::2]))
    except KeyError:
        return None
    return value if isinstance(value, str) else None
