"""What an emulated device has to show: the answers of this computer, or others that a rounding explains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgebert.artifact import Artifact
from edgebert.check import Candidate, Plan, connected, measure_all
from edgebert.gate import judge
from edgebert.measurement import Measurement
from edgebert.model import Model
from edgebert.progress import SILENT
from edgebert.results import results_of
from edgebert.tasks import Record

#: A latency that means nothing is not taken twice.
PLAN = Plan(launches=1, samples=1, lengths=())
#: Share of the answers that must be those of this computer.
SAME = 0.99


def measure(device: str, artifacts: Mapping[str, Artifact], records: Sequence[Record]) -> dict[str, Measurement]:
    """As `edgebert check` measures each artifact on a device: golden answers first, then all records."""
    with connected(device) as connection:
        candidates = [Candidate(name, "artifact", artifact) for name, artifact in artifacts.items()]
        found = measure_all(candidates, connection, records, PLAN, SILENT)
    return dict(zip(artifacts, found, strict=True))


def assert_same(artifact: Artifact, here: Measurement, there: Measurement, records: Sequence[Record]) -> None:
    """At least 99 % of the answers are equal; any other one is here within the golden tolerance of the best."""
    ours, theirs = here.answers, there.answers
    assert ours is not None and theirs is not None and len(ours) == len(theirs) == len(records)
    assert min(*ours, *theirs) >= 0, "a rejected text has no margin: take a student without an out-of-scope class"
    different = [index for index in range(len(ours)) if ours[index] != theirs[index]]
    assert len(different) <= (1 - SAME) * len(records), (artifact.manifest.name, different)
    with Model.load(artifact.path) as model:
        for index in different:
            (window,) = model.encode(records[index])
            logits = model.run(window)["logits"]
            margin = logits[ours[index]] - logits[theirs[index]]
            assert margin <= there.golden["tolerance"], (artifact.manifest.name, index, margin)


def assert_proven(there: Measurement, accuracy: float) -> None:
    """Golden answers pass, the answers are right, and times are no verdict: it is emulated."""
    assert there.golden["ok"] and there.golden["max_error"] <= there.golden["tolerance"]
    (result,) = results_of([there])
    assert result.emulated and result.facts["machine"] == "aarch64"
    assert result.metric is not None and result.metric.value >= accuracy
    verdict, reasons = judge(result, {"max_p90_ms": {there.device: 1e9}})
    assert verdict == "unknown" and any("emulated" in reason for reason in reasons)
