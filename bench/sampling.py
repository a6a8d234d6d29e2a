"""Where a process spends its CPU time: `python -m bench.sampling OUT MODULE [arguments …]`.

Runs MODULE as `python -m` would. A timer of consumed CPU time interrupts the main thread every few
milliseconds and notes its stack; at the end (also on SIGTERM, where MODULE ends on it) OUT lists
functions by their own time and with what they call, and single lines by theirs. Waiting takes no CPU
time and is not seen.
"""

import atexit
import collections
import runpy
import signal
import sys
from pathlib import Path
from types import FrameType

EVERY_S = 0.002
LINES = 70


class Sampler:
    """Counts the function and line at the top of the main thread's stack, and all functions below."""

    def __init__(self) -> None:
        self.own: collections.Counter[str] = collections.Counter()
        self.below: collections.Counter[str] = collections.Counter()
        self.lines: collections.Counter[str] = collections.Counter()
        self.count = 0

    def start(self) -> None:
        signal.signal(signal.SIGPROF, self._note)
        signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)

    def _note(self, _number: int, top: FrameType | None) -> None:
        if top is None:
            return
        self.count += 1
        self.own[_name(top)] += 1
        self.lines[f"{_name(top)}, line {top.f_lineno}"] += 1
        seen: set[str] = set()
        frame: FrameType | None = top
        while frame is not None:
            seen.add(_name(frame))
            frame = frame.f_back
        self.below.update(seen)

    def report(self) -> str:
        parts = [f"{self.count} samples"]
        for title, counted in (
            ("own time", self.own),
            ("with what it calls", self.below),
            ("lines", self.lines),
        ):
            parts.append(f"\n{title}")
            parts += [
                f"{100 * seen / max(1, self.count):6.2f} %  {name}"
                for name, seen in counted.most_common(LINES)
            ]
        return "\n".join(parts) + "\n"


def _name(frame: FrameType) -> str:
    code = frame.f_code
    path = "/".join(Path(code.co_filename).parts[-3:])
    return f"{path}:{code.co_firstlineno} {code.co_qualname}"


def main() -> None:
    out, module, *arguments = sys.argv[1:]
    sampler = Sampler()
    atexit.register(lambda: Path(out).write_text(sampler.report()))
    sys.argv = [module, *arguments]
    sampler.start()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
