"""The teacher is looked over before anything is trained: each thing that can be wrong has its own message."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from edgebert.compress.finetune import train_wordpiece
from edgebert.compress.folder import load_model, tokenizer_json
from edgebert.compress.vocabulary import all_pieces, specials_of, write_tokenizer
from edgebert.errors import DataError
from edgebert.teacher import check_body, check_labels, inspect, resolve

LABELS = ("bad", "good")
TEXTS = ["the film was good", "the film was bad", "what a waste of time", "a joy from start to end"]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound teacher."""
    folder = tmp_path_factory.mktemp("original")
    tokenizer = train_wordpiece(TEXTS, 80)
    library: Any = transformers
    config = library.BertConfig(
        vocab_size=len(all_pieces(tokenizer)),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=24,
        id2label=dict(enumerate(LABELS)),
        label2id={label: i for i, label in enumerate(LABELS)},
    )
    torch.manual_seed(0)
    library.BertForSequenceClassification(config).save_pretrained(folder)
    write_tokenizer(folder, tokenizer, specials_of(tokenizer), 24)
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(original, tmp_path / "teacher"))


def edit_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    for key, value in changes.items():
        config[key] = value
    (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}))


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    weights = {name: tensor.clone() for name, tensor in weights.items()}
    change(weights)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def put(name: str, value: float) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        edit_weights(folder, lambda weights: weights[name].view(-1)[3:4].fill_(value))

    return change


def drop(*names: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return change


def to_pickle(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-500])


def garbage(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\xff" * 64)


def to_int8(folder: Path) -> None:
    name = "bert.encoder.layer.0.output.dense.weight"
    edit_weights(folder, lambda weights: weights.update({name: weights[name].to(torch.int8)}))


def without_head(folder: Path) -> None:
    edit_weights(folder, lambda weights: [weights.pop(name) for name in ("classifier.weight", "classifier.bias")])


def longer_vocabulary(folder: Path) -> None:
    content = json.loads((folder / "tokenizer.json").read_text())
    content["model"]["vocab"]["extra"] = 5000
    (folder / "tokenizer.json").write_text(json.dumps(content))


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (drop("config.json"), "t has no config.json"),
    "config is no JSON": (lambda f: (f / "config.json").write_text("{"), "t/config.json is no JSON"),
    "other family": (lambda f: edit_config(f, model_type="gpt2"), "t is a 'gpt2' model"),
    "no family": (lambda f: edit_config(f, model_type=None), "t is a None model"),
    "code of its own": (
        lambda f: edit_config(f, auto_map={"AutoModel": "x.Y"}),
        "brings code of its own, which is never run",
    ),
    "no tokenizer": (drop("tokenizer.json", "vocab.txt"), "t has no tokenizer"),
    "tokenizer is no JSON": (lambda f: (f / "tokenizer.json").write_text("["), "tokenizer.json is damaged"),
    "tokenizer of another": (longer_vocabulary, "goes up to id 5000, its embeddings have"),
    "no weights": (drop("model.safetensors"), "t has no model.safetensors"),
    "pickle only": (to_pickle, r"only as a pickle \(pytorch_model.bin\)"),
    "cut off": (cut, "t/model.safetensors is damaged"),
    "garbage": (garbage, "t/model.safetensors is damaged"),
    "NaN": (
        put("bert.encoder.layer.1.output.dense.weight", float("nan")),
        "bert.encoder.layer.1.output.dense.weight of t hold NaN",
    ),
    "infinity": (put("classifier.weight", float("inf")), "classifier.weight of t hold NaN or infinity"),
    "quantized": (to_int8, "layer.0.output.dense.weight of t are I8"),
    "no head": (without_head, "t has no classification head"),
    "labels for another head": (
        lambda f: edit_config(f, id2label={"0": "a", "1": "b", "2": "c"}),
        "id2label of t has 3 labels, its head 2",
    ),
    "gap in the labels": (lambda f: edit_config(f, id2label={"0": "a", "7": "b"}), "id2label of t has"),
    "label twice": (lambda f: edit_config(f, id2label={"0": "a", "1": "a"}), "names a label twice"),
}


def test_a_sound_teacher(original: Path) -> None:
    teacher = inspect(original, name="t")
    assert (teacher.labels, teacher.layers, teacher.hidden_size, teacher.positions) == (LABELS, 2, 16, 24)
    assert teacher.model_type == "bert"
    assert teacher.parameters == sum(p.numel() for p in load_model(original).parameters())


