"""What every runtime promises (`edgebert.protocols.Runtime`), as checks that need numpy and edgebert alone.

The tests run them over our engines and over the one of `docs/new-runtime.md`; as a script they run in any environment:

    python runtime_contract.py ARTIFACT
"""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebert import artifact as artifacts
from edgebert import golden, registry, tasks
from edgebert.artifact import Artifact
from edgebert.errors import EdgebertError
from edgebert.model import Model
from edgebert.protocols import Loader, Runtime
from edgebert.tasks import Encoded
from edgebert.tensors import tensors
from edgebert.tokenization import load_tokenizer

TEXTS = ["a", "rain", "please music now", "i want the song today", "could you do the lamp thing for me, quickly!"]
TEXTS.append("the bulb now " * 8)

Outputs = list[dict[str, NDArray[np.float32]]]


def loader_of(artifact: Artifact) -> Loader:
    """What is registered for the artifact's format."""
    found: Loader = registry.find("runtimes", artifact.manifest.format)
    return found


def question(roles: tuple[str, ...], text: str) -> dict[str, str]:
    """A record of a task's roles."""
    return {"question": "rain", "context": text} if "question" in roles else dict.fromkeys(roles, text)


def encoded(artifact: Artifact) -> list[Encoded]:
    """Windows of several lengths, from two tokens to the longest bucket."""
    manifest = artifact.manifest
    task = tasks.get(manifest.task, manifest.task_settings)
    tokenizer = load_tokenizer(artifact.path, None if task.windowed else manifest.max_length)
    records = [question(task.roles, text) for text in TEXTS]
    return [window for record in records for window in task.encode(tokenizer, record, manifest.max_length)]


def ask(artifact: Artifact, runtime: Runtime, items: list[Encoded]) -> Outputs:
    """The runtime's outputs for each window."""
    manifest = artifact.manifest
    return golden.run(items, runtime, manifest.inputs, manifest.lengths, manifest.outputs)


def inputs_of(artifact: Artifact, item: Encoded, length: int | None = None) -> dict[str, NDArray[np.int64]]:
    """One window as the runtime's inputs, padded as the manifest says or to `length`."""
    names = [spec.name for spec in artifact.manifest.inputs]
    return tensors(item, names, artifact.manifest.lengths if length is None else [length])


def refused(call: Callable[[], object], *words: str) -> None:
    """The call is refused in our own words."""
    try:
        call()
    except EdgebertError as error:
        assert all(word in str(error) for word in words), str(error)
        assert error.hint
    else:
        raise AssertionError(f"not refused: {words}")


def largest_difference(found: Outputs, expected: Outputs) -> float:
    """Over all windows and outputs, shapes and dtypes being equal."""
    worst = 0.0
    for here, there in zip(found, expected, strict=True):
        assert set(here) == set(there)
        for name, array in there.items():
            assert here[name].dtype == np.float32 and here[name].shape == array.shape
            worst = max(worst, float(np.abs(here[name] - array).max()))
    return worst


def outputs_are_the_manifests(artifact: Artifact, runtime: Runtime) -> None:
    """Names, dtypes and finite numbers; engine and settings are told."""
    for item in encoded(artifact):
        found = runtime.run(inputs_of(artifact, item))
        assert list(found) == [spec.name for spec in artifact.manifest.outputs]
        for array in found.values():
            assert array.dtype == np.float32 and array.shape[0] == 1 and np.isfinite(array).all()
    assert runtime.engine.split()[-1][0].isdigit() and runtime.settings["threads"] == 1


def answers_do_not_depend_on_what_came_before(artifact: Artifact, runtime: Runtime) -> None:
    """Forwards and backwards."""
    items = encoded(artifact)
    forward = ask(artifact, runtime, items)
    assert largest_difference(ask(artifact, runtime, items[::-1])[::-1], forward) == 0


