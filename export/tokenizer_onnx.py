"""A tokenizer as an ONNX graph: text in, token ids out, by the operators of onnxruntime-extensions.

Its `BertTokenizer` operator is not used: it cuts a word of which a piece is unknown in two ("x☕" becomes x and
[UNK]), takes no special tokens from a text, and does not truncate pairs. The smaller operators (regular expressions,
a map of strings, WordPiece) together with ONNX's own give the ids of `tokenizers`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgebert import unicode_tables as tables
from edgebert.errors import require

from .tokenizer_text import GONE, PRIVATE, STAND_INS, Rules, missing, pattern, quoted

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

FILE = "tokenizer.onnx"
DOMAIN = "ai.onnx.contrib"
NOTHING = "\ue001"  # of a map, where there may be no empty text
OPSET = 20  # StringSplit and StringConcat


class _Graph:
    """Nodes and constants, added one after another."""

    def __init__(self) -> None:
        self.onnx = require("onnx", "host")
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, TensorProto] = {}

    def add(self, operator: str, *inputs: str, outputs: int = 1, domain: str = "", **attributes: Any) -> str:
        """The name of the node's first output; the others end in `.1`, `.2` …."""
        name = f"{operator}{len(self.nodes)}"
        names = [name, *(f"{name}.{number}" for number in range(1, outputs))]
        self.nodes.append(
            self.onnx.helper.make_node(operator, list(inputs), names, name=name, domain=domain, **attributes)
        )
        return name

    def custom(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """An operator of the extensions."""
        return self.add(operator, *inputs, outputs=outputs, domain=DOMAIN, **attributes)

    def constant(self, *values: str | int, scalar: bool = False) -> str:
        """Strings or int64, as a vector or a scalar."""
        name = f"constant{len(self.constants)}"
        strings = isinstance(values[0], str)
        kind = self.onnx.TensorProto.STRING if strings else self.onnx.TensorProto.INT64
        given = [value.encode() if isinstance(value, str) else value for value in values]
        self.constants[name] = self.onnx.helper.make_tensor(name, kind, [] if scalar else [len(given)], given)
        return name

    def replace(self, text: str, pattern: str, by: str) -> str:
        """Every match in a string [1]; `\\1` stands for a group."""
        given = (self.constant(pattern), self.constant(by))
        return self.custom("StringRegexReplace", text, *given, global_replace=1)

    def join(self, texts: str, between: str = "") -> str:
        """Strings [n] to one [1]."""
        return self.custom("StringJoin", texts, self.constant(between), self.constant(0))

    def slice(self, values: str, end: str) -> str:
        """A vector up to `end`, int64 [1]."""
        return self.add("Slice", values, self.constant(0), end, self.constant(0))


def write(rules: Rules, inputs: Sequence[str], *, pair: bool, max_length: int, folder: Path) -> tuple[str, ...]:
    """Write `tokenizer.onnx`; returns the names of its files.

    Its inputs are `text` and, with `pair`, `text_pair`, each a string [1]; its outputs are those of `inputs`, int64
    [1, tokens], truncated at `max_length`, not padded.
    """
    graph = _Graph()
    helper, kinds = graph.onnx.helper, graph.onnx.TensorProto
    texts = ("text", "text_pair") if pair else ("text",)
    ids = [_ids(graph, rules, text) for text in texts]
    frame = rules.pair if pair else rules.single
    room = max_length - sum(map(len, frame))
    ids = _longest_first(graph, ids[0], ids[1], room) if pair else [graph.slice(ids[0], graph.constant(room))]
    parts = [graph.constant(*frame[0])]
    for number, text in enumerate(ids):
        parts += [text, graph.constant(*frame[number + 1])]
    # Of a pair the second text and what follows it have type 1.
    types = [_filled(graph, part, int(index > 2)) for index, part in enumerate(parts)]
    whole = graph.add("Concat", *parts, axis=0)
    made = {
        "input_ids": whole,
        "attention_mask": _filled(graph, whole, 1),
        "token_type_ids": graph.add("Concat", *types, axis=0),
    }
    for name in inputs:
        graph.nodes.append(helper.make_node("Unsqueeze", [made[name], graph.constant(0)], [name], name=name))
    model = helper.make_model(
        helper.make_graph(
            graph.nodes, "edgebert-tokenizer",
            [helper.make_tensor_value_info(name, kinds.STRING, [1]) for name in texts],
            [helper.make_tensor_value_info(name, kinds.INT64, [1, "tokens"]) for name in inputs],
            list(graph.constants.values()),
        ),
        producer_name="edgebert", ir_version=9,
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)],
    )  # fmt: skip
    (folder / FILE).write_bytes(model.SerializeToString(deterministic=True))
    return (FILE,)


