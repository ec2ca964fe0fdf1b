"""What `predict` adds to the engine's own run: `python benchmarks/overhead.py ARTIFACT... [--rounds 3000]`.

Artifacts are those of `benchmarks/runtime_models.py` (`build/runtime/small/*`, `build/runtime/clinc150/*`), or other
text classifiers. One text of 16 tokens goes through each of them in a process of its own. "engine" is the engine's
own call, as one would write it by hand with arrays that are ready; it and every stage of `predict` take turns within
each round, so that a slow minute of the machine falls on all alike. Microseconds, medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

TOKENS = 16
WORDS = "please remind me to call the bank about my card at noon today if you can do that for me now"


def engine_call(model: Any, inputs: dict[str, Any]) -> Callable[[], Any]:
    """The engine's own run of these inputs, without anything of ours."""
    runtime: Any = model.runtime
    kind = model.artifact.manifest.format
    if kind == "onnx":
        session, names = runtime._session, runtime._outputs
        return lambda: session.run(names, inputs)
    if kind == "openvino":
        request, _ = runtime._bound[next(iter(inputs.values())).shape[1]]
        return lambda: request.infer(share_outputs=True)
    if kind == "tflite":
        runner = runtime._runners[next(iter(inputs.values())).shape[1]]
        feed = {name: inputs[name].astype(dtype) for name, dtype in runtime._inputs}
        return lambda: runner(**feed)
    if kind == "torch":
        torch, network = runtime._torch, runtime._model
        given = {name: torch.from_numpy(inputs[name]) for name in runtime._inputs}

        def run() -> Any:
            with torch.inference_mode():
                return network(**given)

        return run
    raise SystemExit(f"no engine call is known for {kind}")


def text_of(model: Any) -> str:
    """The longest beginning of `WORDS` that is at most 16 tokens."""
    words = WORDS.split()
    texts = [" ".join(words[:count]) for count in range(1, len(words) + 1)]
    return max((t for t in texts if len(model.encode({"text": t})[0].input_ids) <= TOKENS), key=len)


def stages(model: Any) -> dict[str, Callable[[], Any]]:
    """Every stage on its own, then the whole."""
    from edgebert.tensors import tensors

    text = text_of(model)
    record = model._record(text, "the text")
    windows = model.encode(record)
    inputs = tensors(windows[0], model._inputs, model._lengths)
    model.run(windows[0])
    outputs = [model.run(windows[0])]
    return {
        "engine": engine_call(model, inputs),
        "check the text": lambda: model._record(text, "the text"),
        "tokenize": lambda: model.encode(record),
        "tensors": lambda: tensors(windows[0], model._inputs, model._lengths),
        "engine, through our runtime": lambda: model.runtime.run(inputs),
        "decode": lambda: model.task.decode(record, windows, outputs, model.labels),
        "predict": lambda: model.predict(text),
    }


def measure(path: str, rounds: int) -> dict[str, float]:
    """Stage -> median microseconds."""
    import edgebert

    with edgebert.load(path) as model:
        calls = stages(model)
        for call in calls.values():
            for _ in range(200):
                call()
        samples: dict[str, list[int]] = {name: [] for name in calls}
        names = list(calls)
        order = np.random.default_rng(0)
        for _ in range(rounds):
            for index in order.permutation(len(names)):
                call = calls[names[index]]
                start = time.perf_counter_ns()
                call()
                samples[names[index]].append(time.perf_counter_ns() - start)
    return {name: statistics.median(values) / 1000 for name, values in samples.items()}


def main() -> None:
    """Print a Markdown table; with --child one artifact's figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifacts", nargs="+")
    parser.add_argument("--rounds", type=int, default=3000)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(measure(arguments.artifacts[0], arguments.rounds)))
        return
    found = {}
    for path in arguments.artifacts:
        command = [sys.executable, __file__, path, "--rounds", str(arguments.rounds), "--child"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found["/".join(Path(path).parts[-2:])] = json.loads(done.stdout.splitlines()[-1])
    print(f"| µs, median of {arguments.rounds} | {' | '.join(found)} |\n|:--|{'--:|' * len(found)}")
    for stage in next(iter(found.values())):
        print(f"| {stage} | {' | '.join(f'{figures[stage]:.1f}' for figures in found.values())} |")
    added = {path: figures["predict"] - figures["engine"] for path, figures in found.items()}
    print(f"| **predict adds** | {' | '.join(f'**{value:.1f}**' for value in added.values())} |")
    shares = [f"{100 * added[path] / figures['engine']:.1f} %" for path, figures in found.items()]
    print(f"| of the engine's time | {' | '.join(shares)} |")


if __name__ == "__main__":
    main()