def outputs_stay_valid_after_the_next_run(artifact: Artifact, runtime: Runtime) -> None:
    """They are the caller's."""
    first, other = encoded(artifact)[2:4]
    kept = runtime.run(inputs_of(artifact, first))
    before = {name: array.copy() for name, array in kept.items()}
    runtime.run(inputs_of(artifact, other))
    for name, array in before.items():
        np.testing.assert_array_equal(kept[name], array)


def inputs_are_left_as_they_were(artifact: Artifact, runtime: Runtime) -> None:
    """Masks are shared among calls."""
    given = inputs_of(artifact, encoded(artifact)[2])
    before = {name: array.copy() for name, array in given.items()}
    runtime.run(given)
    for name, array in before.items():
        np.testing.assert_array_equal(given[name], array)


def a_missing_input_is_named_and_others_are_ignored(artifact: Artifact, runtime: Runtime) -> None:
    """By the names of the manifest."""
    inputs = dict(inputs_of(artifact, encoded(artifact)[0]))
    expected = runtime.run(inputs)
    for name, array in runtime.run(inputs | {"surplus": np.zeros((1, 8), np.int64)}).items():
        np.testing.assert_array_equal(array, expected[name])
    for missing in [spec.name for spec in artifact.manifest.inputs]:
        refused(lambda: runtime.run({n: a for n, a in inputs.items() if n != missing}), missing)  # noqa: B023


def many_threads_get_the_serial_answers(artifact: Artifact, runtime: Runtime) -> None:
    """Eight at once, each through all lengths in another order."""
    threads_agree(artifact, runtime, threads=8, each=12)


def threads_agree(artifact: Artifact, runtime: Runtime, *, threads: int, each: int) -> None:
    """`threads` threads that begin together make `each` runs; every output is the serial one."""
    items = encoded(artifact)
    serial = ask(artifact, runtime, items)
    together = threading.Barrier(threads)

    def work(number: int) -> float:
        together.wait()
        worst = 0.0
        for step in range(each):
            index = (number + step) % len(items)
            worst = max(worst, largest_difference(ask(artifact, runtime, [items[index]]), [serial[index]]))
        return worst

    with ThreadPoolExecutor(threads) as pool:
        assert max(pool.map(work, range(threads))) == 0


def two_engine_threads_answer_as_one(artifact: Artifact, runtime: Runtime) -> None:
    """Within the golden tolerance, sparing power or not; idle threads rest."""
    items = encoded(artifact)
    allowed = artifact.golden()["tolerance"]
    for low_power in (False, True):
        second = loader_of(artifact)(artifact, 2, low_power=low_power)
        assert largest_difference(ask(artifact, second, items), ask(artifact, runtime, items)) <= allowed
        assert second.settings["threads"] == 2 and second.settings["low_power"] is low_power
        second.close()


def idle_threads_do_not_spin(artifact: Artifact, runtime: Runtime) -> None:
    """With low power: half a second after a run has cost hardly any processor time."""
    second = loader_of(artifact)(artifact, 2, low_power=True)
    ask(artifact, second, encoded(artifact))
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.1
    second.close()


def closing_twice_is_fine_and_a_run_after_it_is_refused(artifact: Artifact, runtime: Runtime) -> None:
    """In our own words, not the engine's."""
    item = encoded(artifact)[1]
    second = loader_of(artifact)(artifact, 1)
    second.run(inputs_of(artifact, item))
    second.close()
    second.close()
    refused(lambda: second.run(inputs_of(artifact, item)), "closed")


def closing_waits_for_the_runs_under_way(artifact: Artifact, runtime: Runtime) -> None:
    """Other threads' runs end well, or are told that the model is closed."""
    item = encoded(artifact)[-1]
    second = loader_of(artifact)(artifact, 1)
    expected = ask(artifact, second, [item])
    started = threading.Event()

    def work() -> int:
        for count in itertools.count():
            try:
                found = ask(artifact, second, [item])
            except EdgebertError as error:
                assert "closed" in str(error)
                return count
            assert largest_difference(found, expected) == 0
            started.set()
        return 0

    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(work) for _ in range(3)]
        started.wait()
        second.close()
        assert sum(future.result(timeout=60) for future in running) > 0


