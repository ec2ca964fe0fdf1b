"""Starts exports: each in a process of its own, because conversions leak memory and can crash natively.

The child is `python -m edgebert.export JOB.json`; it works in a hidden sibling of the target and renames
the finished artifact into place, so that the target never holds half of one.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from edgebert import artifact as artifacts
from edgebert import errors, registry, tasks
from edgebert.artifact import Artifact
from edgebert.errors import EdgebertError, ExportError, MissingExtra, UsageError
from edgebert.protocols import Exporter
from edgebert.tasks import Task

#: Raised by hand when what surrounds the exporters (golden answers, parity, companions) would change.
VERSION = 3

#: Records that INT8 is calibrated on and exports are compared on.
CALIBRATION_RECORDS = 300

JOB, RESULT, FOLDER = "job.json", "result.json", "artifact"

#: Format -> the distribution whose operators its tokenizer graph is made of.
TOKENIZER_LIBRARIES = {"onnx": "onnxruntime-extensions", "openvino": "openvino-tokenizers"}

#: No downloads, no telemetry, no threads of the tokenizer that a fork would warn of.
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "PYTHONHASHSEED": "0",
    "TF_CPP_MIN_LOG_LEVEL": "2",
}


def exporter(format: str) -> Exporter:
    """The exporter of that format. Raises UsageError."""
    found: Exporter = registry.find("exporters", format)
    return found


def tool_versions(format: str, *, tokenizer: bool = False) -> dict[str, str]:
    """The versions of the packages that decide what an export to that format gives; for manifest and stage key.

    With `tokenizer`, also of that which its tokenizer graph is made with.
    """
    found = {}
    for name in ("edgebert", *exporter(format).tools, *([TOKENIZER_LIBRARIES[format]] if tokenizer else [])):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def takes_tokenizer(format: str, precision: str) -> bool:
    """Whether an artifact may have its tokenizer as a graph beside the model.

    TFLite has no such operators, and the mobile build that reads `model.ort` has none of ONNX Runtime's extensions.
    """
    return format in TOKENIZER_LIBRARIES and not precision.endswith("-ort")


def check_tokenizer(format: str, precision: str, task: Task) -> None:
    """Tell before anything is converted what a tokenizer graph cannot be made for.

    Raises:
        UsageError: the format has no such operators, or the task needs places in the text.
        MissingExtra: what it is made with is not installed.
    """
    without = "leave --tokenizer-in-graph out: callers make the ids themselves (docs/without-edgebert.md)"
    if not takes_tokenizer(format, precision):
        raise UsageError(f"{format}-{precision} has no operators that a tokenizer could be a graph of", without)
    if task.windowed:
        raise UsageError(f"{task.name} answers with places in the text, which no tokenizer graph gives", without)
    library = TOKENIZER_LIBRARIES[format]
    if importlib.util.find_spec(library.replace("-", "_")) is None:
        hint = 'install it with: pip install "edgebert[tokenizer-graph]"'
        raise MissingExtra(f"the package {library!r} is not installed", hint)


def tuning_records(task: Task) -> int:
    """How many labelled records thresholds are tuned on at most; long ones cost more."""
    return 1000 if task.windowed else 2000


def version(format: str) -> int:
    """The export stage's own version number for that format."""
    return 1000 * VERSION + exporter(format).version


