"""Like with like, and a true 10 %: does the verdict hold on a real machine?

    python benchmarks/aa.py build/clinc150/artifacts/onnx-int8 --data build/clinc150-data/test.jsonl

Measures one artifact 40 times on this computer, compares every pair, and counts `faster` and `slower`: at most 2 % may
come out so. Then 10 more times with a worker that takes 10 % longer for each answer, each compared with the like one
before it: at least 9 of 10 must come out `slower`. Measurements that came out invalid are counted, and taken again as
`edgebert check` would; what stays invalid is never called faster or slower. Writes `results/aa/aa.json`, every sample
in it, and `aa.md`. Takes about ten minutes on a quiet machine: 50 times five launches of about two seconds.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgebert import artifact as artifacts
from edgebert.check import Candidate, Plan
from edgebert.comparison import Timed, compare_latency
from edgebert.devices.facts import linux_facts
from edgebert.devices.local import Local
from edgebert.measurement import Measurement
from edgebert.progress import for_stderr
from edgebert.repeat import Patience, measure_validly

#: The most seconds of rest before an invalid measurement is taken again.
REST = 10.0

RESULTS = Path(__file__).parent / "results" / "aa"

#: Started in the interpreter's place: a worker whose every answer takes 10 % longer, measured call by call.
SLOWER = """
import sys, time
from edgebert import worker
from edgebert.model import Model

class Slower(Model):
    def predict_record(self, record):
        start = time.perf_counter_ns()
        answer = super().predict_record(record)
        end = start + (time.perf_counter_ns() - start) * 110 // 100
        while time.perf_counter_ns() < end:
            pass
        return answer

worker.Model = Slower
sys.exit(worker.main(sys.argv[3:]))
"""


class SlowerLocal(Local):
    """This computer, with a worker that is 10 % slower."""

    def __init__(self, folder: Path) -> None:
        super().__init__("local", sys.executable)
        (folder / "slower.py").write_text(SLOWER)
        program = folder / "python"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{folder / "slower.py"}" "$@"\n')
        program.chmod(0o755)
        self._python = str(program)


def measured(path: Path, records: Sequence[Mapping[str, Any]], plan: Plan, repeats: int, slower: bool) -> Measurement:
    """One measurement, whole, as `edgebert check` takes it, without the metric."""
    with tempfile.TemporaryDirectory() as scratch:
        device = SlowerLocal(Path(scratch)) if slower else Local("local", sys.executable)
        try:
            candidate = Candidate(path.name, "artifact", artifacts.load(path))
            return measure_validly([candidate], device, records, plan, for_stderr(), Patience(repeats, REST))[0]
        finally:
            device.cleanup()


def verdict(first: Measurement, second: Measurement) -> str:
    """Of the second; invalid ones are too noisy, as in a report."""
    if first.invalid or second.invalid:
        return "too noisy"
    timed = [Timed(each.latency_ms, each.tokens) for each in (first, second)]
    return compare_latency(*timed).word


def main() -> None:
    """Measure, compare, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="JSONL with a key `text`")
    parser.add_argument("--alike", type=int, default=40)
    parser.add_argument("--slower", type=int, default=10)
    parser.add_argument("--launches", type=int, default=5)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    records = [{"text": json.loads(line)["text"]} for line in given.data.read_text("utf-8").splitlines()]
    plan = Plan(given.launches, given.samples, lengths=(), predict=False)
    alike, slower, before = [], [], []
    # A slowed one after every few alike ones, so that both see the same hours.
    every = max(1, given.alike // max(1, given.slower))
    for number in range(given.alike):
        alike.append(measured(given.artifact, records, plan, given.repeats, False))
        if number % every == every - 1 and len(slower) < given.slower:
            before.append(alike[-1])
            slower.append(measured(given.artifact, records, plan, given.repeats, True))
        print(f"{number + 1} of {given.alike}", file=sys.stderr, flush=True)
    pairs = Counter(verdict(a, b) for a, b in itertools.combinations(alike, 2))
    true = Counter(verdict(a, b) for a, b in zip(before, slower, strict=True))
    write(given, alike, slower, pairs, true)


def write(
    given: argparse.Namespace, alike: Sequence[Measurement], slower: Sequence[Measurement], pairs: Counter[str],
    true: Counter[str],
) -> None:  # fmt: skip
    """`aa.json` and `aa.md`."""
    facts = linux_facts()
    valid = sum(not each.invalid for each in alike)
    again = sum(len(each.attempts) for each in (*alike, *slower))
    wrong = (pairs["faster"] + pairs["slower"]) / max(1, pairs.total())
    given.output.mkdir(parents=True, exist_ok=True)
    body = {
        "facts": facts, "launches": given.launches, "samples": given.samples, "alike": dict(pairs),
        "slower": dict(true),
        "measurements": [
            {"slower": kind, "ms": each.latency_ms, "tokens": each.tokens, "invalid": each.invalid,
             "attempts": each.attempts}
            for kind, group in ((False, alike), (True, slower)) for each in group
        ],
    }  # fmt: skip
    (given.output / "aa.json").write_text(json.dumps(body, default=list) + "\n", "utf-8")
    lines = [
        "# Like with like, and a true 10 %",
        "",
        f"{len(alike)} measurements of one artifact ({alike[0].engine}), {given.launches} launches of {given.samples} "
        f"samples each, on {facts['cpu']}, {facts['usable_cores']} cores"
        f"{', a virtual machine' if facts['virtual_machine'] else ''}; {valid} of them valid; "
        f"{again} attempts were invalid and taken again.",
        "",
        f"| pairs of | {' | '.join(WORDS)} |",
        "|:--|" + "--:|" * len(WORDS),
        f"| like and like ({pairs.total()}) | {' | '.join(str(pairs[word]) for word in WORDS)} |",
        f"| like and 10 % slower ({true.total()}) | {' | '.join(str(true[word]) for word in WORDS)} |",
        "",
        f"Like with like came out faster or slower in {100 * wrong:.1f} % of the pairs (at most 2 % may).",
        "",
    ]
    (given.output / "aa.md").write_text("\n".join(lines), "utf-8")
    print("\n".join(lines))


WORDS = ("faster", "slower", "no difference seen", "too noisy")

if __name__ == "__main__":
    main()
