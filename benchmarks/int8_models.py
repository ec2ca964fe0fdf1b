"""The models that `benchmarks/int8.py` asks, each made once.

`python benchmarks/int8_models.py WHAT SOURCE OUT LENGTHS`, where WHAT is `random` (SOURCE is LAYERSxHIDDEN, such as
12x768: a BERT of random weights, for speed only), the name of one of our artifacts (`onnx-int8`), or a stock recipe, as
its own documentation has it, on a Hugging Face folder:

- `optimum`: exported to ONNX, `ORTQuantizer` with `AutoQuantizationConfig.avx512_vnni(is_static=False)`;
- `nncf`: `openvino.convert_model`, `nncf.quantize` with the transformer preset and 300 texts;
- `ai-edge-quantizer`: `litert_torch`, one signature a length, the recipe `dynamic_wi8_afp32`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

INTENTS = Path(__file__).parents[1] / "examples" / "intents" / "train.jsonl"
LABELS, POSITIONS, PIECES = 32, 512, 30_522


def texts() -> list[str]:
    """Real ones, to calibrate with."""
    return [json.loads(line)["text"] for line in INTENTS.read_text("utf-8").splitlines()]


def random(shape: str, out: Path) -> None:
    """BERT-base's proportions: 64 values a head, four times the hidden size in between, its vocabulary's size."""
    import torch
    import transformers

    from edgebert.compress.finetune import train_wordpiece
    from edgebert.compress.vocabulary import specials_of, write_tokenizer

    layers, hidden = (int(part) for part in shape.split("x"))
    tokenizer = train_wordpiece(texts(), 4000)
    config = transformers.BertConfig(
        vocab_size=PIECES, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=max(1, hidden // 64),
        intermediate_size=4 * hidden, max_position_embeddings=POSITIONS, num_labels=LABELS,
    )  # fmt: skip
    torch.manual_seed(7)
    transformers.BertForSequenceClassification(config).save_pretrained(out)
    write_tokenizer(out, tokenizer, specials_of(tokenizer), POSITIONS)


def ours(name: str, source: Path, out: Path, lengths: Sequence[int]) -> None:
    """An artifact by `edgebert export`'s own way."""
    from edgebert.exporting import export_artifact

    calibration = out.with_name("calibration.jsonl")
    calibration.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts()[::17]), "utf-8")
    format, _, precision = name.partition("-")
    export_artifact(
        source, task="text-classification", format=format, precision=precision, lengths=lengths,
        calibration=calibration, target=out, log=out.with_name(f"{name}.log"),
    )  # fmt: skip


def optimum(source: Path, out: Path) -> None:
    """`out/model_quantized.onnx`."""
    from optimum.exporters.onnx import main_export
    from optimum.onnxruntime import ORTQuantizer
    from optimum.onnxruntime.configuration import AutoQuantizationConfig

    main_export(str(source), output=out / "fp32", task="text-classification", do_validation=False)
    quantizer = ORTQuantizer.from_pretrained(out / "fp32", file_name="model.onnx")
    quantizer.quantize(save_dir=out, quantization_config=AutoQuantizationConfig.avx512_vnni(is_static=False))


def nncf(source: Path, out: Path) -> None:
    """`out/openvino_model.xml`."""
    import nncf
    import openvino as ov

    model, tokenizer = loaded(source)
    example = dict(tokenizer("an example", return_tensors="pt"))
    calibration = nncf.Dataset([dict(tokenizer(text, return_tensors="np")) for text in texts()[::17][:300]])
    converted = ov.convert_model(model, example_input=example)
    ov.save_model(
        nncf.quantize(converted, calibration, model_type=nncf.ModelType.TRANSFORMER), out / "openvino_model.xml"
    )


def ai_edge_quantizer(source: Path, out: Path, lengths: Sequence[int]) -> None:
    """`out/model.tflite`, signatures `seq16` and so on."""
    import litert_torch
    import torch
    from ai_edge_quantizer import quantizer, recipe

    model, _ = loaded(source, attn_implementation="eager")

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.model(input_ids=input_ids, attention_mask=attention_mask).logits

    converter: Any = litert_torch
    for length in lengths:
        example = {name: torch.ones((1, length), dtype=torch.int32) for name in ("input_ids", "attention_mask")}
        converter = converter.signature(f"seq{length}", Logits().eval(), sample_kwargs=example)
    converter.convert().export(str(out / "fp32.tflite"))
    made = quantizer.Quantizer(str(out / "fp32.tflite"), recipe.dynamic_wi8_afp32()).quantize()
    made.export_model(str(out / "model.tflite"), overwrite=True)


def loaded(source: Path, **settings: Any) -> tuple[Any, Any]:
    """The model and its tokenizer, as transformers gives them."""
    import transformers

    model = transformers.AutoModelForSequenceClassification.from_pretrained(source, **settings)
    return model.eval().requires_grad_(False), transformers.AutoTokenizer.from_pretrained(source)


def main(what: str, source: str, out: Path, lengths: Sequence[int]) -> None:
    """Make one."""
    if what == "random":
        random(source, out)
    elif what == "optimum":
        optimum(Path(source), out)
    elif what == "nncf":
        nncf(Path(source), out)
    elif what == "ai-edge-quantizer":
        ai_edge_quantizer(Path(source), out, lengths)
    else:
        ours(what, Path(source), out, lengths)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), [int(part) for part in sys.argv[4].split(",")])