def export_artifact(
    model: Path,
    *,
    task: str,
    format: str,
    precision: str,
    lengths: Sequence[int],
    calibration: Path | None,
    target: Path,
    log: Path,
    lineage: Sequence[Mapping[str, Any]] = (),
    licence: str = "unknown",
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    tuning: Path | None = None,
    timeout: float | None = None,
    fallback: bool = True,
    sensitivity: bool = False,
    tokenizer_in_graph: str | None = None,
) -> Artifact:
    """Convert a Hugging Face folder into one artifact, compared with its source before it gets its name.

    Args:
        model: the folder, FP32 or FP16 safetensors.
        task: a name of the task registry.
        format: `onnx`, `openvino`, `tflite` or `torch`.
        precision: one that the exporter knows.
        lengths: token buckets, ascending; the largest is where texts are truncated.
        calibration: real records as JSON lines, or None.
        target: the artifact's folder; one that is there is replaced.
        log: receives what the tools print.
        lineage: what the model came from, first things first.
        licence: of the model.
        seed: for the choice of calibration texts.
        settings: of the task, as `tasks.settings_of` gives them.
        tuning: labelled validation records as JSON lines, which the exported model's thresholds are tuned on.
        timeout: seconds, or None for as long as it takes.
        fallback: where INT8 loses too much, operators go back to float, worst first, before it is refused.
        sensitivity: tell in the lineage what each operator group loses, even where nothing has to go back.
        tokenizer_in_graph: `all` or `data`: the tokenizer as a graph of the engine beside the model, compared with
            `tokenizers` on hard texts and the given ones, or on the given ones alone. None: no such graph.

    Raises:
        UsageError: unknown format, precision or lengths; a tokenizer graph where there can be none.
        MissingExtra: what a tokenizer graph is made with is not installed.
        ExportError: the conversion failed, was killed, or lost too much; nothing is written then.
    """
    _check(format, precision, lengths, calibration)
    if tokenizer_in_graph is not None:
        check_tokenizer(format, precision, tasks.get(task, settings))
        if tokenizer_in_graph == "data" and calibration is None:
            raise UsageError("--tokenizer-in-graph data needs texts to compare ids on", "give some: --calibrate DATA")
    if sensitivity and not precision.startswith("int8"):
        raise UsageError(f"{format}-{precision} quantizes nothing that could be sensitive", "leave --sensitivity out")
    target.parent.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    with _workplace(target) as work:
        job = {
            "model": str(model.resolve()),
            "task": task,
            "format": format,
            "precision": precision,
            "lengths": list(lengths),
            "calibration": str(calibration.resolve()) if calibration else None,
            "lineage": [dict(entry) for entry in lineage],
            "licence": licence,
            "seed": seed,
            "settings": dict(settings or {}),
            "tuning": str(tuning.resolve()) if tuning else None,
            "fallback": fallback,
            "sensitivity": sensitivity,
            "tokenizer_in_graph": tokenizer_in_graph,
            "target": str(target.resolve()),
            "parent": os.getpid(),
        }
        (work / JOB).write_text(json.dumps(job), encoding="utf-8")
        code = _run(work, log, timeout)
        _raise_error(work / RESULT, code, f"{format}-{precision}", log)
    return artifacts.load(target)


def _check(format: str, precision: str, lengths: Sequence[int], calibration: Path | None) -> None:
    precisions = exporter(format).precisions
    if precision not in precisions:
        raise UsageError(
            f"{format} has no precision {precision!r}", f"known for {format}: {', '.join(sorted(precisions))}"
        )
    if not lengths or list(lengths) != sorted(set(lengths)) or lengths[0] < 2:
        raise UsageError(
            f"lengths {list(lengths)} must ascend and be at least 2 (two special tokens)", "such as 16,32,64,128"
        )
    if precisions[precision] and calibration is None:
        raise ExportError(f"{format}-{precision} must be calibrated on real texts", "give some: --calibrate DATA")


@contextlib.contextmanager
def _workplace(target: Path) -> Iterator[Path]:
    """A hidden sibling of the target, emptied of what a killed export left there, and gone afterwards."""
    work = target.resolve().parent / f".{target.name}.export"
    work.mkdir(exist_ok=True)
    lock = os.open(work, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ExportError(f"another export to {target} is running", "wait for it, or stop it") from error
        for left in work.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        (work / FOLDER).mkdir()
        yield work
        shutil.rmtree(work)
    except BaseException:
        if not _locked_by_another(lock):
            shutil.rmtree(work, ignore_errors=True)
        raise
    finally:
        os.close(lock)


def _locked_by_another(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _run(work: Path, log: Path, timeout: float | None) -> int:
    """Run the child to its end; whatever ends the wait early ends the child and all that it started."""
    # -P: no module of the folder that edgebert happens to be called from may stand for a package.
    command = [sys.executable, "-P", "-m", "edgebert.export", str(work / JOB)]
    with log.open("wb") as output:
        child = subprocess.Popen(
            command,
            cwd=work,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **ENVIRONMENT, "TMPDIR": str(work)},
            start_new_session=True,
        )
        try:
            return child.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise ExportError(
                f"the export took longer than {timeout:g} s", "allow it more time, or give shorter lengths"
            ) from error
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def _raise_error(result: Path, code: int, name: str, log: Path) -> None:
    """What the child says went wrong, as the error that it was there."""
    if result.is_file():
        found = json.loads(result.read_text("utf-8"))
        if found["error"] is None:
            return
        kind = getattr(errors, found["error"], ExportError)
        if isinstance(kind, type) and issubclass(kind, EdgebertError):
            raise kind(found["message"], found["hint"])
    lines = log.read_text("utf-8", "replace").strip().splitlines()
    tail = " | ".join(line.strip() for line in lines[-3:])[-500:] or "it said nothing"
    how = f"was ended by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"ended with code {code}"
    raise ExportError(
        f"the export to {name} {how}: {tail}",
        "not enough memory, most likely: free some, or give shorter lengths" if code == -signal.SIGKILL
        else f"the whole log: {log}; is the model of a family that edgebert exports?",
    )  # fmt: skip
