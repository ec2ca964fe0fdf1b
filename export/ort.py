"""ONNX Runtime's own format, which is all that its mobile build reads: the graph as the optimizer leaves it.

The optimizer runs here and not on the device, so a smaller library will do there. Beside the model goes the list of
its operators, which `--include_ops_by_config` of ONNX Runtime's build script takes, to leave all others out.

Nothing rewrites such a graph when it is loaded. So what our runtime asks of the optimizer for plain ONNX is done here:
no `SkipLayerNormalization`, and weights in U8, whose kernels are exact on every x86 processor, where those of S8
saturate without VNNI (`saturation.py`; there the optimizer turns the one into the other).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

#: As in the runtime; the second is for convolutions, in blocks that x86 alone has.
_DISABLED = ["SkipLayerNormFusion", "NchwcTransformer"]


def convert(model: bytes, path: Path, operators: Path) -> None:
    """Write an ONNX model to `path` in ONNX Runtime's format, and the list of its operators to `operators`."""
    import onnxruntime
    from onnxruntime.tools.ort_format_model import create_config_from_models

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(path)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3  # it warns that an optimized file is for machines like this one
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"], disabled_optimizers=_DISABLED)
    with tempfile.TemporaryDirectory() as scratch:
        listed = Path(scratch, "operators")
        create_config_from_models([path], listed, enable_type_reduction=False)
        lines = [line for line in listed.read_text("utf-8").splitlines() if not line.startswith("#")]
    operators.write_text("\n".join([*lines, ""]), "utf-8")
