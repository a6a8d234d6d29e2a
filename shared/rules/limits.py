"""Every limit of a rule that a customer writes, by name.

CEL has no cost limit of its own: nested macros, growing lists and large patterns would each let one
line of configuration stop a shard (measured: three nested `.all` over 100 items take 0.25 s).
"""

SOURCE_MAX_CHARS = 2_000
LITERAL_MAX_CHARS = 256  # of one string in the source
LITERAL_MAX_ITEMS = 64  # of one list or map in the source
DEPTH_MAX = 24  # brackets in brackets
MACROS_MAX = 4  # .all, .exists, .exists_one, .map, .filter in one source, never nested
PLUS_MAX = 20  # additions in one source
PLUS_IN_MACRO_MAX = 2

PATTERN_MAX_CHARS = 200
PATTERN_MAX_WEIGHT = 300  # of all patterns that only the full engine can match; about 10 µs each
MACRO_MAX_WEIGHT = 2_000  # of all macros, each over the longest list there may be; about 10 µs each
# Of all the conditions that one thing may have to be held against (a policy's rules).
TOTAL_MAX_WEIGHT = 20_000

# What CEL gets to see. Longer texts and lists are cut, deeper values are null.
TEXT_MAX_CHARS = 4_000
LIST_MAX_ITEMS = 64
MAP_MAX_KEYS = 256
VALUE_MAX_DEPTH = 8
VALUES_MAX_NODES = 1_024  # of one field of a variable
VALUES_MAX_CHARS = 32_000  # of one field of a variable
