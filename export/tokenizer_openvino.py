"""A tokenizer as an OpenVINO graph: text in, token ids out, by the operators of openvino-tokenizers.

Its converter is not used: it takes classes of characters from PCRE2 and folds case, both of other Unicode releases
and rules than `tokenizers`, and counts a word's bytes where BERT counts characters. The same operators with every
character spelled out give the ids of `tokenizers`. What becomes of each character is one map, in the form that
SentencePiece has for such maps (a trie of `darts`) and that its trainer writes.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from edgebert import unicode_tables as tables
from edgebert.errors import ExportError, require

from .tokenizer_text import GONE, PRIVATE, STAND_INS, Rules, missing, pattern, quoted

FILES = ("tokenizer.xml", "tokenizer.bin")
LIBRARY = "lib/libopenvino_tokenizers.so"


def library() -> Path:
    """The shared library with the operators.

    Found and not imported: the package would add itself to every `openvino.Core` of the process.

    Raises:
        MissingExtra: the package is not installed.
    """
    spec = find_spec("openvino_tokenizers")
    if spec is None or spec.origin is None:
        raise missing("openvino-tokenizers")
    return Path(spec.origin).parent / LIBRARY


def open_graph(path: Path) -> Callable[[Sequence[str]], dict[str, list[int]]]:
    """The graph in OpenVINO, as any caller would load it: texts to its outputs by name."""
    openvino = require("openvino", "openvino")
    core = openvino.Core()
    core.add_extension(str(library()))
    compiled = core.compile_model(str(path), "CPU", {"INFERENCE_NUM_THREADS": 1})
    request = compiled.create_infer_request()
    names = [output.get_any_name() for output in compiled.outputs]

    def run(texts: Sequence[str]) -> dict[str, list[int]]:
        found = request.infer([openvino.Tensor(np.array([text])) for text in texts])
        return {name: found[name][0].tolist() for name in names}

    return run


class _Graph:
    """Makes nodes of the extension and of OpenVINO's own operators."""

    def __init__(self) -> None:
        require("openvino", "openvino")
        import openvino.opset15 as operators
        from openvino.utils.node_factory import NodeFactory

        self.own = operators
        self._factory = NodeFactory()
        try:
            self._factory.add_extension(str(library()))
        except RuntimeError as error:
            raise ExportError(
                f"openvino-tokenizers does not fit this openvino: {str(error).strip()[:200]}",
                "install both in one version: pip install -U openvino openvino-tokenizers",
            ) from error

    def custom(self, operator: str, inputs: Sequence[Any], **attributes: Any) -> list[Any]:
        """The outputs of an operator of the extension."""
        return list(self._factory.create(operator, list(inputs), attributes).outputs())

    def strings(self, *values: str) -> list[Any]:
        """A constant of strings as begins, ends and bytes."""
        encoded = [value.encode() for value in values]
        ends = np.cumsum([len(value) for value in encoded], dtype=np.int32)
        begins = np.concatenate([np.zeros(1, np.int32), ends[:-1]])
        data = np.frombuffer(b"".join(encoded) or b"\0", np.uint8)
        return [self.own.constant(array).output(0) for array in (begins, ends, data)]

    def whole(self, *values: int, kind: Any = np.int64) -> Any:
        """Integers as a vector."""
        return self.own.constant(np.array(values, kind))

    def replace(self, text: Sequence[Any], pattern: str, by: str) -> list[Any]:
        """Every match in strings; `$1` stands for a group."""
        given = [*text, self._text(pattern), self._text(by)]
        return self.custom("RegexNormalization", given, global_replace=True)

    def split(self, text: Sequence[Any], pattern: str) -> list[Any]:
        """Ragged strings without the matches, which divide them."""
        given = [*text, self._text(pattern)]
        return self.custom("RegexSplit", given, behaviour="remove", invert=False, max_splits=-1)

    def _text(self, value: str) -> Any:
        return self.own.constant(np.frombuffer(value.encode(), np.uint8)).output(0)


def write(rules: Rules, inputs: Sequence[str], *, pair: bool, max_length: int, folder: Path) -> tuple[str, ...]:
    """Write `tokenizer.xml` and `.bin`; returns the names of its files.

    Its inputs are `text` and, with `pair`, `text_pair`, each a string [1]; its outputs are those of `inputs`, int64
    [1, tokens], truncated at `max_length`, not padded.
    """
    openvino = require("openvino", "openvino")
    graph = _Graph()
    own = graph.own
    charsmap = own.constant(np.frombuffer(_charsmap(rules), np.uint8)).output(0)
    texts = ("text", "text_pair") if pair else ("text",)
    parameters = [own.parameter([1], openvino.Type.string) for _ in texts]
    ids = [_ids(graph, rules, charsmap, parameter) for parameter in parameters]
    frame = rules.pair if pair else rules.single
    room = max_length - sum(map(len, frame))
    ids = _longest_first(graph, ids[0], ids[1], room) if pair else [_slice(graph, ids[0], graph.whole(room))]
    parts = [graph.whole(*frame[0])]
    for number, text in enumerate(ids):
        parts += [text, graph.whole(*frame[number + 1])]
    # Of a pair the second text and what follows it have type 1.
    types = [_filled(graph, part, int(index > 2)) for index, part in enumerate(parts)]
    whole = own.concat(parts, 0)
    made = {
        "input_ids": whole,
        "attention_mask": _filled(graph, whole, 1),
        "token_type_ids": own.concat(types, 0),
    }
    results = []
    for name in inputs:
        node = own.unsqueeze(made[name], graph.whole(0))
        node.output(0).tensor.set_names({name})
        results.append(own.result(node))
        results[-1].set_friendly_name(name)
    for name, parameter in zip(texts, parameters, strict=True):
        parameter.set_friendly_name(name)
        parameter.output(0).tensor.set_names({name})
    model = openvino.Model(results, parameters, "edgebert-tokenizer")
    for number, node in enumerate(model.get_ordered_ops()):  # OpenVINO's own names count all nodes of the process
        if node.get_type_name() not in ("Parameter", "Result"):
            node.set_friendly_name(f"{node.get_type_name()}{number}")
    openvino.save_model(model, str(folder / FILES[0]), compress_to_fp16=False)
    return FILES


