"""A bad recipe in, the exact error out."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebert.errors import RecipeError
from edgebert.recipe import load_recipe, parse_recipe

SMALL = """\
task: text-classification
teacher: owner/name
data:
  train: {path: train.jsonl}
  test: {path: test.jsonl}
"""


def refused(text: str) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, name="r.yaml")
    assert caught.value.exit_code == 2
    return caught.value


# What is added to a good recipe (its line 6), what is said about r.yaml, and the start of the hint.
ADDED = [
    ("distil: {}", "6: distil: unknown key; did you mean 'distill'?", "keys of a recipe: task, options, teacher,"),
    ("distill: {epoch: 3}", "6: distill.epoch: unknown key; did you mean 'epochs'?", "keys of distill: "),
    ("epochs: 3", "6: epochs: unknown key; it belongs in teacher or distill", "keys of a recipe: "),
    ("launches: 3", "6: launches: unknown key; it belongs in measure", ""),
    ("zzz: 3", "6: zzz: unknown key", "keys of a recipe: "),
    ("distill: {epochs: '3'}", "6: distill.epochs: expected a whole number, found the text '3'", "write the num"),
    ("distill: {epochs: 3.0}", "6: distill.epochs: expected a whole number, found the number 3.0", ""),
    ("distill: {epochs: true}", "6: distill.epochs: expected a whole number, found true, which YAML reads as true", ""),
    ("distill: {epochs: -1}", "6: distill.epochs: must be at least 0, found -1", ""),
    ("distill: {seed: 010}", "6: distill.seed: expected a whole number, found the text '010'", ""),
    ("distill:\n  noise: 1.5", "7: distill.noise: must be at most 1, found 1.5", "a fraction of 1: write 0.015"),
    ("distill: {lr: .inf}", "6: distill.lr: expected a finite number, found the number .inf", ""),
    (
        "distill: {losses: {logit: 1}}",
        "6: distill.losses.logit: unknown loss 'logit'; did you mean 'logits'?",
        "known: ",
    ),
    ("distill: {losses: {label: 0}}", "6: distill.losses: at least one loss needs a weight above 0", ""),
    ("distill: {losses: [label]}", "6: distill.losses: expected a mapping (key: value), found a list", ""),
    ("distill: {augment: {}}", "6: distill.augment: needs words, typos or pieces", "such as augment: {typos: 0.1"),
    ("distill: {augment: {typo: 0.1}}", "6: distill.augment.typo: unknown key; did you mean 'typos'?", "keys of "),
    ("distill:\n  augment:\n    words: 2", "8: distill.augment.words: must be at most 1, found 2", ""),
    ("distill: {augment: 0.1}", "6: distill.augment: expected a mapping (key: value), found the number 0.1", ""),
    (
        "distill: {augment: {typos: 0.1, model: owner/mlm}}",
        "6: distill.augment: model is what words are taken from, and words is 0",
        "add words: 0.2",
    ),
    ("distill: 4", "6: distill: expected a mapping (key: value), found the number 4", ""),
    ("distill:", "6: distill: expected a mapping (key: value), found nothing", ""),
    ("labels: [no, ok]", "6: labels[0]: expected text, found no, which YAML reads as false", 'write "no", in quotes'),
    ("labels: [a, 1.0]", "6: labels[1]: expected text, found the number 1.0", 'write "1.0", in quotes'),
    ("labels:\n- a\n-\n", "8: labels[1]: expected text, found nothing", ""),
    ("labels: [a, a]", "6: labels: 'a' is given twice", ""),
    ("labels: [a]", "6: labels: needs at least 2 entries, found 1", ""),
    ("labels: [a, '']", "6: labels[1]: a label must not be empty", ""),
    ("lengths: [16, 16]", "6: lengths: lengths must rise strictly, and 16 follows 16", ""),
    ("lengths: [4, 16]", "6: lengths[0]: must be at least 8, found 4", ""),
    ("lengths: [16, 1024]", "6: lengths[1]: must be at most 512, found 1024", ""),
    ("lengths: []", "6: lengths: must not be empty", ""),
    ("lengths: 64", "6: lengths: expected a list, found the number 64", ""),
    (
        "student: {config: {hidden_act: [relu]}}",
        "6: student.config.hidden_act: a setting is text, a number, true or false",
        "",
    ),
    ("student: {layers: 0}", "6: student.layers: must be at least 1, found 0", ""),
    ("student: {layers: [2, 1]}", "6: student.layers: layers must rise strictly, and 1 follows 2", ""),
    ("student: {layers: all}", "6: student.layers: the text 'all' is not known here", "known: half"),
    (
        "student: {vocabulary: prun}",
        "6: student.vocabulary: the text 'prun' is not known here; did you mean 'prune'?",
        "",
    ),
    ("export: [onnx-int9]", "6: export[0]: unknown export 'onnx-int9'; did you mean 'onnx-int8'?", "known: onnx-fp32,"),
    ("export: [onnx]", "6: export[0]: unknown export 'onnx'; did you mean 'onnx-int8'?", ""),
    ("export:\n- onnx-int8\n- onnx-int8", "6: export: 'onnx-int8' is given twice", ""),
    ("export: onnx-int8", "6: export: expected a list, found the text 'onnx-int8'", ""),
    ("devices: [loacl]", "6: devices[0]: unknown device 'loacl'; did you mean 'local'?", "known: "),
    ("devices: [ssh]", "6: devices[0]: 'ssh' lacks a host after 'ssh:'", "devices: local, local:PYTHON"),
    ("devices: ['local:']", "6: devices[0]: 'local:' lacks an interpreter after 'local:'", ""),
    ("devices: ['ssh:-oX=y']", "6: devices[0]: '-oX=y' cannot be the name of a device", ""),
    ("measure: {launches: 0}", "6: measure.launches: must be at least 1, found 0", ""),
    (
        "gates: {min_metric: 95}",
        "6: gates.min_metric: must be at most 1, found 95",
        "a fraction of 1: write 0.95 for 95 %",
    ),
    ("gates: {max_size_mb: 0}", "6: gates.max_size_mb: must be more than 0, found 0", ""),
    ("gates: {max_p90_ms: {loacl: 5}}", "6: gates.max_p90_ms.loacl: unknown device 'loacl'; did you mean 'local'?", ""),
    ("gates:\n  max_p90_ms:\n    local: 0", "8: gates.max_p90_ms.local: must be more than 0, found 0", ""),
    ("gates: {max_p90: 3}", "6: gates.max_p90: unknown key; did you mean 'max_p90_ms'?", ""),
    ("task: text-classification", "6: task: given twice, first on line 1", "remove one of the two"),
    ("no: 1", "6: a key must be text, and YAML reads no as something else", 'write "no" in quotes'),
    ("<<: {a: b}", "6: merge keys (<<) are not supported", ""),
    (
        "labels: !!python/object/apply:os.system ['true']",
        "6: labels: the YAML tag tag:yaml.org,2002:python/object/apply:os.system is not allowed",
        "",
    ),
    ("distill: {seed: !!int four}", "6: distill.seed: 'four' is not of the type tag:yaml.org,2002:int", ""),
    (
        "labels: [a\n",
        "7: YAML syntax: expected ',' or ']', but got '<stream end>'"
        " (while parsing a flow sequence that starts on line 6)",
        "check the indentation",
    ),
    ("labels: a: b", "6: YAML syntax: a colon where none can stand", "put text that holds"),
    ("gates:\n\tmin_metric: 1", "7: YAML syntax: a tab where YAML wants spaces", "indent with spaces"),
    ("---\na: b", "6: YAML syntax: a second YAML document", "a recipe is one document"),
    ("labels: [a, '\x07']", "6: a control character (U+0007)", "remove it"),
]


@pytest.mark.parametrize(("added", "message", "hint"), ADDED, ids=[case[0][:40] for case in ADDED])
def test_one_error(added: str, message: str, hint: str) -> None:
    error = refused(SMALL + added)
    assert error.message == f"r.yaml:{message}"
    assert error.hint.startswith(hint) and error.hint


# What is written in the place of something in a good recipe.
CHANGED = [
    (
        "task: text-classification",
        "task: text-clasification",
        "1: task: unknown task 'text-clasification'; did you mean 'text-classification'?",
    ),
    ("task: text-classification\n", "", "1: task: is missing"),
    ("  test: {path: test.jsonl}\n", "", "3: data.test: is missing"),
    ("{path: test.jsonl}", "{text: a}", "5: data.test.path: is missing"),
    ("{path: test.jsonl}", "test.jsonl", "5: data.test: expected a mapping (key: value), found the text 'test.jsonl'"),
    ("test.jsonl", "test.xml", "5: data.test: the suffix '.xml' of 'test.xml' does not say how the file is written"),
    ("test.jsonl", "test", "5: data.test: 'test', without a suffix, does not say how the file is written"),
    (
        "test.jsonl}",
        "test.jsonl, format: csvs}",
        "5: data.test.format: the text 'csvs' is not known here; did you mean 'csv'?",
    ),
    ("test.jsonl}", "test.jsonl, encoding: utf8000}", "5: data.test.encoding: unknown encoding 'utf8000'"),
    ("test.jsonl}", "test.jsonl, encoding: base64}", "5: data.test.encoding: unknown encoding 'base64'"),
    ("test.jsonl}", "test.jsonl, label: no}", "5: data.test.label: expected text, found no, which YAML reads as false"),
    ("test.jsonl}", "test.jsonl, label: text}", "5: data.test: text and label cannot both be the column 'text'"),
    ("owner/name", "3", "2: teacher: expected text, found the number 3"),
    ("owner/name", "", "2: teacher: expected text, found nothing"),
    ("owner/name", "''", "2: teacher: must not be empty"),
    ("owner/name", "{epochs: 2}", "2: teacher: needs either base or scratch"),
    ("owner/name", "{base: a, scratch: {}}", "2: teacher: needs either base or scratch"),
    ("owner/name", "{base: a, epoch: 2}", "2: teacher.epoch: unknown key; did you mean 'epochs'?"),
    ("owner/name", "\n  scratch: {heads: 3}", "3: teacher.scratch: hidden_size 128 is not a multiple of heads 3"),
    ("owner/name", "\n  scratch: {head: 4}", "3: teacher.scratch.head: unknown key; did you mean 'heads'?"),
]


@pytest.mark.parametrize(("old", "new", "message"), CHANGED)
def test_one_change(old: str, new: str, message: str) -> None:
    assert refused(SMALL.replace(old, new)).message == f"r.yaml:{message}"


def test_all_errors_come_at_once_in_the_order_of_the_file() -> None:
    error = refused(
        """\
