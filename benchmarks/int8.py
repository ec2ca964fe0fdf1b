"""Our INT8 against what users ship today: one run, alternated, with the share of the machine's INT8 roof.

    python benchmarks/int8.py [--quick] [--minutes 10] [--models base,small,clinc150] [--lengths 16,32,64,128]
        [--threads 1,2] [--ways onnx-int8,optimum,…] [--student build/clinc150/student] [--out FOLDER]

Models: `base` (BERT-base's shape) and `small` (4 layers × 256), of random weights since this is about speed, or any
LAYERSxHIDDEN; `clinc150` is the student of `benchmarks/clinc150.yaml`. Ways: our three INT8 artifacts; torch eager and
torch.compile in FP32; the stock INT8 recipes of Optimum (dynamic, AVX512-VNNI), NNCF and ai-edge-quantizer, each run by
its engine's own interface as it comes (`int8_models.py`, `int8_probe.py`). The engine alone is timed: batch 1, every
position used. A launch is a fresh process that measures every length of one model; launches of all ways take turns,
and rounds go on until `--minutes` are over, one round at least. Told are medians over all launches, how much quicker
than Optimum's, and the share of the best rate that INT8 products alone reach on this machine (the models' largest
shapes at 128 tokens, ONNX Runtime's and oneDNN's, measured in the same rounds).

Models are made once, in `build/int8`, which takes about 15 minutes more for all of them; Optimum is installed into
`build/optimum`, which only its process sees. `--quick`: 2 layers × 64, 16 tokens, one thread, one short round.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

from runtime import OPTIMUM, optimum

from edgebert.cpu import instructions
from edgebert.devices.facts import linux_facts

ROOT = Path(__file__).parents[1]
HERE = Path(__file__).parent
WORK = ROOT / "build" / "int8"
SHAPES = {"base": "12x768", "small": "4x256"}
OURS = ("onnx-int8", "openvino-int8", "tflite-int8")
STOCK = ("optimum", "nncf", "ai-edge-quantizer")
WAYS = (*OURS, "torch", "torch.compile", *STOCK)
BASELINE = "optimum"
QUIET = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}

Key = tuple[str, str, int]  # way, model, threads


def environment(way: str, threads: int) -> dict[str, str]:
    """Of a child process; Optimum is seen by its own alone."""
    extra = {"OMP_NUM_THREADS": str(threads), "TORCHINDUCTOR_CACHE_DIR": str(WORK / "inductor")}
    extra |= {"PYTHONPATH": str(ROOT / "build" / "optimum")} if way == "optimum" else {}
    return os.environ | QUIET | extra


def prepare(model: str, ways: Sequence[str], lengths: Sequence[int], student: Path) -> dict[str, Path]:
    """Way -> what its probe loads; made where it is not there."""
    source = student if model == "clinc150" else WORK / model / "source"
    every = ",".join(map(str, lengths))
    if not (source / "config.json").is_file():
        if model == "clinc150":
            raise SystemExit(f"no student: {source} (edgebert run benchmarks/clinc150.yaml, or --student)")
        make("random", SHAPES.get(model, model), source, every)
    found = {}
    for way in ways:
        # A file has the lengths that it was made for.
        found[way] = source if way.startswith("torch") else WORK / model / f"{way}-{every.replace(',', '-')}"
        if not found[way].exists():
            make(way, str(source), found[way], every)
    return found


def make(what: str, source: str, out: Path, lengths: str) -> None:
    """One model, by a process of its own, under its name only when it is whole."""
    print(f"making {out.relative_to(WORK)}", file=sys.stderr)
    unfinished = out.with_name(f"{out.name}-unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    if what not in OURS:  # an export makes its folder itself
        unfinished.mkdir()
    if what == "optimum":
        optimum()  # installed where only its process sees it
    child([HERE / "int8_models.py", what, source, unfinished, lengths], environment(what, os.cpu_count() or 1))
    unfinished.rename(out)


def child(arguments: Sequence[str | Path], variables: dict[str, str]) -> None:
    """A Python of its own, whose output is shown when it fails."""
    done = subprocess.run([sys.executable, *arguments], env=variables, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, arguments))} failed:\n{(done.stdout + done.stderr)[-3000:]}")


def launch(way: str, model: str | Path, lengths: Sequence[int], threads: int, seconds: float) -> dict[str, Any]:
    """One fresh process and what it measured."""
    probe = "edgebert" if way in OURS else way
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch, "found.json")
        numbers = [",".join(map(str, lengths)), str(threads), str(seconds)]
        child(["-P", HERE / "int8_probe.py", probe, model, *numbers, out], environment(way, threads))
        found: dict[str, Any] = json.loads(out.read_text("utf-8"))
    return found


def rounds(minutes: float) -> Iterator[int]:
    """Numbers from 1 on, for as long as another round as long as the last is likely to fit; at least one."""
    end, number = time.monotonic() + 60 * minutes, 0
    while True:
        number += 1
        start = time.monotonic()
        yield number
        if 2 * time.monotonic() - start > end:
            return


def giga_operations(config: dict[str, Any], tokens: int) -> float:
    """Multiplications and additions of all matrix products of an encoder, as the source has them, in 10⁹."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    layer = 2 * tokens * (4 * hidden * hidden + 2 * hidden * inner) + 4 * tokens * tokens * hidden
    return config["num_hidden_layers"] * layer / 1e9


