"""The Android app's JVM core, compiled and asked by JSON lines (`Driver.java`)."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

CORE = Path(__file__).parents[2] / "devices/android/app/core"

#: Runs a model: inputs by name, int64 [1, length], to outputs by name.
Run = Callable[[dict[str, NDArray[np.int64]]], Mapping[str, NDArray[np.float32]]]


def need_javac() -> None:
    """Skips the test where there is no JDK of 17 or later."""
    found = (
        subprocess.run(["javac", "-version"], capture_output=True, text=True).stdout if shutil.which("javac") else ""
    )
    version = re.search(r"javac (\d+)", found)
    if version is None or int(version[1]) < 17:
        pytest.skip("no javac of 17 or later: apt-get install openjdk-17-jdk-headless")


def compile_core(target: Path, *more: Path) -> Path:
    """Compile core and its driver (and more sources) into `target`, resources included; warnings are errors."""
    sources = [*CORE.rglob("src/main/java/**/*.java"), *CORE.rglob("src/test/java/**/*.java"), *more]
    command = ["javac", "--release", "17", "-Xlint:all", "-Werror", "-d", str(target), *map(str, sorted(sources))]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    resources = CORE / "src/main/resources"
    for path in resources.rglob("*.txt"):
        copy = target / path.relative_to(resources)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    return target


class Jvm:
    """One JVM for many questions."""

    def __init__(self, classes: Path) -> None:
        command = ["java", "-XX:TieredStopAtLevel=1", "-Xmx512m", "-Dfile.encoding=UTF-8", "-cp", str(classes)]
        self._process = subprocess.Popen(
            [*command, "edgebert.core.Driver"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def ask(self, verb: str, run: Run | None = None, **facts: Any) -> dict[str, Any]:
        """The answer to one question; `run` serves the model runs that it takes."""
        self._send({"ask": verb, **facts})
        for line in self._lines():
            if "run" not in line:
                return line
            self._serve(line, run)
        raise AssertionError("no answer")

    def work(self, job: str, run: Run) -> tuple[list[str], int]:
        """The lines that the worker writes for a job, and its exit code."""
        self._send({"ask": "work", "job": job})
        written = []
        for line in self._lines():
            if "run" in line:
                self._serve(line, run)
            elif "line" in line:
                written.append(line["line"])
            else:
                return written, line["exit"]
        raise AssertionError("no exit code")

    def _serve(self, asked: Mapping[str, Any], run: Run | None) -> None:
        assert run is not None
        inputs = {name: np.array([values], dtype=np.int64) for name, values in asked["run"].items()}
        assert all(array.shape == (1, asked["length"]) for array in inputs.values())
        self._send({name: array.ravel().tolist() for name, array in run(inputs).items()})

    def _send(self, question: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()

    def _lines(self) -> Iterator[dict[str, Any]]:
        assert self._process.stdout is not None
        while line := self._process.stdout.readline():
            yield json.loads(line)
        raise AssertionError(f"the JVM ended with {self._process.wait(10)}")

    def close(self) -> None:
        """End the JVM."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def __enter__(self) -> Jvm:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
