"""Rules that customers write: CEL, compiled once, bounded on write, harmless at run time."""

from shared.rules.conditions import (
    Condition,
    Constant,
    Expression,
    Value,
    Verdict,
    compile_condition,
    compile_expression,
    compile_value,
)
from shared.rules.faults import RuleError, known_names, nearest
from shared.rules.variables import Declared, Variables, bounded, prepared

__all__ = [
    "Condition",
    "Constant",
    "Declared",
    "Expression",
    "RuleError",
    "Value",
    "Variables",
    "Verdict",
    "bounded",
    "compile_condition",
    "compile_expression",
    "compile_value",
    "known_names",
    "nearest",
    "prepared",
]
