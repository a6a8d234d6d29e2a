"""Play seeds of the simulation: `python tests/simulation/run_seeds.py --seed 17` plays one again."""

import argparse
import gc
import sys
from contextlib import nullcontext
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from cores import PARTS  # noqa: E402
from mutants import MUTANTS  # noqa: E402

from shared.testing.simulation.run import FULL, Report, simulate  # noqa: E402

COLLECT_EVERY = 5
"""Lives. To look at all objects costs as much as a tenth of a short one, and to look at the new ones
again and again, as a process that lives on must, a tenth of a full one."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--least", type=int, default=FULL, help="inputs of all services")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="with a safeguard taken out")
    parser.add_argument("--until-wrong", action="store_true", help="end with the first that fails")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each seed")
    asked = parser.parse_args()
    parts, mutation = MUTANTS[asked.mutant](PARTS) if asked.mutant else (PARTS, nullcontext())
    failed = 0
    gc.disable()
    with mutation:
        for number in range(asked.count):
            report = simulate(asked.seed + number * asked.step, parts, asked.least)
            failed += bool(report.wrong)
            tell(report, asked.json)
            if failed and asked.until_wrong:
                break
            if number % COLLECT_EVERY == COLLECT_EVERY - 1:
                gc.collect()
    return 1 if failed else 0


def tell(report: Report, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode(report).decode(), flush=True)
    else:
        show(report)


def show(report: Report) -> None:
    print(
        f"seed {report.seed}: {report.posted} posted, inputs {report.inputs},"
        f" {report.virtual_s:.0f} s in {report.took_s:.2f} s, {report.digest}"
    )
    for title, figures in (("faults", report.faults), ("figures", report.figures)):
        print(f"  {title}: " + ", ".join(f"{name} {figures[name]}" for name in sorted(figures)))
    for what in report.wrong:
        print(f"  WRONG: {what}")


if __name__ == "__main__":
    sys.exit(main())