def _ids(graph: _Graph, rules: Rules, charsmap: Any, text: Any) -> Any:
    """All ids of one text, int64 [pieces], without special tokens around them."""
    own = graph.own
    parts = list(own.string_tensor_unpack(text).outputs())
    parts = graph.replace(parts, pattern({*tables.characters(STAND_INS), "\0"}), GONE)
    for special, stand_in in rules.specials.items():
        parts = graph.replace(parts, quoted(special), f" {stand_in} ")
    parts = graph.replace(parts, pattern(tables.characters(PRIVATE)), "")
    if rules.ideographs:
        parts = graph.replace(parts, f"({pattern(rules.ideographs)})", " $1 ")
    options = {"add_dummy_prefix": False, "remove_extra_whitespaces": False, "escape_whitespaces": False}
    parts = graph.custom("CharsMapNormalization", [*parts, charsmap], normalization_form="", **options)
    # A word that is too long is unknown, and a private character by itself is.
    parts = graph.replace(parts, f"[^ ]{{{rules.longest + 1},}}", GONE)
    rows = [graph.whole(0, kind=np.int32).output(0), graph.whole(1, kind=np.int32).output(0)]
    words = graph.split([*rows, *parts], " +")
    vocabulary = sorted(rules.vocabulary, key=lambda piece: rules.vocabulary[piece])
    unknown = own.constant(np.int32(vocabulary.index(rules.unknown))).output(0)
    found = graph.custom(
        "WordpieceTokenizer", [*words[:5], *graph.strings(*vocabulary), unknown],
        suffix_indicator=rules.prefix, max_bytes_per_word=4 * rules.longest,
    )  # fmt: skip
    numbers = graph.whole(*(rules.vocabulary[piece] for piece in vocabulary))
    return own.gather(numbers, found[2], graph.whole(0))


def _longest_first(graph: _Graph, first: Any, second: Any, room: int) -> list[Any]:
    """As `tokenizers` shares `room` among two: the longer one gives way first, the second where both are long."""
    own = graph.own
    sizes = [own.shape_of(text) for text in (first, second)]
    short = own.minimum(own.minimum(*sizes), graph.whole(room // 2))
    # The one that is kept short keeps at most half; the other has what is left, at least the larger half.
    long = own.maximum(own.subtract(graph.whole(room), short), graph.whole(room - room // 2))
    fewer = own.less_equal(*sizes)
    return [
        _slice(graph, first, own.select(fewer, short, long)),
        _slice(graph, second, own.select(fewer, long, short)),
    ]


def _slice(graph: _Graph, values: Any, end: Any) -> Any:
    """A vector up to `end`, int64 [1]."""
    return graph.own.slice(values, graph.whole(0), end, graph.whole(1))


def _filled(graph: _Graph, like: Any, value: int) -> Any:
    """A vector as long as another, of one value."""
    return graph.own.broadcast(graph.whole(value), graph.own.shape_of(like))


def _charsmap(rules: Rules) -> bytes:
    """What becomes of each character, as SentencePiece stores it."""
    trainer = require("sentencepiece", "tokenizer-graph").SentencePieceTrainer
    messages = require("sentencepiece.sentencepiece_model_pb2", "tokenizer-graph")
    after = {"letter": "{}", "alone": " {} ", "space": " ", "nothing": ""}
    rows = [(character, after[kind].format(normal)) for character, (kind, normal) in rules.kinds.items()]
    lines = [f"{ord(a):X}\t{' '.join(f'{ord(c):X}' for c in b)}\n" for a, b in sorted(rows) if a not in (b, "\0")]
    written = io.BytesIO()
    with tempfile.NamedTemporaryFile("w", suffix=".tsv", encoding="utf-8") as table:
        table.writelines(lines)
        table.flush()
        # Of the model that is trained nothing is used but its map.
        trainer.train(
            sentence_iterator=iter(["a b c"] * 8), model_writer=written, model_type="char", vocab_size=8,
            hard_vocab_limit=False, normalization_rule_tsv=table.name, minloglevel=2,
        )  # fmt: skip
    model = messages.ModelProto()
    model.ParseFromString(written.getvalue())
    return bytes(model.normalizer_spec.precompiled_charsmap)
