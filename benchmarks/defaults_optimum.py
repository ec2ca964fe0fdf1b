"""Optimum's stock INT8 of one model, for `benchmarks/defaults.py`, which starts it where Optimum is seen.

`python defaults_optimum.py MODEL TASK ARTIFACT DATA COLUMNS OUT WAY` writes `OUT/model_quantized.onnx`. As its
documentation has it: exported to ONNX, `AutoQuantizationConfig.avx512_vnni`. WAY is `optimum-dynamic`, or
`optimum-static`, whose ranges (MinMax) are calibrated on 300 records of DATA, in the windows of ARTIFACT's task and
without padding.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from edgebert import artifact as artifacts
from edgebert import data, tasks
from edgebert.tokenization import load_tokenizer

RECORDS = 300


def rows(artifact: Path, calibration: Path, columns: dict[str, str], names: list[str]) -> list[dict[str, list[int]]]:
    """Windows as token ids by input name."""
    manifest = artifacts.load(artifact).manifest
    task = tasks.get(manifest.task, manifest.task_settings)
    records = data.read_task_records(calibration, task, columns)
    tokenizer = load_tokenizer(artifact, None if task.windowed else manifest.max_length)
    found = []
    for record in records[:: max(1, len(records) // RECORDS)][:RECORDS]:
        for window in task.encode(tokenizer, record, manifest.max_length):
            every = {
                "input_ids": window.input_ids, "attention_mask": [1] * len(window.input_ids),
                "token_type_ids": window.token_type_ids,
            }  # fmt: skip
            found.append({name: every[name] for name in names})
    return found


def main(
    model: str, task: str, artifact: Path, calibration: Path, columns: dict[str, str], out: Path, way: str
) -> None:
    """Export, calibrate, quantize."""
    import onnx
    from onnxruntime.quantization import CalibrationMethod
    from optimum.exporters.onnx import main_export
    from optimum.onnxruntime import ORTQuantizer
    from optimum.onnxruntime.configuration import AutoQuantizationConfig, CalibrationConfig

    main_export(model, output=out / "fp32", task=task, do_validation=False)
    names = [entry.name for entry in onnx.load(str(out / "fp32" / "model.onnx")).graph.input]
    quantizer = ORTQuantizer.from_pretrained(out / "fp32", file_name="model.onnx")
    if way == "optimum-dynamic":
        quantizer.quantize(AutoQuantizationConfig.avx512_vnni(is_static=False), out)
        return
    config = AutoQuantizationConfig.avx512_vnni(is_static=True, per_channel=False)
    windows = rows(artifact, calibration, columns, names)
    # What `AutoCalibrationConfig.minmax` makes of a dataset of the hub.
    how = CalibrationConfig(
        dataset_name=calibration.name, dataset_config_name="", dataset_split="validation",
        dataset_num_samples=len(windows), method=CalibrationMethod.MinMax, moving_average=False,
    )  # fmt: skip
    ranges = quantizer.fit(
        windows, how, out / "augmented.onnx", operators_to_quantize=config.operators_to_quantize
    )  # fmt: skip
    quantizer.quantize(config, out, calibration_tensors_range=ranges)


if __name__ == "__main__":
    given = sys.argv[1:]
    main(given[0], given[1], Path(given[2]), Path(given[3]), json.loads(given[4]), Path(given[5]), given[6])
