"""Golden answers asked on a device, and the manifest that says on which instruction sets they held.

An artifact is proven where it was made. What holds on one processor need not hold on the next: engines choose their
kernels by its instructions, and some of them round, or saturate, otherwise.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edgebert import artifact as artifacts
from edgebert import golden
from edgebert.artifact import Artifact
from edgebert.check import run_job
from edgebert.errors import DeviceError
from edgebert.protocols import Device
from edgebert.worker import Job


@dataclass(frozen=True)
class Proof:
    """The golden answers held.

    Args:
        instructions: that the device has for INT8 products: `x86_64 avx2`.
        engine: name and version.
        max_error: the largest difference of an output from the expected one.
        tolerance: the largest that is allowed.
    """

    instructions: str
    engine: str
    max_error: float
    tolerance: float

    def entry(self) -> Mapping[str, str]:
        """As the manifest's `proven` has it."""
        return {"instructions": self.instructions, "engine": self.engine}


def prove(artifact: Artifact, device: Device) -> Proof:
    """Ask the golden answers on `device`.

    Raises:
        ArtifactError: an answer is another one there, or the engine refuses the artifact.
        DeviceError: the device cannot do it.
    """
    with tempfile.TemporaryDirectory(prefix="edgebert-prove-") as scratch:
        folder = Path(scratch)
        records = folder / "records.jsonl"
        records.write_text(json.dumps(golden.records_of(artifact)[0], ensure_ascii=False) + "\n", "utf-8")
        job = Job(device.put(artifact.path, artifact.manifest.name), device.put(records, "records.jsonl"))
        events = {event["event"]: event for event in run_job(device, job, folder, folder / "events")}
    loaded, asked = events["loaded"], events["golden"]
    if not loaded.get("instructions"):
        raise DeviceError(
            f"{device.name}: its worker does not say what its processor has",
            "prove it on a device that runs the Python worker",
        )
    return Proof(loaded["instructions"], loaded["engine"], asked["max_error"], asked["tolerance"])


def record(artifact: Artifact, proof: Proof) -> Artifact:
    """The same artifact in the same folder, with a proof more in its manifest, and therefore with another id.

    Where it is proven there already, nothing changes.
    """
    entry = proof.entry()
    if entry in artifact.manifest.proven:
        return artifact
    proven = sorted([*artifact.manifest.proven, entry], key=lambda each: (each["instructions"], each["engine"]))
    target = artifact.path.resolve()
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
        copy = Path(scratch) / "copy"
        shutil.copytree(target, copy)
        saved = artifacts.save(copy, replace(artifact.manifest, proven=tuple(proven)), target)
    return replace(saved, path=artifact.path)
