"""Whether a long life costs memory: `python benchmarks/memory.py ARTIFACT... [--texts 100000] [--cycles 1000]`.

Each artifact gets two processes of its own. One answers texts of every length from one word to more than the model
reads, in random order, and compares its resident memory at the end with that after the first tenth. The other loads,
asks and closes the artifact again and again, and compares memory and open file descriptors with those after the first
tenth. Megabytes are 10^6 bytes.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

TEXT = (
    "please remind me to call the bank about my card at noon what is the weather in naïve Zürich today and "
    "could you play 東京 jazz turn off all lights, wake me at 7:30 tomorrow, then book a table for two people"
)
WORDS = TEXT.split()


def rss() -> int:
    """Bytes of resident memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def descriptors() -> int:
    """Open files, sockets and the like."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (no Path keeps a descriptor open meanwhile)


def watched(step: Callable[[int], Any], count: int) -> dict[str, Any]:
    """Memory and descriptors after a tenth of the steps, and at the end."""
    warm: tuple[int, int] | None = None
    for number in range(count):
        step(number)
        if number + 1 == max(1, count // 10):
            gc.collect()
            warm = rss(), descriptors()
    gc.collect()
    assert warm is not None
    return {
        "count": count, "warm_mb": warm[0] / 1e6, "growth_mb": (rss() - warm[0]) / 1e6,
        "descriptors": descriptors() - warm[1],
    }  # fmt: skip


def serve(path: str, count: int) -> dict[str, Any]:
    """One model, many texts."""
    import edgebert

    draw = random.Random(0)
    with edgebert.load(path) as model:
        longest = model.artifact.manifest.max_length
        roles = model.task.roles

        def step(_: int) -> Any:
            text = " ".join(draw.choices(WORDS, k=draw.randint(1, longest)))
            return model.predict(dict.fromkeys(roles, text))

        return watched(step, count)


def cycle(path: str, count: int) -> dict[str, Any]:
    """Load, ask, close."""
    import edgebert

    def step(_: int) -> None:
        with edgebert.load(path) as model:
            model.predict(dict.fromkeys(model.task.roles, "wake me at seven"))

    return watched(step, count)


def main() -> None:
    """Print a Markdown table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifacts", nargs="+")
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--cycles", type=int, default=1_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", choices=["serve", "cycle"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        work, count = {"serve": (serve, arguments.texts), "cycle": (cycle, arguments.cycles)}[arguments.child]
        print(json.dumps(work(arguments.artifacts[0], count)))
        return
    found: dict[str, dict[str, Any]] = {}
    for path in arguments.artifacts:
        for kind in ("serve", "cycle"):
            command = [sys.executable, __file__, path, "--child", kind]
            command += ["--texts", str(arguments.texts), "--cycles", str(arguments.cycles)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found.setdefault(path, {})[kind] = json.loads(done.stdout.splitlines()[-1])
    if arguments.json:
        print(json.dumps(found))
        return
    print(f"| MB | warm | after {arguments.texts:,} texts | after {arguments.cycles:,} loads | descriptors |")
    print("|:--|--:|--:|--:|--:|")
    for path, kinds in found.items():
        serving, cycles = kinds["serve"], kinds["cycle"]
        grown = f"{serving['growth_mb']:+.1f} | {cycles['growth_mb']:+.1f} | {cycles['descriptors']:+d}"
        print(f"| {'/'.join(Path(path).parts[-2:])} | {serving['warm_mb']:.1f} | {grown} |")


if __name__ == "__main__":
    main()
