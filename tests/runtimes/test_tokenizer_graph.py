"""Tokenizers as graphs: the ids of `tokenizers`, or no artifact."""

from __future__ import annotations

import json
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import unicode_texts
from click.testing import CliRunner
from tiny_tasks import TASKS

from edgebert import artifact as artifacts
from edgebert import exporting
from edgebert.artifact import Artifact
from edgebert.cli import main
from edgebert.errors import ArtifactError, EdgebertError, ExportError, MissingExtra, UsageError
from edgebert.export import __main__ as child
from edgebert.export import hard_texts, tokenizer_graph, tokenizer_onnx, tokenizer_openvino, tokenizer_text
from edgebert.model import Model
from edgebert.recipe import parse_recipe
from edgebert.schemas import manifest_schema
from edgebert.tasks import Task

WRITERS = {"onnx": tokenizer_onnx, "openvino": tokenizer_openvino}
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
SINGLE, PAIR = TASKS["single-label"], TASKS["pair"]

#: Two marks that `strip_accents` leaves, and that Unicode has in the other order: `tokenizers` turns them around, no
#: graph does. It matters to a vocabulary alone that has both.
TURNED = "a\u302e\U0001d165"

Exporting = Callable[..., Artifact]


@pytest.fixture
def export(
    tiny: Callable[..., Path],
    calibration: Callable[[Task], Path],
    job: Callable[..., dict[str, Any]],
    tmp_path: Path,
) -> Exporting:
    """`export("onnx-fp32", "all")`: a tiny model with its tokenizer's graph, by what the child process runs."""

    def make(
        name: str, mode: str, task: Task = SINGLE, model: Path | None = None, texts: Path | None = None
    ) -> Artifact:
        body = job(model or tiny("bert", task), name, texts or calibration(task), tmp_path / name, task)
        (tmp_path / "work" / "out").mkdir(parents=True)
        return child.export(body | {"tokenizer_in_graph": mode}, tmp_path / "work" / "out")

    return make


@pytest.fixture
def odd_model(tiny: Callable[..., Path], tmp_path: Path) -> Path:
    """The tiny model with a vocabulary in which the order of `TURNED` matters."""
    folder = Path(shutil.copytree(tiny("bert"), tmp_path / "odd"))
    content = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    vocabulary = content["model"]["vocab"]
    for piece in ("##\u302e", "##\U0001d165", "a"):
        vocabulary.setdefault(piece, max(vocabulary.values()) + 1)
    (folder / "tokenizer.json").write_text(json.dumps(content), "utf-8")
    return folder


def compare(
    format: str, model: Path, folder: Path, asked: list[tuple[str, ...]], task: Task = SINGLE, longest: int = 64
) -> list[tokenizer_graph.Difference]:
    """Differences of a graph that is made of a model's tokenizer."""
    rules = tokenizer_text.read_rules(model / "tokenizer.json")
    files = WRITERS[format].write(rules, INPUTS, pair=task.segments, max_length=longest, folder=folder)
    run = WRITERS[format].open_graph(folder / files[0])
    return tokenizer_graph.differences(run, model, task, longest, INPUTS, asked)


@pytest.mark.parametrize("format", WRITERS)
def test_ids_of_real_texts_are_those_of_tokenizers(format: str, shared: Path, tmp_path: Path) -> None:
    texts = random.Random(5).sample(unicode_texts.corpus(shared), 1_500)
    model = shared / "models/minilm-clinc150"
    assert not compare(format, model, tmp_path, [(text,) for text in texts if text.strip()])
    pairs = list(zip(texts[:200], texts[200:400], strict=True))
    assert not compare(format, model, tmp_path, pairs, PAIR, 32)


@pytest.mark.slow
@pytest.mark.parametrize("format", WRITERS)
def test_ids_of_every_text_are_those_of_tokenizers(format: str, shared: Path, tmp_path: Path) -> None:
    texts = [*unicode_texts.all_texts(), *unicode_texts.corpus(shared), *unicode_texts.megabytes().values()]
    asked = [(text,) for text in texts if text.strip()]
    assert len(asked) > 60_000
    assert not compare(format, shared / "models/minilm-clinc150", tmp_path, asked, longest=512)


