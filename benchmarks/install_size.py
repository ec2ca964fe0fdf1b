"""How much an install takes on a device: `python benchmarks/install_size.py [ARTIFACT]... [--json FILE]`.

Each way of installing is done from nothing into an empty folder, from the wheel of this checkout and the package
index, with the versions of `constraints.txt`; then all files are counted (byte code included, which pip makes), and
an artifact is loaded there, if one is given, by an interpreter that sees nothing else. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

#: Way -> what pip is given; `edgebert` stands for the wheel of this checkout. Limits in 10^6 bytes.
WAYS: dict[str, tuple[tuple[str, ...], int | None]] = {
    "edgebert[onnx]": (("edgebert[onnx]",), 210),
    "edgebert[tflite]": (("edgebert[tflite]",), 210),
    "edgebert[openvino]": (("edgebert[openvino]",), None),
    "minimal, ONNX": (("--no-deps", "edgebert", "numpy", "onnxruntime"), 170),
    "minimal, TFLite": (("--no-deps", "edgebert", "numpy", "ai-edge-litert"), 170),
}
PREDICT = "import edgebert, sys; print(edgebert.load(sys.argv[1]).predict('wake me at seven'))"


def wheel(folder: Path) -> Path:
    """The wheel of this checkout."""
    pip(["wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(ROOT)])
    return next(folder.glob("edgebert-*.whl"))


def pip(arguments: list[str]) -> None:
    """Quietly; what it says is shown where it fails."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)


def install(way: str, built: Path, folder: Path) -> None:
    """Into an empty folder, as pip would into an empty environment."""
    named = [
        str(built) + part.removeprefix("edgebert") if part.startswith("edgebert") else part for part in WAYS[way][0]
    ]
    pip(["install", "--constraint", str(ROOT / "constraints.txt"), "--target", str(folder), *named])


def sizes(folder: Path) -> Counter[str]:
    """Bytes by what lies directly in the folder."""
    found: Counter[str] = Counter()
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            name = path.relative_to(folder).parts[0]
            found[name.split("-")[0].removesuffix(".libs").removesuffix(".py")] += path.stat().st_size
    return found


def answers(folder: Path, artifact: Path) -> str:
    """What an interpreter says that sees this folder and the standard library only."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder)}
    command = [sys.executable, "-S", "-P", "-c", PREDICT, str(artifact.resolve())]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    return done.stdout.strip() if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def measure(ways: list[str], artifacts: list[Path]) -> list[dict[str, Any]]:
    """A row a way."""
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        built = wheel(Path(scratch) / "wheel")
        for way in ways:
            folder = Path(scratch) / str(len(rows))
            install(way, built, folder)
            before = sizes(folder)
            row = {
                "way": way, "command": f"pip install {' '.join(WAYS[way][0])}", "limit_mb": WAYS[way][1],
                "mb": round(before.total() / 1e6, 1),
                "parts": {name: round(size / 1e6, 1) for name, size in before.most_common(8)},
            }  # fmt: skip
            engine = next(name for name in ("onnx", "openvino", "tflite") if name in way.lower())
            row["answers"] = {a.name: answers(folder, a) for a in artifacts if a.name.startswith(engine)}
            rows.append(row)
    return rows


def main() -> None:
    """Print the table; exit code 1 where a limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifacts", nargs="*", type=Path, help="asked in the environments of their engine")
    parser.add_argument("--way", choices=WAYS, action="append", help="only this one; may be repeated")
    parser.add_argument("--json", type=Path, help="write the rows there")
    given = parser.parse_args()
    rows = measure(given.way or list(WAYS), given.artifacts)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    print("| install | MB | at most | largest parts |\n|---|--:|--:|---|")
    for row in rows:
        parts = ", ".join(f"{name} {size}" for name, size in list(row["parts"].items())[:6])
        print(f"| `{row['command']}` | {row['mb']} | {row['limit_mb'] or '—'} | {parts} |")
        for name, answer in row["answers"].items():
            print(f"\n{row['way']}, {name}: {answer}\n", file=sys.stderr)
    sys.exit(any(row["limit_mb"] and row["mb"] > row["limit_mb"] for row in rows))


if __name__ == "__main__":
    main()