def open_graph(path: Path) -> Callable[[Sequence[str]], dict[str, list[int]]]:
    """The graph in ONNX Runtime, as any caller would load it: texts to its outputs by name."""
    runtime = require("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.register_custom_ops_library(str(library()))
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    given, made = ([item.name for item in side] for side in (session.get_inputs(), session.get_outputs()))

    def run(texts: Sequence[str]) -> dict[str, list[int]]:
        arrays = {name: np.array([text], dtype=object) for name, text in zip(given, texts, strict=True)}
        return {name: array[0].tolist() for name, array in zip(made, session.run(made, arrays), strict=True)}

    return run


def library() -> Path:
    """The shared library with the operators; found and not imported, for what is looked for is in the file alone.

    Raises:
        MissingExtra: the package is not installed.
    """
    spec = find_spec("onnxruntime_extensions")
    found = sorted(Path(spec.origin).parent.glob("_extensions_pydll*")) if spec is not None and spec.origin else []
    binaries = [path for path in found if path.suffix in (".so", ".pyd", ".dylib")]
    if not binaries:
        raise missing("onnxruntime-extensions")
    return binaries[0]


def _ids(graph: _Graph, rules: Rules, text: str) -> str:
    """All ids of one text, int64 [pieces], without special tokens around them."""
    # A text ends at a null character for the extensions' operators, not for ONNX Runtime's own.
    parts = graph.add("StringSplit", text, outputs=2, delimiter=b"\0")
    text = graph.join(graph.add("Reshape", parts, graph.constant(-1)), GONE)
    text = graph.replace(text, pattern(tables.characters(STAND_INS)), GONE)
    for special, stand_in in rules.specials.items():
        text = graph.replace(text, quoted(special), f" {stand_in} ")
    text = graph.replace(text, r"[\t\n\r]", " ")  # what stands between the entries of a map
    text = graph.replace(text, pattern(tables.characters(PRIVATE)), "")
    if rules.ideographs:
        text = graph.replace(text, f"({pattern(rules.ideographs)})", r" \1 ")
    # The operators do not bear an empty text: a word is added, and taken away again at the end.
    text = graph.add("StringConcat", text, graph.constant(" ."))
    every = graph.constant("(?s)(.)")
    letters = graph.custom("StringRegexSplitWithOffsets", text, every, every, outputs=4)
    text = graph.join(graph.custom("StringMapping", letters, map=_map(rules)))
    text = graph.replace(text, NOTHING, "")
    words = graph.custom("StringRegexSplitWithOffsets", text, graph.constant("( )"), graph.constant(""), outputs=4)
    return graph.slice(_pieces(graph, rules, words), graph.constant(-1))


def _map(rules: Rules) -> str:
    """What becomes of each character: `CHARACTER TAB TEXT`, a line each; no text may be empty."""
    after = {"letter": "{}", "alone": " {} ", "space": " ", "nothing": NOTHING}
    kinds = ((character, after[kind].format(normal)) for character, (kind, normal) in rules.kinds.items())
    return "\n".join(f"{character}\t{text}" for character, text in kinds if character not in "\t\n\r\0")


def _pieces(graph: _Graph, rules: Rules, words: str) -> str:
    """Ids of words [n]; a word of which a piece is unknown, or that is too long, is the unknown piece alone."""
    zero, one = graph.constant(0, scalar=True), graph.constant(1, scalar=True)
    count = graph.add("Size", words)
    rows = graph.add("Range", zero, graph.add("Add", count, one), one)
    # The operator may count bytes: what is too long by its own measure is, by characters, too.
    pieces = graph.custom(
        "WordpieceTokenizer", words, rows, outputs=4, vocab=json.dumps(rules.vocabulary, ensure_ascii=False),
        suffix_indicator=rules.prefix, unknown_token=rules.unknown, max_input_chars_per_word=4 * rules.longest,
    )  # fmt: skip
    numbers = "\n".join(f"{piece}\t{number}" for piece, number in rules.vocabulary.items())
    ids = graph.add("Cast", graph.custom("StringMapping", pieces, map=numbers), to=graph.onnx.TensorProto.INT64)
    unknown = graph.constant(rules.vocabulary[rules.unknown], scalar=True)
    first = graph.slice(f"{pieces}.1", graph.constant(-1))
    begins = graph.add("ScatterElements", _filled(graph, ids, 0), first, _filled(graph, first, 1), axis=0)
    word = graph.add("Sub", graph.add("CumSum", begins, zero), one)
    lost = graph.add("Cast", graph.add("Equal", ids, unknown), to=graph.onnx.TensorProto.INT64)
    long = graph.add("Greater", graph.custom("StringLength", words), graph.constant(rules.longest, scalar=True))
    lost = graph.add(
        "ScatterElements", graph.add("Cast", long, to=graph.onnx.TensorProto.INT64), word, lost, axis=0, reduction="add"
    )
    bad = graph.add("Greater", graph.add("Gather", lost, word), zero)
    keep = graph.add("Or", graph.add("Not", bad), graph.add("Greater", begins, zero))
    return graph.add("Compress", graph.add("Where", bad, unknown, ids), keep, axis=0)


def _longest_first(graph: _Graph, first: str, second: str, room: int) -> list[str]:
    """As `tokenizers` shares `room` among two: the longer one gives way first, the second where both are long."""
    sizes = [graph.add("Shape", text) for text in (first, second)]
    half, rest, all_ = graph.constant(room // 2), graph.constant(room - room // 2), graph.constant(room)
    short = graph.add("Min", graph.add("Min", *sizes), half)
    # The one that is kept short keeps at most half; the other has what is left, at least the larger half.
    long = graph.add("Max", graph.add("Sub", all_, short), rest)
    fewer = graph.add("LessOrEqual", *sizes)
    return [
        graph.slice(first, graph.add("Where", fewer, short, long)),
        graph.slice(second, graph.add("Where", fewer, long, short)),
    ]


def _filled(graph: _Graph, like: str, value: int) -> str:
    """A vector as long as another, of one value."""
    return graph.add("Expand", graph.constant(value), graph.add("Shape", like))