@pytest.mark.parametrize("format", WRITERS)
def test_pairs_are_cut_as_tokenizers_cuts_them(format: str, tiny: Callable[..., Path], tmp_path: Path) -> None:
    words = [" ".join(["rain"] * count) for count in range(1, 14)]
    pairs = [(first, second) for first in words for second in words]
    for longest in (8, 9):
        assert not compare(format, tiny("bert", PAIR), tmp_path, pairs, PAIR, longest)


@pytest.mark.parametrize("format", WRITERS)
def test_a_cased_tokenizer_keeps_case_and_accents(format: str, tiny: Callable[..., Path], tmp_path: Path) -> None:
    model = Path(shutil.copytree(tiny("bert"), tmp_path / "cased"))
    content = json.loads((model / "tokenizer.json").read_text("utf-8"))
    content["normalizer"] |= {"lowercase": False, "strip_accents": False, "handle_chinese_chars": False}
    for piece in ("Rain", "é", "東", "##京", "I\u0307"):
        content["model"]["vocab"].setdefault(piece, max(content["model"]["vocab"].values()) + 1)
    (model / "tokenizer.json").write_text(json.dumps(content), "utf-8")
    texts = [*hard_texts.texts(["[MASK]"])[::9], "Rain rain é e\u0301 東京 İ I\u0307"]
    assert not compare(format, model, tmp_path, [(text,) for text in texts])


@pytest.mark.parametrize(("name", "task"), [("onnx-fp32", PAIR), ("openvino-fp32", SINGLE)])
def test_an_artifact_with_its_tokenizer_is_checked_on_hard_texts(name: str, task: Task, export: Exporting) -> None:
    made = export(name, "all", task)
    told = made.manifest.tokenizer_graph
    assert told["checked"]["mode"] == "all" and told["checked"]["hard_texts"] > 10_000
    assert told["differs"] == [] and told["checked"]["hard_texts_that_differ"] == 0
    library = exporting.TOKENIZER_LIBRARIES[made.manifest.format]
    assert told["library"] == f"{library} {made.manifest.tools[library]}"
    assert set(told["files"]) <= set(made.manifest.files)
    with Model.load(made.path) as model:
        assert model.predict(("rain", "song") if task.segments else "rain").label
    graph = made.path / told["files"][0]
    graph.write_bytes(graph.read_bytes()[:-1] + b"\0")
    with pytest.raises(ArtifactError, match=f"{graph.name} is damaged"):
        artifacts.load(made.path)


def test_all_refuses_what_data_tells_in_the_manifest(odd_model: Path, export: Exporting, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"extensions .* other ids for .*1d165.* expected, .* found") as caught:
        export("onnx-fp32", "all", model=odd_model)
    assert "`data`" in caught.value.hint and not (tmp_path / "onnx-fp32").exists()
    shutil.rmtree(tmp_path / "work")
    told = export("onnx-fp32", "data", model=odd_model).manifest.tokenizer_graph
    assert told["checked"]["hard_texts_that_differ"] == len(told["differs"]) > 0
    assert any(TURNED in text for (text,) in told["differs"])


def test_data_refuses_what_differs_on_the_users_own_texts(odd_model: Path, export: Exporting, tmp_path: Path) -> None:
    texts = tmp_path / "texts.jsonl"
    texts.write_text(json.dumps({"text": f"the {TURNED} now", "label": "music"}) + "\n", "utf-8")
    with pytest.raises(ExportError, match=r"openvino-tokenizers .* other ids for .*1d165") as caught:
        export("openvino-fp32", "data", model=odd_model, texts=texts)
    assert "without-edgebert" in caught.value.hint and not (tmp_path / "openvino-fp32").exists()


def test_two_exports_give_the_same_bytes(tiny: Callable[..., Path], tmp_path: Path) -> None:
    rules = tokenizer_text.read_rules(tiny("bert") / "tokenizer.json")
    for writer in WRITERS.values():
        made = []
        for folder in (tmp_path / "a", tmp_path / "b"):
            folder.mkdir(exist_ok=True)
            files = writer.write(rules, INPUTS, pair=True, max_length=16, folder=folder)
            made.append([(folder / name).read_bytes() for name in files])
        assert made[0] == made[1]


