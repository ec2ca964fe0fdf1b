"""Native figures: the engines' own benchmark programs, given by the user, timed on real tokens.

Which program goes with an artifact follows from its format: LiteRT's `benchmark_model`, `onnxruntime_perf_test`,
OpenVINO's `benchmark_app`. Each is told the artifact's model, one sequence length and the threads, and gets its
input as files: token ids of the artifact's golden texts, one after the other until the length is full.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgebert.artifact import Artifact, sha256
from edgebert.errors import DeviceError, UsageError, require
from edgebert.protocols import TensorSpec

from .native_output import Figures, read_benchmark_app, read_benchmark_model, read_perf_test
from .remote import failed, too_slow

#: Seconds that one run of a program may take.
TIMEOUT = 600.0
Inputs = list[tuple[TensorSpec, NDArray[Any]]]


class Shell(Protocol):
    """Where the programs run: a folder of its own on a device."""

    @property
    def name(self) -> str:
        """Of the device."""

    @property
    def folder(self) -> str:
        """The folder there."""

    def facts(self) -> dict[str, Any]:
        """Of the device, now."""

    def put(self, source: Path, path: str) -> None:
        """Copy a file or folder to `path`, which is relative to the folder and new."""

    def execute(self, command: Sequence[str], *, timeout: float) -> str:
        """Run a program in the folder; what it printed, stdout and stderr alike. Raises DeviceError when it fails."""

    def read(self, path: str) -> str:
        """The text of a file below the folder."""


class Here:
    """This computer."""

    def __init__(self, name: str, folder: Path, facts: Callable[[], dict[str, Any]]) -> None:
        self.name, self.folder, self.facts = name, str(folder), facts
        folder.mkdir()

    def put(self, source: Path, path: str) -> None:
        """Copy a file or folder."""
        target = Path(self.folder, path)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)

    def execute(self, command: Sequence[str], *, timeout: float) -> str:
        """Run a program. Raises DeviceError."""
        program = Path(command[0]).name
        try:
            done = subprocess.run(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, timeout=timeout, text=True, errors="replace",
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise too_slow(self.name, timeout) from error
        except OSError as error:
            raise DeviceError(f"{program} cannot be started: {error.strerror}", "is it built for here?") from error
        if done.returncode:
            raise failed(self.name, program, done.stdout)
        return done.stdout

    def read(self, path: str) -> str:
        """The text of a file."""
        return Path(self.folder, path).read_text("utf-8")


def measure(
    shell: Shell, artifacts: Sequence[tuple[str, Artifact]], binary: Path, *,
    lengths: Sequence[int], threads: Sequence[int], runs: int,
) -> list[dict[str, Any]]:  # fmt: skip
    """Rows as `edgebert bench` has them; times in milliseconds by sequence length.

    Args:
        shell: on the device.
        artifacts: names and verified artifacts, all of one format.
        binary: the benchmark program, built for the device.
        lengths: sequence lengths in tokens.
        threads: numbers of engine threads.
        runs: timed runs of each.

    Raises:
        UsageError: no program is known for the format, or the artifacts have several.
        DeviceError: the program fails, or prints something else.
    """
    if not binary.is_file():
        raise UsageError(f"{binary} is no file", "give the benchmark program, built for the device")
    formats = {artifact.manifest.format for _, artifact in artifacts}
    if len(formats) > 1 or not formats <= set(TOOLS):
        raise UsageError(
            f"one program cannot run {' and '.join(sorted(formats))} artifacts",
            f"give artifacts of one format: {', '.join(TOOLS)}",
        )
    run = TOOLS[formats.pop()]
    shell.put(binary, "tool")
    shell.execute(["chmod", "755", f"{shell.folder}/tool"], timeout=30.0)
    rows = []
    for number, (name, artifact) in enumerate(artifacts):
        place = f"artifact-{number}"
        shell.put(artifact.path, place)
        for count in threads:
            before, figures = shell.facts(), {}
            for length in possible(artifact, lengths):
                figures[str(length)] = run(shell, artifact, place, length, count, runs).row()
            rows.append(
                {
                    "name": name, "device": shell.name, "threads": count, "engine": f"{binary.name} (native)",
                    "engine_ms": figures, "emulated": bool(before.get("emulated")),
                    "facts": before | {"binary": binary.name, "binary_sha256": sha256(binary)},
                }
            )  # fmt: skip
    return rows


def possible(artifact: Artifact, wanted: Sequence[int]) -> list[int]:
    """Those of the wanted lengths that the model takes."""
    manifest = artifact.manifest
    return [n for n in wanted if n <= manifest.max_length and (not manifest.lengths or n in manifest.lengths)]


def inputs(artifact: Artifact, length: int) -> Inputs:
    """The model's inputs, [1, length] each: real tokens at every position, in the manifest's order and dtypes."""
    rows = artifact.golden()["input_ids"]
    tokens = [token for row in rows for token in row]
    ids = np.resize(np.array(tokens), (1, length))
    made = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    return [(spec, made.get(spec.name, np.zeros_like(ids)).astype(spec.dtype)) for spec in artifact.manifest.inputs]


def benchmark_model(shell: Shell, artifact: Artifact, place: str, length: int, threads: int, runs: int) -> Figures:
    """LiteRT's program, on the signature of one sequence length."""
    signature = f"seq{length}"
    tensors = _tflite_names(artifact, signature)
    given = [(tensors[spec.name], array) for spec, array in inputs(artifact, length)]
    data = f"{place}-inputs-{length}-{threads}"
    with _folder({f"{n}.bin": array.tobytes() for n, (_, array) in enumerate(given)}) as folder:
        shell.put(folder, data)
    escaped = [name.replace(":", "\\:") for name, _ in given]
    files = ",".join(f"{name}:{shell.folder}/{data}/{number}.bin" for number, name in enumerate(escaped))
    said = shell.execute(
        [
            f"{shell.folder}/tool", f"--graph={shell.folder}/{place}/{artifact.manifest.model_files[0]}",
            f"--signature_to_run_for={signature}", f"--num_threads={threads}", f"--num_runs={runs}",
            f"--input_layer={','.join(name for name, _ in given)}",
            f"--input_layer_shape={':'.join(','.join(map(str, array.shape)) for _, array in given)}",
            f"--input_layer_value_files={files}",
        ],
        timeout=TIMEOUT,
    )  # fmt: skip
    return read_benchmark_model(said)


