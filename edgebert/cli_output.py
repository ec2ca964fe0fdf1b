"""What the command line prints: errors with their hints, tables, and JSON for programs."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgebert import __version__, kept, parallel
from edgebert.errors import EdgebertError, MissingExtra, UsageError
from edgebert.progress import Progress, for_stderr

if TYPE_CHECKING:
    from rich.table import Table

    from edgebert.artifact import Artifact
    from edgebert.doctor import Finding
    from edgebert.report import Report, Result

BUG = 70
INTERRUPTED = 130


class Verb(click.Command):
    """A command whose help ends with an example."""

    def __init__(self, *args: Any, example: str, **kwargs: Any) -> None:
        kwargs["epilog"] = f"\b\nExample:\n  {example}"
        super().__init__(*args, **kwargs)


class Group(click.Group):
    """Turns errors into two lines on stderr and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; with --debug, errors show their traceback as well."""
        try:
            return super().invoke(ctx)
        except EdgebertError as error:
            code = error.exit_code
            self._tell(ctx, error.message, error.hint)
        except KeyboardInterrupt:
            code = INTERRUPTED
            self._tell(ctx, "interrupted", "what was finished is kept: the same command goes on from there")
        except ModuleNotFoundError as error:
            # Verbs of the host import what they need at the top of their modules: here the extra is named once.
            if (error.name or "edgebert").split(".")[0] == "edgebert":
                raise
            code = MissingExtra.exit_code
            self._tell(
                ctx, f"the package {error.name!r} is not installed", 'install it with: pip install "edgebert[host]"'
            )
        except (click.exceptions.Exit, click.ClickException, click.Abort, BrokenPipeError) as error:
            if parallel.rank() > 0:  # rank 0 says the same
                sys.exit(getattr(error, "exit_code", 1))
            raise
        except Exception as error:
            code = BUG
            self._tell(
                ctx,
                f"this is a bug in edgebert {__version__}: {type(error).__name__}: {error}",
                "please report it with the output of the same command after `edgebert --debug`",
            )
        sys.exit(code)

    @staticmethod
    def _tell(ctx: click.Context, message: str, hint: str) -> None:
        close_progress()
        if not parallel.speaks():
            return
        if ctx.params.get("debug"):
            traceback.print_exc()
        click.echo(f"error: {printable(message)}", err=True)
        if hint:
            click.echo(f"  fix: {printable(hint)}", err=True)


_progress: Progress | None = None


def progress() -> Progress:
    """The command's progress display, made on first use."""
    global _progress
    _progress = _progress or for_stderr()
    return _progress


def close_progress() -> None:
    """Leave the terminal as it was."""
    global _progress
    close = getattr(_progress, "close", None)
    if close is not None:
        close()
    _progress = None


def printable(text: str) -> str:
    """`text` with lone surrogates shown as escapes: the terminal could not encode them."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def numbers(option: str, written: str) -> tuple[int, ...]:
    """`16,32` as (16, 32). Raises UsageError."""
    try:
        found = tuple(int(part) for part in written.split(","))
    except ValueError:
        found = ()
    if not found or min(found) < 1 or len(set(found)) != len(found):
        told = f"{option} {written!r} is not a list of different positive numbers"
        raise UsageError(told, f"such as {option} {'1,2' if option == '--threads' else '16,32'}")
    return found


def run(
    recipe: Path,
    out: Path | None,
    *,
    until: str = "report",
    devices: Sequence[str] = (),
    strict: bool = False,
    as_json: bool = False,
) -> None:
    """Run a recipe, print its report, and exit with 1 when a gate failed."""
    from edgebert import pipeline

    written = pipeline.run(recipe, out=out, until=until, devices=devices, progress=progress())
    if written is None:
        close_progress()
        return
    report(written, as_json=as_json)
    for failure in written.failures:
        click.echo(f"error: {printable(failure.message)}\n  fix: {printable(failure.hint)}", err=True)
    if written.failures:
        sys.exit(written.failures[0].exit_code)
    if written.verdict == "fail" or (strict and written.verdict == "unknown"):
        sys.exit(1)


def report(written: Report, *, as_json: bool, markdown: bool = False) -> None:
    """The report's table, its JSON, or its Markdown."""
    from edgebert.report import comparison_lines, device_lines, render_markdown, summary_table

    close_progress()
    if as_json:
        print_json(written.to_json())
        return
    if markdown:
        click.echo(render_markdown(written), nl=False)
        return
    print_table(summary_table(written))
    for line in (*device_lines(written), *comparison_lines(written)):
        click.echo(printable(line))
    for row in written.results:
        for reason in row.reasons:
            click.echo(f"{row.name} on {row.device}: {row.verdict}: {reason}")
    click.echo(f"verdict: {written.verdict}")


def exit_on(written: Report, fail_on: Sequence[str]) -> None:
    """Exit with 1 when the report holds what the user does not want: `slower`, `noisy` or `gate`."""
    words = {comparison.verdict for comparison in written.comparisons}
    seen = {"slower": "slower" in words, "noisy": "too noisy" in words, "gate": written.verdict == "fail"}
    if any(seen[kind] for kind in fail_on):
        sys.exit(1)


