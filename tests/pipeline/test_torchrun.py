"""Two processes under torchrun come to what one does, go on after a kill, and fail with one voice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from small_recipe import ids, write_recipe

import edgebert.parallel
from edgebert.artifact import content_hash

OFTEN = Path(__file__).parents[1] / "support" / "saves_often.py"
LAUNCHER = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
EDGEBERT = [sys.executable, "-m", "edgebert"]

#: All that processes must agree on: copies, the teacher's answers on disk, texts without labels, several trainings.
DISTILL = {
    "epochs": 4, "layerwise_epochs": 1, "intermediate_epochs": 1, "copies": 2, "augment": {"typos": 0.1},
    "losses": {"logits": 1, "hidden": 1, "label": 0.5},
}  # fmt: skip


def together(recipe: Path, out: Path, *options: str, program: Sequence[str] = ("-m", "edgebert")) -> list[str]:
    """The command of two processes."""
    return [*LAUNCHER, *program, "run", str(recipe), "--out", str(out), *options]


def finish(command: Sequence[str], code: int = 0) -> tuple[str, str]:
    """What it says on stdout and stderr."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout, done.stderr


def ranks(launcher: subprocess.Popen[bytes]) -> dict[int, int]:
    """Rank -> process id of what a launcher has started."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            told = dict(entry.partition("=")[::2] for entry in (process / "environ").read_text().split("\0"))
        except (OSError, ValueError):  # it has just ended
            continue
        if parent == launcher.pid and "RANK" in told:
            found[int(told["RANK"])] = int(process.name)
    return found


def kill_in(out: Path, training: str, rank: int, command: Sequence[str]) -> str:
    """SIGKILL one process once a training has a checkpoint; what was said until the launcher ended all."""
    launcher = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not list(out.glob(f".edgebert/work/{training}/checkpoint-*/sealed.json")):
        assert launcher.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    processes = ranks(launcher)
    os.kill(processes[rank], signal.SIGKILL)
    _, told = launcher.communicate(timeout=60)
    assert launcher.returncode != 0
    assert not [process for process in processes.values() if Path(f"/proc/{process}").exists()]
    return told.decode()


def resumed_in(told: str, training: str) -> bool:
    """Whether a run says that it went on in the middle of a training."""
    steps = [line.split(" at step ")[1].split(" of ") for line in told.splitlines() if f"{training}: resuming" in line]
    return any(0 < int(step) < int(total) for step, total in steps)


def logits(student: Path, recipe: Path) -> np.ndarray:
    """Of the test split, float32 [texts, labels]."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(student)
    model = AutoModelForSequenceClassification.from_pretrained(student)
    texts = [json.loads(line)["text"] for line in recipe.with_name("test.jsonl").read_text("utf-8").splitlines()]
    with torch.inference_mode():
        found: np.ndarray = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits.numpy()
    return found


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipe")
    texts = [f"turn {what} in the {room} {how}" for what in ("heating", "light", "radio") for room in ("hall", "attic")
             for how in ("on", "off", "up", "down", "later")]  # fmt: skip
    (folder / "more.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
    more = {"unlabelled": {"path": "more.jsonl"}}
    return write_recipe(folder, ["onnx-int8"], distill=DISTILL, measure={"launches": 1}, data=more)


@pytest.fixture(scope="module")
def undisturbed(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The whole flow by two processes, to the report."""
    out = tmp_path_factory.mktemp("runs") / "undisturbed"
    stdout, told = finish([*LAUNCHER, "--no-python", *EDGEBERT, "run", str(recipe), "--out", str(out)])
    assert set(ids(out)) == {"teacher", "student", "onnx-int8"}
    assert stdout.count("verdict: ") == 1  # one process speaks
    for line in ("teacher …", "student …", "export onnx-int8 …", "measure local …"):
        assert told.splitlines().count(line) == 1
    yield out


@pytest.mark.slow
def test_two_processes_train_what_one_trains(recipe: Path, undisturbed: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    shutil.copytree(undisturbed / "teacher", alone / "teacher")
    (alone / ".edgebert" / "stages").mkdir(parents=True)
    shutil.copy(undisturbed / ".edgebert" / "stages" / "teacher.json", alone / ".edgebert" / "stages")
    _, told = finish([*EDGEBERT, "run", str(recipe), "--out", str(alone), "--until", "student"])
    assert "teacher: kept" in told  # keys say nothing of the number of processes
    one, two = logits(alone / "student", recipe), logits(undisturbed / "student", recipe)
    assert np.abs(one - two).max() < 1e-3 * one.std()


@pytest.mark.slow
def test_a_killed_process_costs_no_more_than_since_the_checkpoint(
    recipe: Path, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    command = together(recipe, out, "--until", "student", program=(str(OFTEN),))
    told = kill_in(out, "teacher-*", 1, command)
    assert told.count("error: ") <= 1 and "bug" not in told
    assert not (out / "teacher").exists()
    kill_in(out, "student-*/training/distil", 0, command)
    assert content_hash(out / "teacher") == content_hash(undisturbed / "teacher")
    by_one = tmp_path / "by-one"
    shutil.copytree(out, by_one)

    _, told = finish(command)
    assert resumed_in(told, "distil")
    assert content_hash(out / "student") == content_hash(undisturbed / "student")

    _, told = finish([*EDGEBERT, "run", str(recipe), "--out", str(by_one), "--until", "student"])
    assert resumed_in(told, "distil")
    found, expected = logits(by_one / "student", recipe), logits(undisturbed / "student", recipe)
    assert np.abs(found - expected).max() < 1e-3 * expected.std()


@pytest.mark.slow
def test_an_error_ends_all_with_one_message(recipe: Path, tmp_path: Path) -> None:
    content = json.loads(recipe.read_text("utf-8"))
    broken = tmp_path / "broken.yaml"
    for split in content["data"].values():
        split["path"] = str(recipe.with_name(split["path"]))
    (tmp_path / "test.jsonl").write_text('{"text": "sing", "intent": "no_such_label"}\n', "utf-8")
    content["data"]["test"]["path"] = str(tmp_path / "test.jsonl")
    broken.write_text(json.dumps(content), "utf-8")
    began = time.monotonic()
    stdout, told = finish(together(broken, tmp_path / "out"), code=1)
    assert time.monotonic() - began < 60
    assert told.count("error: ") == 1 and "no_such_label" in told
    assert told.count("  fix: ") == 1
    assert stdout == ""


def test_one_process_is_nothing_of_this(monkeypatch: pytest.MonkeyPatch) -> None:
    parallel = edgebert.parallel
    assert (parallel.rank(), parallel.world()) == (0, 1)
    told = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    parallel.join()
    assert not told.keys() & os.environ.keys()  # accelerate would look for a group
    assert parallel.first(lambda: [1]) == [1]
    assert parallel.in_turn(lambda: 2) == 2
    assert parallel.speaks()
    parallel.leave()


def test_only_rank_0_obeys_other_commands() -> None:
    told = {"WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    for rank, lines in (("0", True), ("1", False)):
        done = subprocess.run([*EDGEBERT, "schema", "recipe"], env={**os.environ, **told, "RANK": rank},
                              capture_output=True, text=True, timeout=60)  # fmt: skip
        assert (done.returncode, bool(done.stdout), done.stderr) == (0, lines, "")


def test_the_command_line_loads_no_torch_for_it() -> None:
    code = "import sys, edgebert.cli, edgebert.parallel; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"