@pytest.mark.parametrize("kind", sorted(BROKEN))
def test_a_broken_teacher(folder: Path, kind: str) -> None:
    damage, message = BROKEN[kind]
    damage(folder)
    with pytest.raises(DataError, match=message) as caught:
        inspect(folder, name="t")
    assert caught.value.hint
    assert caught.value.exit_code == 2


def test_missing_layers_are_no_random_layers(folder: Path) -> None:
    """transformers would draw them at random, with a warning."""
    edit_config(folder, num_hidden_layers=3)
    with pytest.raises(DataError, match=r"lacks the weights bert\.encoder\.layer\.2"):
        load_model(folder)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_loaded_as_single(folder: Path, dtype: torch.dtype) -> None:
    edit_weights(folder, lambda weights: weights.update({k: v.to(dtype) for k, v in weights.items()}))
    edit_config(folder, dtype=str(dtype).removeprefix("torch."))
    assert inspect(folder, name="t").labels == LABELS
    model = load_model(folder)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_sharded_weights(folder: Path) -> None:
    model = load_model(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="8KB")
    assert (folder / "model.safetensors.index.json").is_file()
    teacher = inspect(folder, name="t")
    assert teacher.parameters == sum(parameter.numel() for parameter in model.parameters())
    again = load_model(folder)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_a_folder_with_vocab_txt_alone(folder: Path) -> None:
    before = tokenizer_json(folder)
    (folder / "tokenizer.json").unlink()
    assert inspect(folder, name="t").labels == LABELS
    assert tokenizer_json(folder)["model"]["vocab"] == before["model"]["vocab"]


def test_the_hash_is_of_what_is_read(folder: Path) -> None:
    before = inspect(folder, name="t").content_hash
    (folder / "optimizer.pt").write_bytes(b"x")
    assert inspect(folder, name="t").content_hash == before
    edit_weights(folder, lambda weights: weights.update({"classifier.bias": weights["classifier.bias"] + 1}))
    assert inspect(folder, name="t").content_hash != before


def test_the_recipes_labels(folder: Path) -> None:
    assert inspect(folder, name="t", labels=LABELS).labels == LABELS
    with pytest.raises(DataError, match="the recipe has 3 labels, t has 2"):
        inspect(folder, name="t", labels=("a", "b", "c"))
    with pytest.raises(DataError, match="'fine' is not a label of t"):
        inspect(folder, name="t", labels=("bad", "fine"))
    with pytest.raises(DataError, match="not in the order of t"):
        inspect(folder, name="t", labels=("good", "bad"))
    edit_config(folder, id2label={"0": "LABEL_0", "1": "LABEL_1"})
    assert inspect(folder, name="t", labels=("no", "yes")).labels == ("no", "yes")


def test_labels_of_the_data(original: Path) -> None:
    teacher = inspect(original, name="t")
    check_labels(teacher, [{"text": "x", "label": "good"}], "train")
    with pytest.raises(DataError, match="train has labels that t does not know: 'great', 'poor'"):
        check_labels(teacher, [{"label": label} for label in ("poor", "great", "good")], "train")


def test_a_body_without_a_head_is_a_body(folder: Path) -> None:
    without_head(folder)
    body = check_body(folder, "t")
    assert (body.labels, body.layers) == ((), 2)
    with pytest.raises(DataError, match="lacks the weights classifier"):
        load_model(folder)
    torch.manual_seed(0)
    assert load_model(folder, labels=("x", "y", "z"), body_only=True).config.num_labels == 3


def test_a_body_saved_without_its_prefix(folder: Path) -> None:
    """As sentence-transformers saves them."""
    load_model(folder).bert.save_pretrained(folder)
    body = check_body(folder, "t")
    assert (body.layers, body.positions) == (2, 24)
    load_model(folder, labels=LABELS, body_only=True)


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlanguage: en\nlicense: apache-2.0\n---\n# A model", "apache-2.0"),
        ("# A model", "unknown"),
        (None, "unknown"),
    ],
)
def test_licence(folder: Path, card: str | None, licence: str) -> None:
    if card is not None:
        (folder / "README.md").write_text(card)
    assert inspect(folder, name="t").licence == licence


def test_resolve_a_folder(original: Path) -> None:
    assert resolve(original.name, original.parent) == original
    assert resolve(str(original), Path("elsewhere")) == original


@pytest.mark.parametrize("source", ["./nowhere", "a/b/c", "../nowhere", "no where"])
def test_resolve_what_can_be_no_hub_id(source: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no folder"):
        resolve(source, tmp_path)


def test_resolve_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match="the hub does not give it out") as caught:
        resolve("nobody/nothing-of-this-name", tmp_path)
    assert "offline, give a folder" in caught.value.hint
