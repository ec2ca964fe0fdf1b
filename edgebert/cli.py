"""The command line: one function a verb. Results go to stdout, progress and errors to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from edgebert import __version__, cli_answers, cli_output, parallel
from edgebert.cli_output import Group, Verb
from edgebert.errors import UsageError

FOLDER = click.Path(path_type=Path)
Options = Callable[[Callable[..., Any]], Callable[..., Any]]

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON value, for programs.")
on_device = click.option(
    "--device", default="local", show_default=True, help="local, local:PYTHON, ssh:HOST or android:SERIAL."
)


def columns(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say where texts and labels stand in a data file."""
    where = "Column or key of another role, ROLE=NAME (text_pair=second); may be repeated."
    command = click.option("--column", "named", multiple=True, metavar="ROLE=NAME", help=where)(command)
    command = click.option("--label", default="label", show_default=True, help="Column of the label.")(command)
    return click.option("--text", default="text", show_default=True, help="Column of the text.")(command)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="edgebert")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """A fine-tuned BERT in, INT8 artifacts out, each proven on the device it is for."""
    if click.get_current_context().invoked_subcommand not in ("run", "demo"):
        parallel.leave()  # only trainings are divided among processes


@main.command(cls=Verb, example="edgebert demo --out build/demo")
@click.option("--out", type=FOLDER, help="Folder for everything that comes out.  [default: build/intents]")
@as_json
def demo(out: Path | None, as_json: bool) -> None:
    """Run the whole flow on the example that ships with edgebert: about six minutes on two cores."""
    from importlib.resources import as_file, files

    with as_file(files("edgebert.examples") / "intents") as folder:
        cli_output.run(folder / "recipe.yaml", out or Path("build/intents"), as_json=as_json)


@main.command(cls=Verb, example="edgebert init text-classification -o intents.yaml")
@click.argument("task")
@click.option("-o", "--output", type=FOLDER, help="File to write.  [default: stdout]")
def init(task: str, output: Path | None) -> None:
    """Write a commented recipe to start from."""
    from edgebert.init import template

    text = template(task)
    if output is None:
        click.echo(text, nl=False)
    elif output.exists():
        raise UsageError(f"{output} exists", "give another name; edgebert does not overwrite recipes")
    else:
        output.write_text(text, "utf-8")
        click.echo(f"wrote {output}: fill in the paths, then: edgebert run {output}", err=True)


