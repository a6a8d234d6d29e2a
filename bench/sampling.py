"""Where a running process spends its time: `python -m bench.sampling OUT MODULE [arguments …]`.

Runs MODULE as `python -m` would and looks at the main thread's stack every few milliseconds; at the
end (also on SIGTERM) OUT lists functions by their own time and by the time below them. It sees what
takes the interpreter's time, with little distortion; waiting for input is one line (select, poll).
"""

import atexit
import collections
import runpy
import sys
import threading
import time
from pathlib import Path
from types import FrameType

EVERY_S = 0.003
LINES = 60


class Sampler(threading.Thread):
    """Counts (file, line, function) at the top of the main thread's stack, and all below it."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.own: collections.Counter[str] = collections.Counter()
        self.below: collections.Counter[str] = collections.Counter()
        self.count = 0
        self._of = threading.main_thread().ident

    def run(self) -> None:
        while True:
            time.sleep(EVERY_S)
            frame = sys._current_frames().get(self._of or 0)
            if frame is not None:
                self._note(frame)

    def _note(self, top: FrameType) -> None:
        self.count += 1
        self.own[_name(top)] += 1
        seen: set[str] = set()
        frame: FrameType | None = top
        while frame is not None:
            seen.add(_name(frame))
            frame = frame.f_back
        self.below.update(seen)

    def report(self) -> str:
        parts = [f"{self.count} samples"]
        for title, counted in (("own time", self.own), ("with what it calls", self.below)):
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