def golden_answers_hold_and_wrong_ones_are_found(artifact: Artifact, runtime: Runtime) -> None:
    """Everything twice the tolerance off is another engine's answer."""
    found = golden.check(artifact, runtime)
    assert found.ok, found

    class Wrong:
        engine, settings = "wrong", runtime.settings

        def run(self, inputs: dict[str, NDArray[np.int64]]) -> dict[str, NDArray[np.float32]]:
            return {name: array + 2 * found.tolerance for name, array in runtime.run(inputs).items()}

        def close(self) -> None: ...

    wrong = golden.check(artifact, Wrong())
    assert not wrong.ok and "expected" in wrong.details and "is allowed" in wrong.details


def a_model_pads_to_the_next_length_and_no_further(artifact: Artifact, runtime: Runtime) -> None:
    """Nothing at all where the engine takes any length."""
    lengths: list[tuple[int, ...]] = []

    class Watched:
        engine, settings = runtime.engine, runtime.settings

        def run(self, inputs: dict[str, NDArray[np.int64]]) -> dict[str, NDArray[np.float32]]:
            lengths.append(next(iter(inputs.values())).shape)
            return runtime.run(inputs)

        def close(self) -> None: ...

    model, buckets = Model(artifact, Watched()), artifact.manifest.lengths
    for text in TEXTS:
        record = question(model.task.roles, text)
        wanted = [len(window.input_ids) for window in model.encode(record)]
        wanted = [next((b for b in buckets if b >= used), used) for used in wanted]
        lengths.clear()
        model.predict_record(record)
        assert lengths == [(1, length) for length in wanted]


def lists_and_streams_are_answered_in_order(artifact: Artifact, runtime: Runtime) -> None:
    """A list at once; an iterator one by one, when its answer is asked for."""
    model = Model(artifact, runtime)
    questions = [question(model.task.roles, text) for text in TEXTS]
    serial = [model.predict(one).to_json() for one in questions]
    assert [answer.to_json() for answer in model.predict(questions)] == serial
    read: list[int] = []

    def endless() -> Iterator[Any]:
        for number in itertools.count():
            read.append(number)
            yield questions[number % len(questions)]

    for number, answer in enumerate(itertools.islice(model.predict(endless()), 2 * len(serial))):
        assert answer.to_json() == serial[number % len(serial)] and read[-1] == number


Promise = Callable[[Artifact, Runtime], None]

PROMISES: tuple[Promise, ...] = (
    outputs_are_the_manifests,
    answers_do_not_depend_on_what_came_before,
    outputs_stay_valid_after_the_next_run,
    inputs_are_left_as_they_were,
    a_missing_input_is_named_and_others_are_ignored,
    many_threads_get_the_serial_answers,
    golden_answers_hold_and_wrong_ones_are_found,
    a_model_pads_to_the_next_length_and_no_further,
    lists_and_streams_are_answered_in_order,
)

#: What does not depend on the task, and loads the artifact once more.
LOADING_PROMISES: tuple[Promise, ...] = (
    two_engine_threads_answer_as_one,
    closing_twice_is_fine_and_a_run_after_it_is_refused,
    idle_threads_do_not_spin,
    closing_waits_for_the_runs_under_way,
)


def main(path: str, *but: str) -> None:
    """Every promise for one artifact, but for those named; prints each that holds."""
    artifact = artifacts.load(Path(path))
    runtime = loader_of(artifact)(artifact, 1)
    print(runtime.engine)
    for promise in (*PROMISES, *LOADING_PROMISES):
        if promise.__name__ not in but:
            promise(artifact, runtime)
            print(promise.__name__, flush=True)
    runtime.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
