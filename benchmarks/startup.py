"""How long `import edgebert` and a first answer take: `python benchmarks/startup.py [ARTIFACT...]`.

Each is taken in fresh processes, alternated, and its median reported beside a bare interpreter's.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

ROUNDS = 15


def seconds(code: str, *arguments: str) -> float:
    """Wall time of one fresh interpreter."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main(artifacts: list[str]) -> None:
    """Print a Markdown table."""
    predict = "import sys, edgebert; edgebert.load(sys.argv[1]).predict('hello there')"
    candidates = [("bare interpreter", "pass", ""), ("import numpy", "import numpy", "")]
    candidates += [("import edgebert", "import edgebert", "")]
    candidates += [(f"first answer of {path}", predict, path) for path in artifacts]
    times: dict[str, list[float]] = {name: [] for name, _, _ in candidates}
    for _ in range(ROUNDS):
        for name, code, path in candidates:
            times[name].append(seconds(code, path))
    print("| process | median, ms | least, ms |\n|---|---|---|")
    for name, values in times.items():
        print(f"| {name} | {statistics.median(values) * 1000:.0f} | {min(values) * 1000:.0f} |")


if __name__ == "__main__":
    main(sys.argv[1:])
