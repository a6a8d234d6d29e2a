"""Plain text of `format=flowed`: lines that end with a blank go on in the next. RFC 3676."""

SIGNATURE = "-- "


def unflowed(text: str, *, delete_space: bool = False) -> str:
    """The text with its paragraphs in one line each; quotes stay quoted, at their depth.
    `delete_space` (DelSp=yes): the blank at the end is no part of the text. Never loses a word."""
    done: list[list[str]] = []  # of each line its pieces: growing a text costs its length each time
    open_depth = -1  # of a paragraph that goes on; -1 when none does
    for line in text.split("\n"):
        depth, words = _parts(line)
        flows = words.endswith(" ") and words != SIGNATURE
        said = words[:-1] if flows and delete_space else words
        if words and depth == open_depth and words != SIGNATURE:
            done[-1].append(said)
        else:
            done.append([f"{'>' * depth} {said}" if depth else said])
        open_depth = depth if flows else -1
    return "\n".join(["".join(pieces) for pieces in done])


def _parts(line: str) -> tuple[int, str]:
    """(depth of quoting, the words): a blank that only shields the line's first character is gone."""
    words = line.removesuffix("\r").lstrip(">")
    depth = len(line) - len(line.lstrip(">"))
    return depth, words.removeprefix(" ") if depth or words[:1] == " " else words
