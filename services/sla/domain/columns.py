"""What the columns of the read tables have in common."""

Columns = tuple[tuple[str, str, bool], ...]
"""(name, type, nullable) each; instants arrive as microseconds since the epoch."""

# What figures are grouped by.
GROUPED: Columns = (
    ("channel", "text", False),
    ("queue", "text", True),
    ("agent_id", "text", True),
    ("policy_id", "text", True),
    ("priority", "double", False),
    ("tags", "texts", False),
)


def names(columns: Columns) -> tuple[str, ...]:
    return tuple(name for name, _, _ in columns)
