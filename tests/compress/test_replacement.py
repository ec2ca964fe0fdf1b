"""Other words: through a masked-LM, through embeddings, through the teacher's own body."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tiny_tasks import LABELS, SINGLE, TASKS, records_for

from edgebert.compress.augment import Augmenter
from edgebert.compress.batches import Examples, encode
from edgebert.compress.folder import load_model
from edgebert.compress.replacement import NEAREST, _ridge, masked_lm, replacer
from edgebert.compress.vocabulary import specials_of, write_tokenizer
from edgebert.compress.words import Lexicon, lexicon
from edgebert.errors import RecipeError
from edgebert.progress import SILENT
from edgebert.recipe import AugmentSpec
from edgebert.teacher import Teacher, inspect

Records = list[dict[str, str]]
KINDS = {
    "bert": {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64, "num_attention_heads": 4},
    "distilbert": {"dim": 32, "n_layers": 2, "hidden_dim": 64, "n_heads": 4},
    "mobilebert": {
        "hidden_size": 32, "embedding_size": 16, "num_hidden_layers": 2, "intermediate_size": 64,
        "num_attention_heads": 4, "true_hidden_size": 16, "intra_bottleneck_size": 16, "num_feedforward_networks": 1,
    },
}  # fmt: skip


def saved_masked_lm(folder: Path, teacher: Teacher, kind: str, liked: list[int], positions: int = 64) -> Path:
    """A masked-LM of random weights that wants some of the pieces everywhere, by the bias of its head."""
    import json

    config = transformers.AutoConfig.for_model(
        kind, vocab_size=teacher.vocabulary, max_position_embeddings=positions, **KINDS[kind]
    )
    torch.manual_seed(3)
    model = transformers.AutoModelForMaskedLM.from_config(config)
    bias = {"bert": "cls.predictions.bias", "mobilebert": "cls.predictions.bias", "distilbert": "vocab_projector.bias"}
    with torch.no_grad():
        model.get_parameter(bias[kind])[liked] = 1000.0
    model.save_pretrained(folder)
    tokenizer = json.loads((teacher.path / "tokenizer.json").read_text("utf-8"))
    write_tokenizer(folder, tokenizer, specials_of(tokenizer), positions)
    return folder


def rows_of(examples: Examples, known: Lexicon) -> tuple[list[list[int]], list[Any]]:
    rows = [row.tolist() for row in examples.ids]
    words = [word for i, row in enumerate(rows) for word in known.words(i, row)]
    return rows, [word for word in words if word.letters.isalpha() and len(word.letters) > 1]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_masked_lm_is_asked_for_words_of_one_piece(
    kind: str, teacher: Teacher, records: Records, tmp_path: Path
) -> None:
    known, examples = lexicon(teacher.path), encode(records, teacher.path, SINGLE, LABELS, 32)
    liked = known.whole_words()[: NEAREST + 1]
    model = masked_lm(saved_masked_lm(tmp_path, teacher, kind, liked))
    found = replacer(model, tmp_path, known, examples, fitted=False, max_length=32, bf16=False)
    rows, words = rows_of(examples, known)
    single = [word for word in words if word.end - word.first == 1]
    others = found(rows, None, single, np.linspace(0, 1, len(single), endpoint=False))
    assert len(single) > 100
    assert all(other != word.letters for other, word in zip(others, single, strict=True))
    assert {known.names[number] for number in liked} == set(others)
    assert others == found(rows, None, single, np.linspace(0, 1, len(single), endpoint=False))


def test_the_model_sees_a_mask_in_the_words_place(teacher: Teacher, records: Records, tmp_path: Path) -> None:
    """Its scores are those of the whole model, read at the masked places of whole texts."""
    task = TASKS["pair"]
    known, examples = lexicon(teacher.path), encode(records_for(task, records), teacher.path, task, LABELS, 32)
    model = masked_lm(saved_masked_lm(tmp_path, teacher, "bert", []))
    found = replacer(model, tmp_path, known, examples, fitted=False, max_length=32, bf16=False)
    rows, words = rows_of(examples, known)
    assert examples.types is not None
    types = [row.tolist() for row in examples.types]
    words = [word for word in words if word.end - word.first == 1][:9]
    for chosen, scores in found._scored(rows, types, words):
        for i, score in zip(chosen, scores, strict=True):
            word = words[i]
            ids = list(rows[word.row])
            for other in words:
                if other.row == word.row:
                    ids[other.first] = known.ids["[MASK]"]
            with torch.inference_mode():
                logits = model(torch.tensor([ids]), token_type_ids=torch.tensor([types[word.row]])).logits
            torch.testing.assert_close(score, logits[0, word.first, found.numbers], rtol=1e-4, atol=1e-5)


def test_words_of_several_pieces_go_by_their_embeddings(teacher: Teacher, records: Records, tmp_path: Path) -> None:
    known = lexicon(teacher.path)
    examples = encode([{"text": "please jumping zebra", "label": "music"}], teacher.path, SINGLE, LABELS, 32)
    folder = saved_masked_lm(tmp_path, teacher, "bert", [])
    model = masked_lm(folder)
    rows, words = rows_of(examples, known)
    [word, *_] = [word for word in words if word.end - word.first > 1]
    near = known.whole_words()[7]
    with torch.no_grad():  # one word has the embedding of the word's pieces, and all others are far
        table = model.get_input_embeddings().weight
        table[known.whole_words()] = -table[rows[0][word.first : word.end]].mean(dim=0)
        table[near] = table[rows[0][word.first : word.end]].mean(dim=0)
    found = replacer(model, folder, known, examples, fitted=False, max_length=32, bf16=False)
    assert found(rows, None, [word], np.zeros(1)) == [known.names[near]]


def test_augmented_words_are_words_and_the_rest_stays(teacher: Teacher, records: Records, tmp_path: Path) -> None:
    known, examples = lexicon(teacher.path), encode(records, teacher.path, SINGLE, LABELS, 32)
    others = replacer(load_model(teacher.path), teacher.path, known, examples, fitted=True, max_length=32, bf16=False)
    made = [
        Augmenter(AugmentSpec(words=0.4), 0, known, SINGLE, LABELS, 32, others).copy(examples, copy, SILENT)
        for copy in (0, 0, 1)
    ]
    before, *after = [[known.words(0, row.tolist()) for row in part.ids] for part in (examples, *made)]
    assert [[w.letters for w in row] for row in after[0]] == [[w.letters for w in row] for row in after[1]]
    assert [[w.letters for w in row] for row in after[0]] != [[w.letters for w in row] for row in after[2]]
    pairs = [pair for one, other in zip(before, after[0], strict=True) for pair in zip(one, other, strict=True)]
    words = [(one.letters, other.letters) for one, other in pairs if one.letters.isalpha() and len(one.letters) > 1]
    assert 0.3 < np.mean([one != other for one, other in words]) < 0.5
    kept = {known.names[number] for number in known.whole_words()}
    assert all(other in kept for one, other in words if one != other)


def test_a_map_that_is_linear_is_found_again() -> None:
    generator = torch.Generator().manual_seed(0)
    seen = torch.randn(500, 12, generator=generator) + 3.0
    wanted = (seen - seen.mean(dim=0)) @ torch.randn(12, 5, generator=generator) + 2.0
    mean, weights, middle = _ridge(seen, wanted)
    guessed = (seen - mean) @ weights + middle
    assert float((guessed - wanted).square().mean() / wanted.var()) < 0.05
    assert all(part.abs().max() == 0.0 for part in _ridge(torch.zeros(0, 12), torch.zeros(0, 5)))


def test_models_that_cannot_be_asked(teacher: Teacher, records: Records, tmp_path: Path) -> None:
    known, examples = lexicon(teacher.path), encode(records, teacher.path, SINGLE, LABELS, 32)
    with pytest.raises(RecipeError, match="is no masked-LM") as caught:
        masked_lm(teacher.path)
    assert "AutoModelForMaskedLM" in caught.value.hint
    folder = saved_masked_lm(tmp_path / "short", teacher, "bert", [], positions=16)
    with pytest.raises(RecipeError, match="reads 16 tokens, and the texts have up to 32"):
        replacer(masked_lm(folder), folder, known, examples, fitted=False, max_length=32, bf16=False)
    text = (folder / "tokenizer.json").read_text("utf-8").replace('"please"', '"pleased"')
    (folder / "tokenizer.json").write_text(text, "utf-8")
    with pytest.raises(RecipeError, match="another vocabulary"):
        replacer(masked_lm(folder), folder, known, examples, fitted=False, max_length=16, bf16=False)


@pytest.mark.slow
def test_a_real_teachers_body_guesses_better_than_how_frequent_words_are(shared: Path) -> None:
    """Of words that are masked in other texts than the map was fitted to, those that it has first."""
    import json

    data = json.loads((shared / "data" / "clinc150" / "data_full.json").read_text("utf-8"))
    taught = inspect(shared / "models" / "minilm-clinc150", name="clinc150")
    known = lexicon(taught.path)
    records = [{"text": text, "label": taught.labels[0]} for text, _ in data["train"][::6]]
    fitted, unseen = records[:2000], records[2000:2300]
    examples, other = (encode(part, taught.path, SINGLE, taught.labels, 32) for part in (fitted, unseen))
    found = replacer(load_model(taught.path), taught.path, known, examples, fitted=True, max_length=32, bf16=False)
    rows, words = rows_of(other, known)
    words = [word for word in words[::7] if word.letters in found.columns and word.end - word.first == 1]
    counts = np.bincount(examples.ids.flat, minlength=len(known.names))[found.numbers]
    frequent = known.names[found.numbers[counts.argmax()]]
    hits = 0
    with torch.inference_mode():
        for chosen, scores in found._scored(rows, None, words):
            best = scores.argmax(dim=1).tolist()
            hits += sum(found.candidates[best[row]] == words[i].letters for row, i in enumerate(chosen))
    assert hits > 1.4 * sum(word.letters == frequent for word in words)
