"""What is kept, what is made again, and who may write."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edgebert.errors import UsageError
from edgebert.progress import SILENT
from edgebert.stages import Key, Store, digest, digest_of, write_json

KEY = Key('{"epochs": 4}', {"data": "00"}, {"torch": "2.13.0"})


class Counter:
    def __init__(self, path: Path, text: str = "result") -> None:
        self.path, self.text, self.calls = path, text, 0

    def __call__(self) -> None:
        self.calls += 1
        self.path.write_text(self.text)


@pytest.mark.parametrize("values", [[], [{"text": "ü", "b": 1}], [{"a": None}, [1.5, "x"], "y"]])
def test_values_one_by_one_have_the_digest_of_their_list(values: list[object]) -> None:
    assert digest_of(iter(values)) == digest(values)


def test_a_stage_runs_once(tmp_path: Path) -> None:
    with Store(tmp_path / "run", SILENT) as store:
        make = Counter(store.out / "student")
        for _ in range(3):
            store.stage("student", KEY, [make.path], make)
        assert make.calls == 1


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": '{"epochs": 5}'},
        {"inputs": {"data": "01"}},
        {"tools": {"torch": "2.13.1"}},
        {"version": 2},
    ],
)
def test_whatever_decides_a_result_is_in_its_key(tmp_path: Path, change: dict[str, object]) -> None:
    with Store(tmp_path / "run", SILENT) as store:
        make = Counter(store.out / "student")
        store.stage("student", KEY, [make.path], make)
        store.stage("student", replace(KEY, **change), [make.path], make)  # type: ignore[arg-type]
        assert make.calls == 2


def test_a_damaged_or_missing_result_is_made_again(tmp_path: Path) -> None:
    with Store(tmp_path / "run", SILENT) as store:
        make = Counter(store.out / "student")
        store.stage("student", KEY, [make.path], make)
        make.path.write_text("resulT")
        store.stage("student", KEY, [make.path], make)
        make.path.unlink()
        store.stage("student", KEY, [make.path], make)
        assert make.calls == 3 and make.path.read_text() == "result"


def test_a_stage_that_fails_is_not_done(tmp_path: Path) -> None:
    with Store(tmp_path / "run", SILENT) as store:
        make = Counter(store.out / "student")
        store.stage("student", KEY, [make.path], make)

        def fail() -> None:
            raise RuntimeError

        with pytest.raises(RuntimeError):
            store.stage("student", replace(KEY, version=2), [make.path], fail)
        assert not store.is_done("student", KEY, [make.path])


def test_two_runs_on_one_folder(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from edgebert.stages import Store; from edgebert.progress import SILENT\n"
        "Store(Path(sys.argv[1]), SILENT).__enter__()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    with Store(tmp_path / "run", SILENT):
        second = subprocess.run(command, capture_output=True, text=True)
        assert second.returncode == 1 and "another run is using" in second.stderr
    assert subprocess.run(command, capture_output=True).returncode == 0


def test_a_folder_of_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="holds no run of edgebert"), Store(tmp_path, SILENT):
        pass
    with pytest.raises(UsageError, match="is a file"), Store(tmp_path / "thesis.tex", SILENT):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_write_json_replaces_whole_files(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": object()})
    assert (tmp_path / "a.json").read_text() == '{\n "a": 1\n}'