@pytest.mark.parametrize("format", WRITERS)
def test_callers_find_inputs_and_outputs_by_name(format: str, tiny: Callable[..., Path], tmp_path: Path) -> None:
    rules = tokenizer_text.read_rules(tiny("bert") / "tokenizer.json")
    file, *_ = WRITERS[format].write(rules, INPUTS[:2], pair=True, max_length=16, folder=tmp_path)
    if format == "onnx":
        import onnx

        graph = onnx.load(tmp_path / file).graph
        found = [item.name for item in graph.input], [item.name for item in graph.output]
    else:
        import openvino

        core = openvino.Core()
        core.add_extension(str(tokenizer_openvino.library()))
        model = core.read_model(tmp_path / file)
        found = [port.get_any_name() for port in model.inputs], [port.get_any_name() for port in model.outputs]
    assert found == (["text", "text_pair"], list(INPUTS[:2]))


def test_other_tokenizers_are_refused_by_name(tiny: Callable[..., Path], tmp_path: Path) -> None:
    content = json.loads((tiny("bert") / "tokenizer.json").read_text("utf-8"))
    for change, said in (
        ({"pre_tokenizer": {"type": "ByteLevel"}}, "ByteLevel"),
        ({"normalizer": content["normalizer"] | {"clean_text": False}}, "clean_text"),
    ):
        (tmp_path / "tokenizer.json").write_text(json.dumps(content | change), "utf-8")
        with pytest.raises(ExportError, match=said):
            tokenizer_text.read_rules(tmp_path / "tokenizer.json")


@pytest.mark.parametrize(
    ("name", "task", "said"),
    [
        ("tflite-int8", SINGLE, "tflite-int8 has no operators"),
        ("onnx-int8-ort", SINGLE, "onnx-int8-ort has no operators"),
        ("onnx-int8", TASKS["tokens"], "places in the text"),
        ("openvino-int8", TASKS["answers"], "places in the text"),
    ],
)
def test_what_can_have_none_is_refused_at_once(name: str, task: Task, said: str, tmp_path: Path) -> None:
    format, _, precision = name.partition("-")
    with pytest.raises(UsageError, match=said):
        exporting.export_artifact(
            tmp_path, task=task.name, format=format, precision=precision, lengths=(16,), calibration=tmp_path / "none",
            target=tmp_path / "a", log=tmp_path / "log", tokenizer_in_graph="all",
        )  # fmt: skip
    assert not any(tmp_path.iterdir())


def test_data_without_texts_is_refused_at_once(tiny: Callable[..., Path], tmp_path: Path) -> None:
    command = ["export", str(tiny("bert")), "--format", "onnx", "--precision", "fp32", "--tokenizer-in-graph", "data"]
    done = CliRunner().invoke(main, [*command, "-o", str(tmp_path / "a")])
    assert done.exit_code == UsageError.exit_code and "--calibrate" in done.stderr
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("format", WRITERS)
def test_without_the_library_it_says_what_to_install(format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    library = exporting.TOKENIZER_LIBRARIES[format]
    monkeypatch.setitem(sys.modules, library.replace("-", "_"), None)  # as if it were not there
    with pytest.raises(MissingExtra, match=library) as caught:
        exporting.check_tokenizer(format, "int8", SINGLE)
    assert "edgebert[tokenizer-graph]" in caught.value.hint
    with pytest.raises(MissingExtra, match=library):
        WRITERS[format].library()


def test_a_recipe_asks_for_it_where_an_export_can_have_it() -> None:
    recipe = "task: text-classification\nteacher: hub/name\ndata: {train: {path: a.jsonl}, test: {path: b.jsonl}}\n"
    assert parse_recipe(recipe).tokenizer_in_graph is None
    assert parse_recipe(f"{recipe}tokenizer_in_graph: data\n").tokenizer_in_graph == "data"
    for wrong, said in (
        ("tokenizer_in_graph: some", "known: all, data"),
        ("tokenizer_in_graph: all\nexport: [tflite-int8, onnx-int8-ort]", "none of the exports"),
    ):
        with pytest.raises(EdgebertError, match=said):
            parse_recipe(f"{recipe}{wrong}\n")


def test_artifacts_without_one_have_no_such_key(tiny_artifact: Artifact) -> None:
    assert "tokenizer_graph" not in json.loads((tiny_artifact.path / "manifest.json").read_text("utf-8"))
    schema = manifest_schema()
    assert "tokenizer_graph" in schema["properties"] and "tokenizer_graph" not in schema["required"]
