"""Operators are told apart by the names that each converter gives them."""

from __future__ import annotations

import pytest

from edgebert.export.groups import group_of, groups_of

MODULES = "edgebert.export.modules"
TFLITE = f"edgebert.export.graph.Named/{MODULES}.Headed_module/{MODULES}"
LAYER = f"{TFLITE}.Encoder_encoder/{MODULES}.Layer_0/torch.nn.modules.linear"


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("/encoder/words/Gather", "embeddings"),
        ("/encoder/layers.0/attention/packed/MatMul", "layers.0.attention"),
        ("/encoder/layers.0/output/MatMul", "layers.0.attention"),
        ("/encoder/layers.11/down/MatMul", "layers.11.ffn"),
        ("/head/pooler/MatMul", "pooler"),
        ("/model/electra/encoder/layer.1/attention/output/dense/MatMul", "layers.1.attention"),
        ("/model/electra/encoder/layer.1/output/dense/MatMul", "layers.1.ffn"),
        ("/model/electra/embeddings_project/MatMul", "embeddings"),
        ("/model/classifier/dense/MatMul", "pooler"),
        ("/model/albert/encoder/albert_layer_groups.0/albert_layers.0/ffn_output/MatMul_1", "layers.0.ffn"),
        ("__module.encoder.words/aten::embedding/Gather", "embeddings"),
        ("__module.encoder.layers.2.output/aten::_convolution/Convolution", "layers.2.attention"),
        ("__module.encoder.layers.2.up/aten::_convolution/Convolution", "layers.2.ffn"),
        ("__module.head.pooler/aten::_convolution/Convolution", "pooler"),
        (f"{TFLITE}.Encoder_encoder/torch.nn.modules.sparse.Embedding_words;1", "embeddings"),
        (f"{LAYER}.Linear_output;3", "layers.0.attention"),
        (f"{LAYER}.Linear_up;12", "layers.0.ffn"),
        (f"{TFLITE}.FirstToken_head/torch.nn.modules.linear.Linear_pooler;2", "pooler"),
    ],
)  # fmt: skip
def test_names_of_every_converter(name: str, group: str) -> None:
    assert group_of(name) == group


def test_groups_go_from_input_to_output() -> None:
    names = ["/head/pooler/MatMul", *(f"/encoder/layers.{n}/{m}/MatMul" for n in (10, 2) for m in ("up", "output"))]
    assert groups_of([*names, "/encoder/words/Gather", names[0]]) == (
        "embeddings", "layers.2.attention", "layers.2.ffn", "layers.10.attention", "layers.10.ffn", "pooler",
    )  # fmt: skip