def measure(given: argparse.Namespace) -> tuple[dict[Key, dict[str, list[float]]], dict[int, dict[str, float]], int]:
    """Medians of every launch by way, model, threads and length; the roof by threads; the rounds."""
    made = {model: prepare(model, given.ways, given.lengths, given.student) for model in given.models}
    shapes = []
    for model in given.models:
        config = config_of(model, given.student)
        shapes.append(f"128x{config['hidden_size']}x{config['intermediate_size']}")
    found: dict[Key, dict[str, list[float]]] = {}
    roof: dict[int, dict[str, float]] = {}
    if "torch.compile" in given.ways:  # what it compiles is kept for the launches that count
        for model in given.models:
            for threads in given.threads:
                print(f"compiling {model}, {threads} threads", file=sys.stderr)
                launch("torch.compile", made[model]["torch.compile"], given.lengths, threads, 0)
    for number in rounds(given.minutes):
        for threads in given.threads:
            best = launch("roof", ",".join(sorted(set(shapes))), given.lengths, threads, given.seconds)
            roof[threads] = {name: max(rate, roof.get(threads, {}).get(name, 0)) for name, rate in best.items()}
            for model in given.models:
                for way in given.ways:
                    print(f"round {number}: {model}, {threads} threads, {way}", file=sys.stderr)
                    times = launch(way, made[model][way], given.lengths, threads, given.seconds)
                    for length, each in times.items():
                        found.setdefault((way, model, threads), {}).setdefault(length, []).append(median(each))
    return found, roof, number


def config_of(model: str, student: Path) -> dict[str, Any]:
    """The source's `config.json`."""
    folder = student if model == "clinc150" else WORK / model / "source"
    loaded: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
    return loaded


def rows_of(given: argparse.Namespace, found: dict[Key, dict[str, list[float]]], roof: Any) -> list[dict[str, Any]]:
    """One row for each way, model, thread count and length."""
    rows = []
    for (way, model, threads), by_length in found.items():
        config, best = config_of(model, given.student), max(roof[threads].values())
        for length, launches in by_length.items():
            ms = median(launches)
            base = found.get((BASELINE, model, threads), {}).get(length)
            share = giga_operations(config, int(length)) / (ms / 1e3) / best
            rows.append(
                {"way": way, "model": model, "threads": threads, "length": int(length), "ms": ms, "launches": launches,
                 "faster_than_optimum": median(base) / ms if base else None, "share_of_roof": share}
            )  # fmt: skip
    return rows


