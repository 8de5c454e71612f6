"""`make chaos`: hundreds of real faults, one after the other, on one `roberta serve`.

    python tests/chaos/chaos.py --seed 7 --count 200      the whole matrix
    python tests/chaos/chaos.py --seed 7 --only 12,40     some of it again, by their numbers

Each result is a line in results.jsonl as soon as there is one; at the end there are a table and a
picture of how long it took. Ends with exit code 1 if any promise was broken or it
was cut short; what a run that broke one left in its store stays.
"""

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from faults import Fault, matrix
from inflict import unmount
from installation import Installation, installation
from recovery import draw, table
from scenario import Result, Scenario, clear_away


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; the exit code."""
    options = _parser().parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):  # what was started is ended, however we end
        signal.signal(number, signal.default_int_handler)
    faults = matrix(options.seed, options.count)
    if options.only is not None:
        wanted = {int(number) for number in options.only.split(",")}
        faults = [fault for fault in faults if fault.number in wanted]
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="roberta-chaos-"))
    with installation(folder) as place, (out / "results.jsonl").open("w") as lines:
        results = []
        with suppress(KeyboardInterrupt):
            for fault in faults:
                results.append(_play(place, fault))
                lines.write(json.dumps(results[-1].to_json()) + "\n")
                lines.flush()
    for store in folder.glob("fault-*"):
        unmount(store)  # of a scenario that was cut short
    told = [result.to_json() for result in results]
    draw(told, out / "recovery.png")
    broken = [result for result in results if result.problems]
    print(f"\n{table(told)}\n")
    minutes = (time.monotonic() - start) / 60
    print(f"{len(results)} of {len(faults)} faults in {minutes:.0f} minutes, ", end="")
    print(f"{len(broken)} broke a promise; {out / 'results.jsonl'}, {out / 'recovery.png'}")
    for result in broken:
        print(f"  --seed {options.seed} --count {options.count} --only {result.fault.number}:")
        print(f"    {result.fault}: {'; '.join(result.problems)}")
    return 1 if broken or len(results) < len(faults) else 0


def _play(place: Installation, fault: Fault) -> Result:
    place.bring_up()
    result = Scenario(place, fault).play()
    how = "skipped" if result.skipped else "BROKEN" if result.problems else "ok"
    print(
        f"{fault.number:4} {how:7} {fault}: {result.did or result.skipped} ({result.at}); "
        f"true after {result.true_seconds} s, done after {result.done_seconds} s, "
        f"{result.retries} retries, {result.seconds} s in all {'; '.join(result.problems)}",
        flush=True,
    )
    if not result.problems:
        clear_away(place, result.name)
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=7, help="Of the matrix.")
    parser.add_argument("--count", type=int, default=200, help="How many faults it has.")
    parser.add_argument("--only", metavar="N,N,...", help="Only those with these numbers.")
    parser.add_argument("--out", default="build/chaos", help="Where results are written.")
    return parser


if __name__ == "__main__":
    sys.exit(main())
