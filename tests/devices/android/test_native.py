"""Figures of the engines' own benchmark programs: what they print, and how they are called."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from android_standin import Standin
from click.testing import CliRunner

from edgebert.artifact import Artifact
from edgebert.cli import main
from edgebert.devices import native
from edgebert.devices.android.shell import LAUNCHER
from edgebert.devices.native_output import Figures, read_benchmark_app, read_benchmark_model, read_perf_test
from edgebert.errors import DeviceError, UsageError
from edgebert.exporting import export_artifact
from edgebert.single import bench_native
from edgebert.teacher import Teacher

FIXTURES = Path(__file__).parent / "fixtures/native"
MB = 2**20


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "benchmark_model-2.0.txt",
            Figures(n=50, mean=188.452, min=186.912, max=199.12, std=1.893, init=12.811, first=188.311),
        ),
        (
            "benchmark_model-2.4.txt",
            Figures(n=50, mean=249.684, min=247.067, max=274.454, std=1.442, init=16.242, first=360.262,
                    memory_bytes=round(138.809 * MB)),
        ),
        (
            "benchmark_model-exponent.txt",
            Figures(n=50, mean=2950.34, min=2727.568, max=3189.954, std=109.798, init=17.187, first=3512.391,
                    memory_bytes=round(46.0859 * MB)),
        ),
        (
            "benchmark_model-litert.txt",
            Figures(n=604, mean=1.6484, p50=1.635, p95=1.731, min=1.59, max=2.211, std=0.061, init=5.121, first=2.402,
                    memory_bytes=round(25.1289 * MB)),
        ),
        (
            "benchmark_model-logcat.txt",
            Figures(n=25, mean=145.528, p50=141.253, p95=187.533, min=140.071, max=195.121, std=13.583, init=92.318,
                    first=187.533, memory_bytes=round(73.4102 * MB)),
        ),
    ],
)  # fmt: skip
def test_benchmark_model(name: str, expected: Figures) -> None:
    found = read_benchmark_model((FIXTURES / name).read_text())
    assert {k: v for k, v in found.row().items() if k != "p90"} == pytest.approx(
        {k: v for k, v in expected.row().items() if k != "p90"}
    )
    assert found.p90 is None, "benchmark_model tells no p90, and none is made up"


def test_perf_test() -> None:
    old = read_perf_test((FIXTURES / "perf_test-1.2.txt").read_text())
    assert old.row() == pytest.approx({"p50": None, "p90": None, "n": 200, "mean": 6.03555, "init": 82.4601})
    new = read_perf_test((FIXTURES / "perf_test-1.22.txt").read_text())
    assert new.row() == pytest.approx(
        {
            "p50": 1.85674, "p90": 1.87215, "p95": 1.87393, "p99": 1.90312, "n": 100, "mean": 1.85739,
            "min": 1.83404, "max": 1.90312, "init": 10.2016, "first": 2.0, "memory_bytes": 36696064,
        }
    )  # fmt: skip
    newest = read_perf_test((FIXTURES / "perf_test-1.23.txt").read_text())
    assert (newest.n, newest.mean, newest.p50) == pytest.approx((5, 98.961997, 99.5086))


def test_benchmark_app() -> None:
    found = read_benchmark_app((FIXTURES / "benchmark_app-2026.4.json").read_text())
    assert found == Figures(n=50, mean=1.33, p50=0.46, min=0.4, max=4.13, init=751.39, first=2.96)
    with pytest.raises(DeviceError, match=r"benchmark_app failed: Wrong input mapping!"):
        read_benchmark_app((FIXTURES / "benchmark_app-error.json").read_text())


@pytest.mark.parametrize("read", [read_benchmark_model, read_perf_test, read_benchmark_app])
@pytest.mark.parametrize("said", ["", "Segmentation fault", "count=50 first=1", "{}", '{"execution_results": []}'])
def test_what_is_no_result(read: object, said: str) -> None:
    with pytest.raises(DeviceError, match="gave no result"):
        read(said)  # type: ignore[operator]


def test_input_is_real_text(tiny_artifact: Artifact) -> None:
    """The tokens of the golden texts, one after the other; every position is used."""
    (ids, mask, *_) = (array for _, array in native.inputs(tiny_artifact, 32))
    tokens = [token for row in tiny_artifact.golden()["input_ids"] for token in row]
    assert ids.tolist() == [tokens[:32]] and mask.sum() == 32 and ids.dtype == np.int64
    long = native.inputs(tiny_artifact, len(tokens) + 5)[0][1]
    assert long[0, -5:].tolist() == tokens[:5], "when the texts are used up they begin again"


#: A stand-in for onnxruntime_perf_test that only looks at what it was given, and prints what a real one has printed.
PERF_TEST = """#!/system/bin/sh
for argument; do model=$argument; done
[ "$1 $2 $3 $4 $5 $6 $7 $8 $9" = "-e cpu -m times -r 100 -x 1 -y" ] || { echo "arguments: $*"; exit 9; }
[ -s "$model" ] || { echo "no model"; exit 8; }
[ -s "${model%/*}/test_data_set_0/input_0.pb" ] && [ -s "${model%/*}/test_data_set_0/input_1.pb" ] || exit 7
echo "on $(getprop ro.product.model)"
"""


def test_on_android(phone: Standin, tiny_artifact: Artifact, tmp_path: Path) -> None:
    """Without a bundle: the program, the model and its input are copied, and are gone afterwards."""
    binary = tmp_path / "onnxruntime_perf_test"
    recorded = (FIXTURES / "perf_test-1.22.txt").read_text()
    binary.write_text(PERF_TEST + f"cat <<'END'\n{recorded}END\n")
    done = CliRunner().invoke(
        main,
        ["bench", str(tiny_artifact.path), "--device", "android", "--native", str(binary), "--lengths", "16,32",
         "--launches", "2", "--json"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)
    assert row["name"] == "onnx-int8" and row["device"] == "android" and row["threads"] == 1 and row["emulated"]
    assert row["engine"] == "onnxruntime_perf_test (native)" and len(row["facts"]["binary_sha256"]) == 64
    assert set(row["engine_ms"]) == {"16", "32"} and row["engine_ms"]["16"]["p50"] == pytest.approx(1.85674)
    phone.await_clean(2)
    binary.write_text("#!/system/bin/sh\necho cannot link executable\nexit 1\n")
    with pytest.raises(DeviceError, match=r"tool failed with code 1: cannot link executable") as caught:
        bench_native([tiny_artifact.path], binary, device="android", lengths=[16], threads=[1], launches=1)
    assert "is it built for this phone" in caught.value.hint
    phone.await_clean(2)


def test_the_watch_goes_with_its_program(tmp_path: Path) -> None:
    """Even where the program has ended before the watch is in a group of its own."""
    slow = tmp_path / "bin" / "setsid"
    slow.parent.mkdir()
    slow.write_text('#!/bin/sh\nPATH=/usr/bin:/bin\n[ "$1" != sh ] || sleep 0.5\nexec setsid "$@"\n')
    slow.chmod(0o755)
    folder = tmp_path / "folder"
    folder.mkdir()
    environment = {"PATH": f"{slow.parent}:/usr/bin:/bin"}
    begun = time.monotonic()
    for _ in range(3):  # what a first watch leaves would fall upon the next program
        command = ["sh", "-c", LAUNCHER, "sh", str(folder), "5", "echo", "done"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert done.stdout == "done\nedgebert-end:0\n"
    time.sleep(max(0.0, begun + 6.5 - time.monotonic()))
    assert not list(folder.iterdir()), "a watch was still there when its time came"


def test_a_program_that_is_late_is_ended(tmp_path: Path) -> None:
    command = ["sh", "-c", LAUNCHER, "sh", str(tmp_path), "1", "sh", "-c", "echo begun; sleep 30 & sleep 30"]
    begun = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert time.monotonic() < begun + 20
    assert done.stdout.split() == ["begun", "edgebert-late", "edgebert-end:137"] and not list(tmp_path.iterdir())


def test_what_cannot_be_run(tiny_artifact: Artifact, tmp_path: Path) -> None:
    plan = {"device": "local", "lengths": [16], "threads": [1], "launches": 1}
    with pytest.raises(UsageError, match="is no file"):
        bench_native([tiny_artifact.path], tmp_path / "absent", **plan)  # type: ignore[arg-type]
    text = tmp_path / "text"
    text.write_text("no program")
    with pytest.raises(DeviceError, match="tool cannot be started"):
        bench_native([tiny_artifact.path], text, **plan)  # type: ignore[arg-type]
    with pytest.raises(DeviceError, match="onnxruntime_perf_test gave no result: it said nothing"):
        bench_native([tiny_artifact.path], Path("/bin/true"), **plan)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def exported(
    teacher: Teacher, records: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Artifact]:
    """The tiny model in a format, INT8, exported the real way."""

    def export(format: str) -> Artifact:
        folder = tmp_path_factory.mktemp(format)
        texts = folder / "calibration.jsonl"
        texts.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
        return export_artifact(
            teacher.path, task="text-classification", format=format, precision="int8", lengths=(16, 32),
            calibration=texts, target=folder / f"{format}-int8", log=folder / "log",
            lineage=({"name": teacher.name, "role": "teacher", "hash": teacher.content_hash},),
        )  # fmt: skip

    return export


def program(path: Path, text: str) -> Path:
    path.write_text(f"#!{sys.executable}\n{text}")
    return path


@pytest.mark.slow
def test_benchmark_app_here(exported: Callable[[str], Artifact], tmp_path: Path) -> None:
    """OpenVINO's real program on an artifact of ours, with real tokens."""
    binary = program(tmp_path / "benchmark_app", "from openvino.tools.benchmark.main import main\nmain()\n")
    artifact = exported("openvino")
    (row,) = bench_native([artifact.path], binary, device="local", lengths=[16, 32], threads=[1], launches=1)
    for length in ("16", "32"):
        figures = row["engine_ms"][length]
        assert figures["n"] == 50 and 0 < figures["min"] <= figures["p50"] <= figures["max"] and figures["init"] > 0
    assert row["engine"] == "benchmark_app (native)" and not row["emulated"]