task: text-clasification
teachr: owner/name
data:
  train: {path: train.jsonl, lable: intent}
  train: {path: again.jsonl}
labels: [yes, 2]
distill:
  epochs: many
  losses: {logit: 1}
gates: {min_metric: 95}
"""
    )
    assert error.message.splitlines() == [
        "r.yaml:1: task: unknown task 'text-clasification'; did you mean 'text-classification'?",
        "r.yaml:1: teacher: is missing",
        "r.yaml:2: teachr: unknown key; did you mean 'teacher'?",
        "r.yaml:3: data.test: is missing",
        "r.yaml:4: data.train.lable: unknown key; did you mean 'label'?",
        "r.yaml:5: data.train: given twice, first on line 4",
        "r.yaml:6: labels[0]: expected text, found yes, which YAML reads as true",
        "r.yaml:6: labels[1]: expected text, found the number 2",
        "r.yaml:8: distill.epochs: expected a whole number, found the text 'many'",
        "r.yaml:9: distill.losses.logit: unknown loss 'logit'; did you mean 'logits'?",
        "r.yaml:10: gates.min_metric: must be at most 1, found 95",
    ]
    assert error.hint == "11 things to mend; `edgebert schema recipe` describes every key"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "r.yaml:1: the recipe is empty"),
        ("# only a comment\n", "r.yaml:1: the recipe is empty"),
        ("- a\n- b\n", "r.yaml:1: a recipe is a mapping (key: value)"),
        ("just words", "r.yaml:1: a recipe is a mapping (key: value)"),
        ("a: &x [*x]", "r.yaml:1: a[0]: nested or repeated too often for a recipe"),
        ("a: " + "[" * 2000, "r.yaml:1: this is no readable YAML"),
    ],
)
def test_no_recipe_at_all(text: str, message: str) -> None:
    assert message in refused(text).message.splitlines()


def test_a_billion_laughs_are_not_laughed() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 20))
    assert "nested or repeated too often" in refused(bomb).message


def test_files_that_are_no_recipe(tmp_path: Path) -> None:
    def told(path: Path) -> str:
        with pytest.raises(RecipeError) as caught:
            load_recipe(path)
        assert caught.value.hint
        return caught.value.message.replace(str(tmp_path), "DIR")

    assert told(tmp_path / "absent.yaml") == "DIR/absent.yaml: no such file"
    assert told(tmp_path) == "DIR: this is a folder, not a recipe"
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"task: text-classification\nteacher: caf\xe9\n")
    assert told(latin) == "DIR/latin.yaml:2: byte 0xe9 at offset 38 is not UTF-8"
    huge = tmp_path / "huge.yaml"
    huge.write_bytes(b"#" * 1_000_001)
    assert told(huge) == "DIR/huge.yaml: larger than a recipe can be (1000000 bytes)"


def test_files_that_a_recipe_names_must_be_there(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    text = SMALL.replace("owner/name", "./teacher").replace("test.jsonl", "folder.jsonl")
    path.write_text(text + "distill: {augment: {words: 0.1, model: ./mlm}}\n")
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert caught.value.message.replace(str(tmp_path), "DIR").splitlines() == [
        "DIR/r.yaml:2: teacher: no such folder: DIR/teacher",
        "DIR/r.yaml:4: data.train.path: no such file: DIR/train.jsonl",
        "DIR/r.yaml:5: data.test.path: is a folder",
        "DIR/r.yaml:6: distill.augment.model: no such folder: DIR/mlm",
    ]
    load_recipe(path, check_files=False)


_PIECES = st.sampled_from(
    [*"{}[]:,-#&*!|>'\"%@` \n\t", "\n  ", ": ", "- ", "<<", "no", "1e3", "~", "distill", "teacher", "data", "é", "\x00"]
)


@settings(deadline=None, max_examples=200)
@given(st.lists(_PIECES, max_size=40).map("".join), st.booleans())
def test_any_text_is_a_recipe_or_a_recipe_error(text: str, appended: bool) -> None:
    try:
        parse_recipe(SMALL + text if appended else text)
    except RecipeError as error:
        assert error.message and error.hint
