"""What is read of the machine, kept of it, and measured once on it."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgebert import cache, cpu, registry, threads
from edgebert.artifact import Artifact
from edgebert.model import Model


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def write(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def cores(root: Path, values: Mapping[int, int], name: str) -> Path:
    return write(root, {f"sys/devices/system/cpu/cpu{core}/{name}": f"{value}\n" for core, value in values.items()})


class TestCpu:
    def test_little_cores_are_told_from_big_ones(self, tmp_path: Path) -> None:
        cores(tmp_path, {0: 446, 1: 446, 2: 1024, 3: 1024, 4: 446}, "cpu_capacity")
        assert cpu.big([0, 1, 2, 3, 4], tmp_path) == [2, 3]
        assert cpu.big([0, 4], tmp_path) == [0, 4], "a cpuset of little ones: they are the best there"

    def test_frequencies_tell_where_capacities_do_not(self, tmp_path: Path) -> None:
        cores(tmp_path, {0: 1_800_000, 1: 1_800_000, 2: 2_400_000, 3: 2_350_000}, "cpufreq/cpuinfo_max_freq")
        assert cpu.big([0, 1, 2, 3], tmp_path) == [2, 3]
        assert cpu.big([0, 1, 2, 3], tmp_path / "nothing") == [0, 1, 2, 3]

    def test_the_narrowest_control_group_limits(self, tmp_path: Path) -> None:
        write(tmp_path, {
            "proc/self/cgroup": "12:cpu:/ignored\n0::/pod/app\n", "sys/fs/cgroup/pod/app/cpu.max": "max 100000\n",
            "sys/fs/cgroup/pod/cpu.max": "150000 100000\n",
        })  # fmt: skip
        assert cpu.quota(tmp_path) == 1.5
        assert cpu.most_threads(tmp_path) == 1

    def test_a_container_sees_its_own_group_as_the_topmost(self, tmp_path: Path) -> None:
        write(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"})
        assert cpu.quota(tmp_path) == 0.5 and cpu.most_threads(tmp_path) == 1

    @pytest.mark.parametrize("shown", ["/docker/a1", "/"], ids=["a path of the host", "a path of its own"])
    def test_version_1_in_a_container(self, tmp_path: Path, shown: str) -> None:
        write(tmp_path, {
            "proc/self/cgroup": f"5:memory:/docker/a1\n4:cpu,cpuacct:{shown}\n3:cpuset:/docker/a1\n0::/docker/a1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "250000\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        })  # fmt: skip
        assert cpu.quota(tmp_path) == 2.5

    def test_version_1_narrowest_group_and_none(self, tmp_path: Path) -> None:
        def group(path: str, quota: int) -> dict[str, str]:
            folder = f"sys/fs/cgroup/cpu/{path}"
            return {f"{folder}cpu.cfs_quota_us": f"{quota}\n", f"{folder}cpu.cfs_period_us": "50000\n"}

        write(tmp_path, {"proc/self/cgroup": "4:cpuacct,cpu:/pod/app\n"} | group("", -1) | group("pod/app/", -1))
        assert cpu.quota(tmp_path) is None
        write(tmp_path, group("pod/", 75_000))
        assert cpu.quota(tmp_path) == 1.5
        write(tmp_path, group("pod/app/", 25_000))
        assert cpu.quota(tmp_path) == 0.5

    def test_a_strange_file_does_not_limit(self, tmp_path: Path) -> None:
        write(tmp_path, {"proc/self/cgroup": "0::/../..\n7:cpu\n\n", "sys/fs/cgroup/cpu.max": "few many\n"})
        assert cpu.quota(tmp_path) is None

    def test_nothing_said_is_no_limit(self, tmp_path: Path) -> None:
        assert cpu.quota(tmp_path) is None
        assert cpu.most_threads(tmp_path) == len(os.sched_getaffinity(0))

    def test_identity_is_of_the_first_core(self, tmp_path: Path) -> None:
        write(tmp_path, {"proc/cpuinfo": "model name\t: A\nflags\t: avx2\ncpu MHz\t: 1\n\nmodel name\t: B\n"})
        found = cpu.identity(tmp_path)
        assert found.pop("machine") and found == {"model name": "A", "flags": "avx2"}
        assert "flags" in cpu.identity() or "Features" in cpu.identity()

    @pytest.mark.parametrize(
        ("flags", "strongest"),
        [
            ("flags\t: ssse3 avx2 avx512bw avx512_vnni amx_int8", "amx_int8"),
            ("flags\t: ssse3 avx2 avx512bw avx512_vnni", "avx512_vnni"),
            ("flags\t: ssse3 avx2 avx_vnni", "avx_vnni"),
            ("flags\t: ssse3 avx2", "avx2"),
            ("Features\t: fp asimd asimddp", "asimddp"),
            ("Features\t: fp asimd", "asimd"),
        ],
    )
    def test_instructions_are_the_strongest_there(self, flags: str, strongest: str, tmp_path: Path) -> None:
        assert cpu.instructions(write(tmp_path, {"proc/cpuinfo": f"{flags}\n"})).split()[1] == strongest

    @pytest.mark.parametrize(
        ("flags", "expected"),
        [(flags, False) for flags in ("amx_int8", "avx512_vnni", "avx_vnni")]
        + [(flags, True) for flags in ("avx512bw", "avx2", "")],
    )
    def test_x86_saturates_without_vnni_or_where_nothing_is_known(
        self, flags: str, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = write(tmp_path, {"proc/cpuinfo": f"flags\t: {flags}\n"})
        for machine, found in (("x86_64", expected), ("aarch64", False)):
            monkeypatch.setattr(cpu.platform, "machine", lambda machine=machine: machine)
            assert cpu.saturates(folder) is found

    def test_under_an_emulator_the_processor_itself_is_asked(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        root = write(tmp_path, {"proc/self/comm": "qemu-x86_64\n", "proc/cpuinfo": "flags\t: avx2 avx512_vnni\n"})
        assert cpu.identity(root)["emulator"] == "qemu-x86_64"
        assert set(cpu._numpy_features()) >= {"AVX2", "AVX512VNNI", "ASIMDDP"}  # numpy's table, under its own names
        monkeypatch.setattr(cpu, "_numpy_features", lambda: {"SSSE3": True, "AVX2": True, "AVX512VNNI": False})
        assert cpu.identity(root)["instructions"].split()[1] == "avx2"

    def test_threads_started_inside_stay_on_the_big_cores(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before = cpu.usable()
        monkeypatch.setattr(cpu, "big", lambda cores, root=cpu.ROOT: cores[:1])
        found: list[list[int]] = []
        with cpu.on_big_cores():
            inside = threading.Thread(target=lambda: found.append(cpu.usable()))
            inside.start()
            inside.join()
        assert found == [before[:1]] and cpu.usable() == before


class TestCache:
    def test_what_was_remembered_is_recalled_under_its_own_key_alone(self, empty_cache: Path) -> None:
        cache.remember("kind", {"a": (1, 2)}, [3])
        assert cache.recall("kind", {"a": (1, 2)}) == [3]
        assert cache.recall("kind", {"a": (1, 3)}) is None and cache.recall("other", {"a": (1, 2)}) is None

    def test_a_damaged_or_foreign_file_counts_as_absent(self, empty_cache: Path) -> None:
        cache.remember("kind", {"a": 1}, True)
        (path,) = (empty_cache / "kind").iterdir()
        for text in ("", "{", "[]", '{"value": true}', json.dumps({"key": {"a": 2}, "value": True})):
            path.write_text(text)
            assert cache.recall("kind", {"a": 1}) is None

    def test_a_folder_that_cannot_be_written_is_no_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "file").write_text("in the way")
        monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "file"))
        cache.remember("kind", {}, 1)
        assert cache.recall("kind", {}) is None

    def test_where_it_lies(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(cache.VARIABLE)
        monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
        assert cache.folder() == Path("/somewhere/edgebert")
        monkeypatch.setenv("XDG_CACHE_HOME", "relative")
        assert cache.folder() == Path("~/.cache/edgebert").expanduser()


class Counting:
    """The real loader, which notes with how many threads it was called, and says it is of some version."""

    def __init__(self, version: str = "1.0", delay: Mapping[int, float] | None = None) -> None:
        self.loaded: list[int] = []
        self.version, self.delay = version, delay or {}

    def __call__(self, artifact: Artifact, count: int, *, low_power: bool = False) -> Any:
        self.loaded.append(count)
        runtime = registry.find("runtimes", artifact.manifest.format)(artifact, count, low_power=low_power)
        outer = self

        class Slowed:
            engine, settings = f"engine {outer.version}", runtime.settings

            def run(self, inputs: dict[str, NDArray[np.int64]]) -> dict[str, NDArray[np.float32]]:
                if count in outer.delay:  # timed alone: the engine's own time is noise
                    time.sleep(outer.delay[count])
                    return {}
                found: dict[str, NDArray[np.float32]] = runtime.run(inputs)
                return found

            def close(self) -> None:
                runtime.close()

        return Slowed()


class TestThreads:
    @pytest.fixture(autouse=True)
    def four_cores(self, monkeypatch: pytest.MonkeyPatch, empty_cache: Path) -> None:
        monkeypatch.setattr(cpu, "most_threads", lambda: 4)
        monkeypatch.setattr(threads, "SECONDS", 0.02)

    @pytest.mark.parametrize(
        ("times", "best"),
        [
            ({1: 1.0}, 1), ({1: 1.0, 2: 0.95}, 1), ({1: 1.0, 2: 0.6, 4: 0.55}, 2), ({1: 1.0, 2: 0.6, 4: 0.4}, 4),
            ({1: 1.0, 2: 1.5, 4: 0.8}, 4), ({1: 1.0, 2: 2.0, 4: 9.0}, 1),
        ],
    )  # fmt: skip
    def test_more_threads_must_be_worth_it(self, times: dict[int, float], best: int) -> None:
        assert threads.choose(times) == best

    def test_measured_once_and_remembered(self, tiny_artifact: Artifact, empty_cache: Path) -> None:
        loader = Counting(delay={1: 0.03, 2: 0.003, 4: 0.04})
        runtime = threads.load(tiny_artifact, loader, low_power=False)
        assert loader.loaded == [1, 2, 4, 2] and runtime.settings["threads"] == 2
        again = threads.load(tiny_artifact, loader, low_power=False)
        assert loader.loaded[4:] == [2] and again.settings["threads"] == 2
        (kept,) = (empty_cache / threads.KIND).iterdir()
        assert set(json.loads(kept.read_text())["value"]["milliseconds"]) == {"1", "2", "4"}

    def test_another_engine_version_is_measured_anew(self, tiny_artifact: Artifact) -> None:
        threads.load(tiny_artifact, Counting("1.0", {1: 0.03, 2: 0.003, 4: 0.04}), low_power=False)
        loader = Counting("2.0", {1: 0.003, 2: 0.03, 4: 0.03})
        runtime = threads.load(tiny_artifact, loader, low_power=False)
        assert loader.loaded[-4:] == [1, 2, 4, 1] and runtime.settings["threads"] == 1

    def test_one_core_needs_no_measuring(self, tiny_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cpu, "most_threads", lambda: 1)
        loader = Counting()
        assert threads.load(tiny_artifact, loader, low_power=True).settings["low_power"] is True
        assert loader.loaded == [1]

    def test_lengths_are_the_artifacts_own(self, tiny_artifact: Artifact) -> None:
        assert threads.lengths(tiny_artifact) == [16, 32]

    def test_auto_within_a_cpuset(self, tiny_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
        """One core alone may be used, as in a container: everything loads and answers."""
        before = os.sched_getaffinity(0)
        monkeypatch.undo()
        os.sched_setaffinity(0, {min(before)})
        try:
            with Model.load(tiny_artifact.path, threads="auto") as model:
                assert model.runtime.settings["threads"] == 1 and model.predict("the light").label
            with Model.load(tiny_artifact.path, threads=4) as model:
                assert model.predict("the light").label
        finally:
            os.sched_setaffinity(0, before)
