"""`int8-full`: TFLite's matrix products and what follows them in INT8 alone, by ranges calibrated on real text.

Integers as far as a BERT bears them: every matrix product, the attention's too, and the functions between them. Ranges
of whole tensors cannot carry the rest. Measured on 300 test sentences of CLINC150's student, errors in units of the
logits' spread:

| in INT8 | mean error | largest | accuracy |
|---|--:|--:|--:|
| nothing | | | 95.7 % |
| products with weights, GELU, tanh | 0.038 | 0.41 | 95.7 % |
| and the attention's products, with what moves their tensors (`int8-full`) | 0.040 | 0.44 | 95.7 % |
| products with weights, GELU, tanh, and the additions of residuals | 0.059 | 1.01 | 95.7 % |
| … and layer norms instead | 0.115 | 1.51 | 94.7 % |
| … and the addition of the mask, or softmax after it, instead | 0.51 | 5.2 | 62 % |
| everything that the quantizer can | 0.52 | 5.1 | 54.7 % |

The embeddings stay as dynamic range quantization has them, since LiteRT looks up no others; so do the token ids, INT32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgebert.protocols import ExportJob

from . import calibration

#: Texts (or texts joined to fit) that activations are calibrated on at each sequence length.
TEXTS_PER_LENGTH = 48

#: Functions of one activation, whose output a product reads.
FUNCTIONS = ("GELU", "TANH", "RELU")

#: What the attention of our graph is made of beside its softmax, and how its operations are named.
ATTENTION = ("BATCH_MATMUL", "RESHAPE", "TRANSPOSE", "SLICE")
_ATTENTION_SCOPE = ".*Attention_attention.*"

#: All kinds of operations that `configure` may quantize.
KINDS = ("FULLY_CONNECTED", "EMBEDDING_LOOKUP", *FUNCTIONS, *ATTENTION)


def configure(work: Any) -> None:
    """Say to a Quantizer of ai-edge-quantizer what becomes INT8."""
    from ai_edge_quantizer import qtyping

    for name in ("FULLY_CONNECTED", *FUNCTIONS):
        work.add_static_config(".*", qtyping.TFLOperationName(name), 8, 8)
    for name in ATTENTION:
        work.add_static_config(_ATTENTION_SCOPE, qtyping.TFLOperationName(name), 8, 8)
    tensorwise = qtyping.QuantGranularity.TENSORWISE
    work.add_dynamic_config(".*", qtyping.TFLOperationName.EMBEDDING_LOOKUP, 8, granularity=tensorwise)


def calibrate(
    work: Any, job: ExportJob, names: Sequence[str], signatures: dict[int, str]
) -> tuple[Any, dict[str, Any]]:
    """Ranges of all activations, and how they were found, for the manifest.

    Args:
        work: a Quantizer that is configured.
        job: the export, with texts to calibrate on.
        names: of the model's inputs.
        signatures: sequence length -> the signature's name.
    """
    encoded = calibration.calibration_encoded(job)
    inputs: dict[str, list[dict[str, Any]]] = {name: [] for name in signatures.values()}
    for feed in calibration.batches(encoded, names, job.lengths, TEXTS_PER_LENGTH):
        length = feed[names[0]].shape[1]
        inputs[signatures[length]].append({name: array.astype(np.int32) for name, array in feed.items()})
    how = {
        "method": "minmax", "texts": len(encoded), "inputs": sum(map(len, inputs.values())),
        "lengths": list(job.lengths), "seed": job.seed,
    }  # fmt: skip
    return work.calibrate(inputs, num_threads=1), how