#: A stand-in for LiteRT's benchmark_model that takes its flags as it does, and runs the model in LiteRT's Python.
BENCHMARK_MODEL = """
import re, sys, time
import numpy as np
from ai_edge_litert.interpreter import Interpreter
flags = dict(argument[2:].split("=", 1) for argument in sys.argv[1:])
names = flags["input_layer"].split(",")
shapes = [tuple(map(int, shape.split(","))) for shape in flags["input_layer_shape"].split(":")]
files = {}
for pair in flags["input_layer_value_files"].split(","):
    name, path = re.split(r"(?<!\\\\):", pair)
    files[name.replace("\\\\:", ":")] = path
interpreter = Interpreter(flags["graph"], num_threads=int(flags["num_threads"]))
runner = interpreter.get_signature_runner(flags["signature_to_run_for"])
feed = {}
for argument, detail in runner.get_input_details().items():
    index = names.index(detail["name"])
    assert tuple(detail["shape"]) == shapes[index]
    feed[argument] = np.fromfile(files[detail["name"]], detail["dtype"]).reshape(shapes[index])
assert len(feed) == len(names) and feed["input_ids"].max() > 1
times = []
for _ in range(int(flags["num_runs"])):
    start = time.perf_counter()
    runner(**feed)
    times.append((time.perf_counter() - start) * 1e6)
mean, middle = np.mean(times), int(np.median(times))
print(f"INFO: count={len(times)} first={times[0]:.0f} curr={times[-1]:.0f} min={min(times):.0f} max={max(times):.0f} "
      f"avg={mean:g} std={np.std(times):.0f} p5={min(times):.0f} median={middle} p95={max(times):.0f}")
print(f"INFO: Inference timings in us: Init: 9, First inference: {times[0]:.0f}, Warmup (avg): 1, "
      f"Inference (avg): {mean:g}")
"""


@pytest.mark.slow
def test_benchmark_model_gets_its_input(exported: Callable[[str], Artifact], tmp_path: Path) -> None:
    """Names, shapes and files as the flags tell them are those of the model: it runs on them."""
    binary = program(tmp_path / "benchmark_model", BENCHMARK_MODEL)
    artifact = exported("tflite")
    (row,) = bench_native([artifact.path], binary, device="local", lengths=[16, 32], threads=[1], launches=1)
    assert [row["engine_ms"][length]["n"] for length in ("16", "32")] == [50, 50]
    assert row["engine_ms"]["32"]["p50"] > 0