def markdown(rows: list[dict[str, Any]], roof: dict[int, dict[str, float]], about: dict[str, Any]) -> str:
    """A table for each model and thread count: ms, how much quicker than Optimum's, share of the roof."""
    lines = []
    for model, threads in dict.fromkeys((row["model"], row["threads"]) for row in rows):
        part = {(row["way"], row["length"]): row for row in rows if (row["model"], row["threads"]) == (model, threads)}
        lengths = sorted({length for _, length in part})
        rates = ", ".join(f"{name} {rate:.0f}" for name, rate in roof[threads].items())
        lines += [
            f"**{model}**, {threads} thread{'s' * (threads > 1)}; roof, GOP/s: {rates}", "",
            "| | " + " | ".join(f"{length} tokens" for length in lengths) + " |", "|:--|" + "--:|" * len(lengths),
        ]  # fmt: skip
        for way in dict.fromkeys(way for way, _ in part):
            cells = []
            for length in lengths:
                row = part[way, length]
                times = f", {row['faster_than_optimum']:.2f} ×" if row["faster_than_optimum"] else ""
                cells.append(f"{row['ms']:.3g} ms{times}, {row['share_of_roof']:.0%}")
            lines.append(f"| {way} | {' | '.join(cells)} |")
        lines.append("")
    told = [f"- {name}: {value}" for name, value in about.items()]
    note = "Median of all launches' medians; × is how much quicker than Optimum's; % of the best INT8 rate above."
    return "\n".join([*lines, note, "", *told, ""])


def main() -> None:
    """Prepare, measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--minutes", type=float, default=10.0, help="of measuring, models not counted")
    parser.add_argument("--seconds", type=float, default=0.3, help="of runs at each length of a launch")
    parser.add_argument("--models", type=words, default=["base", "small", "clinc150"])
    parser.add_argument("--lengths", type=numbers, default=[16, 32, 64, 128])
    parser.add_argument("--threads", type=numbers, default=[1, 2])
    parser.add_argument("--ways", type=words, default=list(WAYS))
    parser.add_argument("--student", type=Path, default=ROOT / "build" / "clinc150" / "student")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "int8")
    given = parser.parse_args()
    if given.quick:
        given.models, given.lengths, given.threads, given.minutes, given.seconds = ["2x64"], [16], [1], 0.0, 0.05
    if unknown := set(given.ways) - set(WAYS):
        parser.error(f"unknown ways: {', '.join(sorted(unknown))}; known: {', '.join(WAYS)}")
    if "torch.compile" in given.ways and not (shutil.which("g++") or shutil.which("clang++")):
        given.ways = [way for way in given.ways if way != "torch.compile"]
        print("torch.compile is left out: no C++ compiler", file=sys.stderr)
    before = linux_facts()
    found, roof, number = measure(given)
    rows = rows_of(given, found, roof)
    packages = ("torch", "transformers", "onnxruntime", "openvino", "nncf", "ai-edge-litert", "ai-edge-quantizer")
    about = {
        "command": f"python benchmarks/int8.py {' '.join(sys.argv[1:])}".rstrip(),
        "machine": f"{before['cpu']} ({instructions()}), {before['usable_cores']} cores",
        "load": f"{before['load_average']:.2f} before, {linux_facts()['load_average']:.2f} after",
        "rounds": number,
        "versions": ", ".join([f"{name} {metadata.version(name)}" for name in packages] + list(OPTIMUM)),
    }
    text = markdown(rows, roof, about)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "int8.md").write_text(text, "utf-8")
    body = {"about": about, "roof_gops": roof, "rows": rows}
    (given.out / "int8.json").write_text(json.dumps(body, indent=1) + "\n", "utf-8")
    print(text)


def words(text: str) -> list[str]:
    """`a,b`."""
    return text.split(",")


def numbers(text: str) -> list[int]:
    """`1,2`."""
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    main()