def sustained(written: Report, folder: Path, *, as_json: bool) -> None:
    """The report of a sustained load: written to a folder, and its course in a line for each artifact."""
    from edgebert.report import write_report

    close_progress()
    for path in write_report(written, folder):
        click.echo(f"wrote {path}", err=True)
    if as_json:
        print_json(written.to_json())
        return
    for row in written.results:
        first, last = row.over_time[0], row.over_time[-1]
        hot = "" if last.temperature_c is None else f", {last.temperature_c:.0f} °C"
        said = f"{first.ms:.3f} ms at the start, {last.ms:.3f} ms after {last.seconds / 60:.1f} minutes{hot}"
        click.echo(f"{row.name}, {row.threads} thread(s): {said}{'' if row.valid else f'; {row.invalid[0]}'}")


def result(row: Result, *, as_json: bool) -> None:
    """One measured artifact, field by field."""
    from edgebert.report.codec import encode

    close_progress()
    plain = encode(row)
    if as_json:
        print_json(plain)
        return
    metric, latency = row.metric, row.latency_ms
    shown = {
        "artifact": row.name,
        "device": row.device + (" (emulated: times are not a device's)" if row.emulated else ""),
        metric.name if metric else "metric": f"{metric.value:.4f} (95 %: {metric.low:.4f} to {metric.high:.4f})"
        if metric
        else "no labels",
        "latency": ", ".join(
            f"{name} {value:.3f} ms" for name in ("p50", "p90", "p95", "p99") if (value := getattr(latency, name))
        )
        + f" (n = {latency.n}, {row.threads} thread(s), text in, answer out)",
        "engine alone": ", ".join(f"{length} tokens {ms:.3f} ms" for length, ms in row.engine_ms.items()),
        "size": f"{row.model_bytes / 1e6:.2f} MB model, {row.folder_bytes / 1e6:.2f} MB folder",
        "peak memory": f"{(row.peak_rss_bytes or 0) / 1e6:.0f} MB",
        "cold start": f"{row.cold_start_ms or 0:.0f} ms",
        **{name: f"{value:.4f}" for name, value in row.figures.items()},
        "measurement": "valid" if row.valid else f"INVALID: {'; '.join(row.invalid)}",
        **({"partial": left} if (left := kept.told(row.partial)) else {}),
    }
    print_fields(shown)


def bench(rows: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """Engine times by artifact, threads and length."""
    close_progress()
    if as_json:
        print_json(list(rows))
        return
    from rich.table import Table

    lengths = sorted({int(length) for row in rows for length in row["engine_ms"]})
    table = Table("artifact", "engine", "threads", *(f"{length} tokens, ms" for length in lengths))
    for row in rows:
        cells = (_milliseconds(row["engine_ms"].get(str(length))) for length in lengths)
        table.add_row(row["name"], row["engine"], str(row["threads"]), *cells)
    print_table(table)
    for row in rows:
        if left := kept.told(row.get("partial", ())):
            click.echo(f"{row['name']}, {row['threads']} thread(s): {left}")


def _milliseconds(cell: Mapping[str, float | None] | None) -> str:
    """The median; the mean where a native program told no median; a dash where nothing was timed."""
    if not cell:
        return "–"
    if cell["p50"] is None:
        return f"mean {cell['mean']:.3f}"
    return f"{cell['p50']:.3f}"


def exported(artifact: Artifact) -> None:
    """Where the artifact is, and its identity; what INT8 loses in each part of it, where that was measured."""
    click.echo(f"{artifact.path}\t{artifact.model_bytes / 1e6:.2f} MB\t{artifact.artifact_id}")
    made = artifact.manifest.lineage[-1]
    if floats := made.get("fallback", {}).get("float", []):
        click.echo(f"in float, since INT8 lost too much there: {', '.join(floats)}", err=True)
    if "sensitivity" in made:
        from rich.table import Table

        table = Table("group, alone in INT8", "mean error, % of the spread", "largest error, %", "made")
        for row in made["sensitivity"]:
            errors = (row["mean_error"], row["max_error"])
            shown = ("–" if error is None else f"{100 * error / made['spread']:.2f}" for error in errors)
            table.add_row(row["group"], *shown, "float32" if row["group"] in floats else "int8")
        print_table(table)


def verified(found: Mapping[str, Any], *, as_json: bool) -> None:
    """What `verify` found."""
    if as_json:
        print_json(found)
    else:
        print_fields(found)


def facts(devices: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """Devices and their facts."""
    if as_json:
        print_json(list(devices))
        return
    for device in devices:
        print_fields({k: ", ".join(v) if isinstance(v, list) else v for k, v in device.items() if v is not None})


def diagnosis(findings: Sequence[Finding], *, as_json: bool) -> int:
    """What `doctor` found; the exit code is 2 when something needed is missing."""
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            click.echo(f"{finding.state:>7}  {finding.what}: {finding.found}")
            if finding.fix:
                click.echo(f"         fix: {finding.fix}")
    return 2 if any(finding.state == "missing" for finding in findings) else 0


def print_json(value: Any) -> None:
    """One JSON value on stdout."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_fields(shown: Mapping[str, Any]) -> None:
    """Names and values, aligned."""
    width = max(len(name) for name in shown)
    for name, value in shown.items():
        click.echo(f"{name:<{width}}  {value}")


def print_table(table: Table) -> None:
    """A table on stdout, as wide as it needs to be where stdout is no terminal."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 200).print(table)
