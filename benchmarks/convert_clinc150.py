"""CLINC150's own JSON to the JSONL splits that the benchmark recipe reads.

    python benchmarks/convert_clinc150.py SRC_JSON OUT_DIR [--out-of-scope]

SRC_JSON is `data_full.json` of CLINC150 (Larson et al., 2019, "An Evaluation Dataset for Intent Classification and
Out-of-Scope Prediction"; CC BY 3.0): an object whose keys `train`, `val`, `test`, `oos_train`, `oos_val`, `oos_test`
hold lists of [text, intent]. OUT_DIR receives `train.jsonl`, `validation.jsonl` and `test.jsonl`, one
{"text": …, "intent": …} a line, in the order of the source: 15,000, 3,000 and 4,500 rows in scope. With
--out-of-scope the 100, 100 and 1,000 rows of the intent `oos` follow at the end of each file.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from edgebert.errors import DataError, EdgebertError

SPLITS = {"train": "train", "val": "validation", "test": "test"}


def convert(source: Path, out: Path, *, out_of_scope: bool = False) -> dict[str, int]:
    """Write the three splits; gives back the number of rows of each.

    Raises:
        DataError: `source` cannot be read as CLINC150. Nothing is written then.
    """
    document = _read(source)
    splits = {}
    for key, name in SPLITS.items():
        rows = _rows(document, key, source)
        splits[name] = rows + (_rows(document, f"oos_{key}", source) if out_of_scope else [])
    out.mkdir(parents=True, exist_ok=True)
    for name, rows in splits.items():
        lines = (json.dumps({"text": text, "intent": intent}, ensure_ascii=False) for text, intent in rows)
        # Written beside and renamed, so that nobody ever reads half a split.
        unfinished = out / f".{name}.jsonl.unfinished"
        unfinished.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        os.replace(unfinished, out / f"{name}.jsonl")  # noqa: PTH105  pathlib's rename does not replace everywhere
    return {name: len(rows) for name, rows in splits.items()}


def _read(source: Path) -> dict[str, Any]:
    try:
        document = json.loads(source.read_bytes())
    except OSError as error:
        told = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise DataError(f"{source}: {told}", "give the path of CLINC150's data_full.json") from error
    except ValueError as error:
        raise DataError(f"{source}: not JSON: {error}", "give CLINC150's data_full.json as it is") from error
    if not isinstance(document, dict):
        raise DataError(f"{source}: expected a JSON object", "give CLINC150's data_full.json as it is")
    return document


def _rows(document: dict[str, Any], key: str, source: Path) -> list[tuple[str, str]]:
    rows = document.get(key)
    if not isinstance(rows, list) or not rows:
        raise DataError(f"{source}: no list {key!r}", f"found: {', '.join(sorted(document))}")
    for index, row in enumerate(rows):
        if not (isinstance(row, list) and len(row) == 2 and all(isinstance(item, str) and item for item in row)):
            raise DataError(f"{source}: {key}[{index}] is not [text, intent]", f"found: {str(row)[:80]}")
    return [(text, intent) for text, intent in rows]


def main() -> int:
    """Convert, and say what was written."""
    parser = argparse.ArgumentParser(
        description="CLINC150's own JSON to JSONL splits.",
        epilog="example: python benchmarks/convert_clinc150.py data_full.json build/clinc150",
    )
    parser.add_argument("source", type=Path, metavar="SRC_JSON", help="data_full.json of CLINC150")
    parser.add_argument("out", type=Path, metavar="OUT_DIR", help="receives the three .jsonl files")
    parser.add_argument("--out-of-scope", action="store_true", help="add the rows of the intent 'oos'")
    arguments = parser.parse_args()
    try:
        counts = convert(arguments.source, arguments.out, out_of_scope=arguments.out_of_scope)
    except EdgebertError as error:
        parser.exit(error.exit_code, f"error: {error.message}\nhint: {error.hint}\n")
    for name, count in counts.items():
        print(f"{arguments.out / name}.jsonl  {count} rows")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
