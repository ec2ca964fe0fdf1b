"""The artifacts that the runtime's benchmarks ask: `python benchmarks/runtime_models.py OUT [SHARED]`.

OUT receives `small/<format>-<precision>`, a BERT of 2 layers × 128 with random weights, whose vocabulary is that of
the example's intents; and, where SHARED is given (the folder with CLINC150 and its teacher),
`clinc150/<format>-<precision>`: that teacher cut to the CLINC150 student's shape (3 layers, 576 neurons, pruned
vocabulary) without any training. Both answer nonsense at the speed and size of the real thing. An artifact that is
there is left alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from edgebert.compress.finetune import train_wordpiece
from edgebert.compress.heads import head_settings
from edgebert.compress.student import build_student
from edgebert.compress.vocabulary import all_pieces, specials_of, write_tokenizer
from edgebert.exporting import export_artifact
from edgebert.recipe_specs import StudentSpec
from edgebert.tasks.text_classification import TextClassification
from edgebert.teacher import inspect

TASK = TextClassification()
NAMES = ("onnx-int8", "openvino-int8", "tflite-int8", "torch-fp32")
LENGTHS = {"small": (16, 32), "clinc150": (12, 16, 24, 32, 64, 128)}
INTENTS = Path(__file__).parents[1] / "examples" / "intents" / "train.jsonl"


def small(out: Path, texts: Sequence[str]) -> Path:
    """A folder of a BERT with 2 layers × 128 and random weights, large enough that texts get different answers."""
    import torch
    import transformers

    tokenizer = train_wordpiece(texts, 2000)
    config = transformers.BertConfig(
        vocab_size=len(all_pieces(tokenizer)), hidden_size=128, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=512, max_position_embeddings=64, initializer_range=0.15,
        **head_settings(TASK, [f"label {number}" for number in range(8)]),
    )  # fmt: skip
    torch.manual_seed(7)
    transformers.BertForSequenceClassification(config).save_pretrained(out)
    write_tokenizer(out, tokenizer, specials_of(tokenizer), 64)
    return out


def clinc150(out: Path, shared: Path, texts: Sequence[str]) -> Path:
    """A folder of the teacher's layers in the student's shape, untrained."""
    teacher = inspect(shared / "models" / "minilm-clinc150", name="teacher", task=TASK)
    spec = StudentSpec(layers=3, vocabulary="prune")
    build_student(teacher, spec, task=TASK, texts=texts, max_length=128, out=out, intermediate_size=576)
    return out


def export(folder: Path, model: Path, texts: Sequence[str], lengths: tuple[int, ...]) -> None:
    """Every format of one model."""
    calibration = folder / "calibration.jsonl"
    calibration.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts[:300]), "utf-8")
    for name in NAMES:
        format, _, precision = name.partition("-")
        if not (folder / name / "manifest.json").is_file():
            export_artifact(
                model, task=TASK.name, format=format, precision=precision, lengths=lengths, calibration=calibration,
                target=folder / name, log=folder / f"{name}.log",
            )  # fmt: skip
            print(folder / name)


def main(out: Path, shared: Path | None) -> None:
    """Make what is not there."""
    intents = [json.loads(line)["text"] for line in INTENTS.read_text("utf-8").splitlines()]
    folder, model = out / "small", out / "small" / "model"
    export(folder, model if model.is_dir() else small(model, intents), intents, LENGTHS["small"])
    if shared is not None:
        document = json.loads((shared / "data" / "clinc150" / "data_full.json").read_text("utf-8"))
        requests = [text for text, _ in [*document["train"], *document["val"]]]
        folder, model = out / "clinc150", out / "clinc150" / "model"
        if not model.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            clinc150(model, shared, requests)
        export(folder, model, requests[::60], LENGTHS["clinc150"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
