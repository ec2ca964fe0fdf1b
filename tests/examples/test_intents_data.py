"""The data of examples/intents: in step with their generator, and split so that a test score means something."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "intents"
SPLITS = ("train", "validation", "test")


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("intents_generate", FOLDER / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


generate = load_generator()
built = generate.build()


def read(split: str) -> list[dict[str, str]]:
    with (FOLDER / f"{split}.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def words(text: str) -> str:
    return " ".join(re.findall(r"[\w'+*]+", text.casefold()))


@pytest.mark.parametrize("split", SPLITS)
def test_file_is_what_the_generator_writes(split: str) -> None:
    assert (FOLDER / f"{split}.jsonl").read_bytes() == generate.render(built[split])


@pytest.mark.parametrize(("split", "at_least"), [("train", 3000), ("validation", 500), ("test", 800)])
def test_size(split: str, at_least: int) -> None:
    assert len(read(split)) >= at_least


def test_the_data_files_stay_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir() if path.suffix in {".jsonl", ".toml"}) < 600_000


@pytest.mark.parametrize("split", SPLITS)
def test_lines_hold_a_text_and_an_intent(split: str) -> None:
    for line in read(split):
        assert set(line) == {"text", "intent"}
        assert line["text"].strip() == line["text"] != ""
        assert not re.search(r"[{}\[\]|%\n]", line["text"]), f"left over from a template: {line['text']}"


def test_every_intent_is_in_every_split_often_enough() -> None:
    counts = {split: Counter(line["intent"] for line in read(split)) for split in SPLITS}
    assert set(counts["train"]) == set(counts["validation"]) == set(counts["test"])
    assert len(counts["train"]) >= 25
    assert "out_of_scope" in counts["train"]
    assert min(counts["train"].values()) >= 80
    assert min(counts["validation"].values()) >= 12
    assert min(counts["test"].values()) >= 20


def test_no_text_comes_twice() -> None:
    counts = Counter(words(line["text"]) for split in SPLITS for line in read(split))
    assert [text for text, count in counts.items() if count > 1] == []


@pytest.mark.parametrize(("one", "other"), [("train", "test"), ("train", "validation"), ("validation", "test")])
def test_no_template_is_shared(one: str, other: str) -> None:
    assert not {line.source for line in built[one]} & {line.source for line in built[other]}


def test_sources_are_the_templates_and_the_handwritten_texts() -> None:
    templates = {template.key for template in generate.load_templates()}
    handwritten = {
        f"{intent}/handwritten/{text}" for intent, texts in generate.load_handwritten().items() for text in texts
    }
    sources = {line.source for lines in built.values() for line in lines}
    assert sources <= templates | handwritten
    assert handwritten <= sources


def test_enough_was_written_by_hand() -> None:
    handwritten = generate.load_handwritten()
    templates = Counter(template.intent for template in generate.load_templates())
    assert sum(map(len, handwritten.values())) >= 300
    assert min(templates.values()) >= 14
    assert set(templates) == set(handwritten)


def test_no_template_is_written_twice() -> None:
    counts = Counter(words(template.pattern) for template in generate.load_templates())
    assert [pattern for pattern, count in counts.items() if count > 1] == []


def test_every_slot_is_used_and_known() -> None:
    slots = generate.load_lexicon().slots
    texts = [template.pattern for template in generate.load_templates()]
    texts += [value for values in slots.values() if isinstance(values, list) for value in values]
    assert {slot for text in texts for slot in re.findall(r"\{(\w+)\}", text)} == set(slots)


def test_some_slot_values_are_kept_out_of_training() -> None:
    lexicon = generate.load_lexicon()
    assert set(lexicon.values("city", training=True)) < set(lexicon.values("city", training=False))


def test_check_tells_stale_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "HERE", tmp_path)
    monkeypatch.setattr(generate, "build", lambda: built)
    assert generate.main(["--check"]) == 1
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    with (tmp_path / "test.jsonl").open("a", encoding="utf-8") as file:
        file.write("{}\n")
    capsys.readouterr()
    assert generate.main(["--check"]) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("test.jsonl: out of step")


@pytest.mark.parametrize(
    ("number", "spelled"),
    [
        (0, "zero"),
        (13, "thirteen"),
        (40, "forty"),
        (21, "twenty one"),
        (100, "one hundred"),
        (342, "three hundred forty two"),
    ],
)
def test_spell(number: int, spelled: str) -> None:
    assert generate.spell(number) == spelled


def test_fill_expands_options_choices_and_different_values_for_a_slot() -> None:
    lexicon = generate.Lexicon(slots={"pet": ["cat", "dog"]}, wrappers={}, shorthand={})
    pattern = "feed [both] the {pet} (and|or) the {pet}"
    filled = {generate.fill(pattern, lexicon, generate.Dice(str(n)), training=False) for n in range(60)}
    assert filled == {
        f"feed {both}the {first} {join} the {second}"
        for both in ("", "both ")
        for join in ("and", "or")
        for first, second in (("cat", "dog"), ("dog", "cat"))
    }


def test_a_slip_changes_one_spot_and_never_the_first_letter_of_a_word() -> None:
    for n in range(200):
        slipped = generate.slip("kitchen lights", generate.Dice("slip", str(n)))
        assert slipped[0] == "k" and " l" in slipped
        assert abs(len(slipped) - len("kitchen lights")) <= 1


def test_held_out_templates_are_written_in_words_known_from_training() -> None:
    known: dict[str, set[str]] = {}
    for line in built["train"]:
        known.setdefault(line.intent, set()).update(generate._words(line.source.split("/", 2)[2]))
    held_out = {line.source: line.intent for line in built["validation"] + built["test"]}
    templates = {source for source in held_out if "/handwritten/" not in source}
    unknown = {s for s in templates if not generate._words(s.split("/", 2)[2]) <= known[held_out[s]]}
    assert len(unknown) < 0.05 * len(templates), sorted(unknown)[:10]