@main.command(cls=Verb, example="edgebert run intents.yaml --out build/intents --device local")
@click.argument("recipe", type=FOLDER)
@click.option("--out", type=FOLDER, help="Folder for everything that comes out.  [default: build/NAME]")
@click.option("--until", help="Last stage to run: teacher, student, export, measure or report.")
@click.option("--device", "devices", multiple=True, help="Instead of the recipe's devices; may be repeated.")
@click.option("--dry-run", is_flag=True, help="Say what would be done and what it would cost; do nothing.")
@click.option("--strict", is_flag=True, help="Let a verdict of unknown fail as well.")
@as_json
def run(
    recipe: Path, out: Path | None, until: str | None, devices: tuple[str, ...], dry_run: bool, strict: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Run a recipe from the teacher to the report, or what is left of it.

    What is done is kept: a run that was ended goes on where it was. Exit code 1 when a gate fails.
    """
    if dry_run:
        parallel.leave()
        from edgebert.dryrun import dry_run as plan

        click.echo(plan(recipe, out, devices))
        return
    cli_output.run(recipe, out, until=until or "report", devices=devices, strict=strict, as_json=as_json)


@main.command(cls=Verb, example="edgebert export models/intents --format tflite --precision int8 -o build/tflite-int8")
@click.argument("model", type=FOLDER)
@click.option("--format", "format", required=True, help="onnx, openvino or tflite.")
@click.option("--precision", required=True, help="fp32, fp16, int8, or one more of docs/export.md.")
@click.option("--calibrate", type=FOLDER, help="Real texts (JSONL, CSV, TSV, or one a line in .txt).")
@click.option("--lengths", default="16,32,64,128", show_default=True, help="Sequence lengths in tokens.")
@click.option("--task", default="text-classification", show_default=True, help="What the model does.")
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="Of the task; may be repeated.")
@click.option("--fallback/--no-fallback", default=True, help="Where INT8 loses too much: back to float, or refused.")
@click.option("--sensitivity", is_flag=True, help="Show what INT8 loses in each part of the model.")
@click.option("--tokenizer-in-graph", type=click.Choice(["all", "data"]), help="Beside the model, for C++, Java or C#.")
@click.option("-o", "--output", type=FOLDER, required=True, help="The artifact's folder.")
@columns
def export(
    model: Path, format: str, precision: str, calibrate: Path | None, lengths: str, task: str,
    options: tuple[str, ...], fallback: bool, sensitivity: bool, tokenizer_in_graph: str | None, output: Path,
    text: str, label: str, named: tuple[str, ...],
) -> None:  # fmt: skip
    """Export an existing fine-tuned model, as it is, without distillation.

    The artifact is compared with the model in torch on the calibration texts before it is written. Where INT8 loses
    too much, parts of the model go back to float, worst first; where half of them do not mend it, it is refused.
    """
    from edgebert.single import export_model

    cli_output.exported(
        export_model(
            model, format=format, precision=precision, calibrate=calibrate,
            columns=cli_answers.columns(text, label, named), lengths=cli_output.numbers("--lengths", lengths),
            task=task, options=cli_answers.pairs("--option", options), output=output, fallback=fallback,
            sensitivity=sensitivity, tokenizer_in_graph=tokenizer_in_graph,
        )
    )  # fmt: skip


@main.command(cls=Verb, example='edgebert predict build/intents/artifacts/onnx-int8 "wake me at seven"')
@click.argument("artifact", type=FOLDER)
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@click.option("--threads", default="1", show_default=True, help="Of the engine; auto: as many as are best here.")
@as_json
def predict(artifact: Path, texts: tuple[str, ...], threads: str, as_json: bool) -> None:
    """Answer texts, given as arguments or one a line on stdin.

    A task that reads two texts (pairs, question and context) takes them divided by a tab, or as a JSON object.
    Prints the answer and the text, tab-separated; with --json one JSON object a line.
    """
    from edgebert import load

    with load(artifact, threads=cli_answers.threads(threads)) as model:
        for text in texts or cli_answers.lines_of_stdin():
            given = cli_answers.question(text, model.task.roles)
            answer = model.predict(given)
            if as_json:
                click.echo(json.dumps(cli_answers.answer_json(given, answer), ensure_ascii=False))
            else:
                click.echo(f"{cli_answers.answer(answer)}\t{text}")


@main.command(cls=Verb, example="edgebert check build/intents/artifacts/onnx-int8 --data test.jsonl --label intent")
@click.argument("artifact", type=FOLDER)
@click.option("--data", type=FOLDER, required=True, help="Labelled texts (JSONL, CSV, TSV, CoNLL, SQuAD).")
@click.option("--format", "format", help="How they are written, where the suffix does not say.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Of the engine.")
@click.option("--launches", type=click.IntRange(min=1), default=5, show_default=True, help="Fresh processes.")
@click.option("--samples", type=click.IntRange(min=1), default=200, show_default=True, help="Per launch.")
@click.option("--repeats", type=click.IntRange(min=0), default=2, show_default=True, help="Of an invalid measurement.")
@columns
@on_device
@as_json
def check(
    artifact: Path, data: Path, format: str | None, threads: int, launches: int, samples: int, repeats: int,
    text: str, label: str, named: tuple[str, ...], device: str, as_json: bool,
) -> None:  # fmt: skip
    """Measure accuracy, latency, memory and size of an artifact on a device."""
    from edgebert.single import check_artifact

    result = check_artifact(
        artifact, data, columns=cli_answers.columns(text, label, named), format=format, device=device, threads=threads,
        launches=launches, samples=samples, repeats=repeats, progress=cli_output.progress(),
    )  # fmt: skip
    cli_output.result(result, as_json=as_json)


@main.command(cls=Verb, example="edgebert bench build/intents/artifacts/* --lengths 16,32 --threads 1,2")
@click.argument("artifacts", type=FOLDER, nargs=-1, required=True)
@click.option("--lengths", default="16,32,64,128", show_default=True, help="Sequence lengths in tokens.")
@click.option("--threads", default="1", show_default=True, help="Engine threads, several by commas.")
@click.option("--launches", type=click.IntRange(min=1), default=5, show_default=True, help="Fresh processes.")
@click.option("--native", type=FOLDER, help="The engine's own benchmark program, built for the device.")
@click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), help="Sustained load instead, for so long each."
)
@click.option("-o", "--output", type=FOLDER, help="Folder for the report of --minutes.  [default: build/sustained]")
@on_device
@as_json
def bench(
    artifacts: tuple[Path, ...], lengths: str, threads: str, launches: int, native: Path | None,
    minutes: float | None, output: Path | None, device: str, as_json: bool,
) -> None:  # fmt: skip
    """Time the engine alone, without tokenization, at fixed sequence lengths; artifacts take turns.

    With --native the times are those of LiteRT's benchmark_model, onnxruntime_perf_test or OpenVINO's benchmark_app,
    on token ids of the artifact's golden texts.

    With --minutes: answer texts without a pause, and draw latency, temperature and frequency over time.
    """
    counts = cli_output.numbers("--threads", threads)
    if minutes is not None:
        from edgebert.sustained import sustain

        written = sustain(artifacts, device=device, minutes=minutes, threads=counts, progress=cli_output.progress())
        cli_output.sustained(written, output or Path("build/sustained"), as_json=as_json)
        return
    from edgebert.single import bench_artifacts, bench_native

    wanted = {"lengths": cli_output.numbers("--lengths", lengths), "threads": counts}
    if native is None:
        progress = cli_output.progress()
        rows = bench_artifacts(artifacts, device=device, launches=launches, progress=progress, **wanted)
    else:
        rows = bench_native(artifacts, native, device=device, launches=launches, **wanted)
    cli_output.bench(rows, as_json=as_json)


@main.command(cls=Verb, example="edgebert verify build/intents/artifacts/openvino-int8")
@click.argument("artifact", type=FOLDER)
@click.option("--record", is_flag=True, help="Write into its manifest that they held on the device's instruction set.")
@on_device
@as_json
def verify(artifact: Path, record: bool, device: str, as_json: bool) -> None:
    """Check an artifact: checksums, manifest, and its golden answers in the device's engine.

    With --record the artifact gets another id, since its manifest is part of it.
    """
    from edgebert.single import prove_artifact, verify_artifact

    here = device == "local" and not record
    found = verify_artifact(artifact) if here else prove_artifact(artifact, device, record=record)
    cli_output.verified(found, as_json=as_json)


@main.command(cls=Verb, example="edgebert report build/monday build/tuesday -o build/comparison --fail-on slower")
@click.argument("runs", type=FOLDER, nargs=-1, required=True, metavar="RUN...")
@click.option("-o", "--output", type=FOLDER, help="Folder for the report.  [default: the run's own, or .]")
@click.option("--markdown", is_flag=True, help="Print the Markdown, for the summary of a pull request.")
@click.option("--junit", type=FOLDER, help="Write gates and comparisons as JUnit XML to this file.")
@click.option("--fail-on", multiple=True, type=click.Choice(["slower", "noisy", "gate"]), help="Exit with 1 on these.")
@as_json
def report(
    runs: tuple[Path, ...], output: Path | None, markdown: bool, junit: Path | None, fail_on: tuple[str, ...],
    as_json: bool,
) -> None:  # fmt: skip
    """Write the report of one run again, or one that compares several with the first of them."""
    from edgebert.report import compare, read_report, write_junit, write_report

    names = [run.name if len({r.name for r in runs}) == len(runs) else str(run) for run in runs]
    written = compare([read_report(run) for run in runs], names)
    paths = write_report(written, output or (runs[0] if len(runs) == 1 else Path()))
    paths += [write_junit(written, junit)] if junit else []
    for path in paths:
        click.echo(f"wrote {path}", err=True)
    cli_output.report(written, as_json=as_json, markdown=markdown)
    cli_output.exit_on(written, fail_on)


@main.command(cls=Verb, example="edgebert devices")
@as_json
def devices(as_json: bool) -> None:
    """List the devices that can be used from here, with their facts."""
    from edgebert.doctor import list_devices

    cli_output.facts(list_devices(), as_json=as_json)


@main.command(cls=Verb, example="edgebert doctor local")
@click.argument("device", default="local")
@as_json
def doctor(device: str, as_json: bool) -> None:
    """Say what is missing on a device, and how to mend it."""
    from edgebert.doctor import examine

    sys.exit(cli_output.diagnosis(examine(device), as_json=as_json))


@main.command(cls=Verb, example="edgebert schema recipe > recipe.schema.json")
@click.argument("what", type=click.Choice(["recipe", "manifest", "report"]))
def schema(what: str) -> None:
    """Print the JSON Schema of recipes, manifests or reports."""
    from edgebert.schemas import schema_of

    click.echo(json.dumps(schema_of(what), indent=2, ensure_ascii=False))


@main.command(cls=Verb, example="edgebert serve build/intents/artifacts/onnx-int8 --port 8000")
@click.argument("artifact", type=FOLDER)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 for a free one.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Of the engine, per text.")
@click.option("--workers", type=click.IntRange(min=1), help="Texts answered at once.  [default: cores / threads]")
@click.option(
    "--queue", type=click.IntRange(min=1), default=64, show_default=True, help="Texts in the house; more get 429."
)
@click.option("--max-body", type=click.IntRange(min=1), default=1 << 20, show_default=True, help="Bytes of a request.")
def serve(
    artifact: Path, host: str, port: int, threads: int, workers: int | None, queue: int, max_body: int
) -> None:  # fmt: skip
    """Answer texts over HTTP: POST /predict, GET /healthz, GET /metrics.

    Ends at SIGTERM or Ctrl-C, when the requests in progress are answered.
    """
    from edgebert.serve import serve as run_server

    run_server(
        artifact, host=host, port=port, threads=threads, workers=workers, queue=queue, max_body=max_body
    )  # fmt: skip


if __name__ == "__main__":
    main()
