"""Play seeds of the simulation: `python tests/simulation/run_seeds.py --seed 17` plays one again."""

import argparse
import sys
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from cores import PARTS  # noqa: E402

from shared.testing.simulation.run import INPUTS, Report, simulate  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--inputs", type=int, default=INPUTS)
    parser.add_argument("--json", action="store_true", help="a line of JSON for each seed")
    asked = parser.parse_args()
    failed = 0
    for number in range(asked.count):
        report = simulate(asked.seed + number * asked.step, PARTS, asked.inputs)
        failed += bool(report.wrong)
        if asked.json:
            print(msgspec.json.encode(report).decode(), flush=True)
        else:
            show(report)
    return 1 if failed else 0


def show(report: Report) -> None:
    print(
        f"seed {report.seed}: {report.inputs} inputs, {report.virtual_s:.0f} s"
        f" in {report.took_s:.2f} s, {report.digest}"
    )
    for title, figures in (("faults", report.faults), ("figures", report.figures)):
        print(f"  {title}: " + ", ".join(f"{name} {figures[name]}" for name in sorted(figures)))
    for what in report.wrong:
        print(f"  WRONG: {what}")


if __name__ == "__main__":
    sys.exit(main())