def perf_test(shell: Shell, artifact: Artifact, place: str, length: int, threads: int, runs: int) -> Figures:
    """ONNX Runtime's program, which finds its input in a folder beside the model."""
    helper = require("onnx.numpy_helper", "host")
    data = f"{place}-inputs-{length}-{threads}"
    pairs = inputs(artifact, length)
    files = {
        f"test_data_set_0/input_{number}.pb": helper.from_array(array, spec.name).SerializeToString()
        for number, (spec, array) in enumerate(pairs)
    }
    model = artifact.manifest.model_files[0]
    with _folder(files | {model: artifact.model_path.read_bytes()}) as folder:
        shell.put(folder, data)
    path = f"{shell.folder}/{data}/{model}"
    command = [f"{shell.folder}/tool", "-e", "cpu", "-m", "times", "-r", str(runs), "-x", str(threads), "-y", "1", "-s"]
    return read_perf_test(shell.execute([*command, path], timeout=TIMEOUT))


def benchmark_app(shell: Shell, artifact: Artifact, place: str, length: int, threads: int, runs: int) -> Figures:
    """OpenVINO's program: one request at a time, in the precision of the artifact."""
    data = f"{place}-inputs-{length}-{threads}"
    pairs = inputs(artifact, length)
    with _folder({f"{spec.name}.bin": array.tobytes() for spec, array in pairs}) as folder:
        shell.put(folder, data)
    root = f"{shell.folder}/{data}"
    shell.execute(
        [
            f"{shell.folder}/tool", "-m", f"{shell.folder}/{place}/{artifact.manifest.model_files[0]}", "-d", "CPU",
            "-hint", "none", "-api", "sync", "-nireq", "1", "-nstreams", "1", "-nthreads", str(threads),
            "-niter", str(runs), "-infer_precision", artifact.manifest.settings.get("INFERENCE_PRECISION_HINT", "f32"),
            "-shape", ",".join(f"{spec.name}[1,{length}]" for spec, _ in pairs),
            "-i", ",".join(f"{spec.name}:{root}/{spec.name}.bin" for spec, _ in pairs),
            "-report_type", "no_counters", "-json_stats", "-report_folder", root,
        ],
        timeout=TIMEOUT,
    )  # fmt: skip
    return read_benchmark_app(shell.read(f"{data}/benchmark_report.json"))


#: Format -> what runs its program.
TOOLS: dict[str, Callable[[Shell, Artifact, str, int, int, int], Figures]] = {
    "tflite": benchmark_model,
    "onnx": perf_test,
    "openvino": benchmark_app,
}


def _tflite_names(artifact: Artifact, signature: str) -> dict[str, str]:
    """Input -> the name of its tensor, which the program wants; asked of the engine here."""
    interpreter = require("ai_edge_litert.interpreter", "tflite").Interpreter(str(artifact.model_path))
    details = interpreter.get_signature_runner(signature).get_input_details()
    return {name: str(detail["name"]) for name, detail in sorted(details.items(), key=lambda item: item[1]["index"])}


@contextmanager
def _folder(files: Mapping[str, bytes]) -> Iterator[Path]:
    """A folder here with these files, for as long as it takes to copy it."""
    with tempfile.TemporaryDirectory(prefix="edgebert-native-") as scratch:
        for name, content in files.items():
            path = Path(scratch, "inputs", name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        yield Path(scratch, "inputs")
