"""Other words for words: what a masked-LM would put in their place, or what has an embedding like theirs.

As TinyBERT augments (Jiao et al. 2020, arXiv:1909.10351, algorithm 1): a word of one piece is masked, and one of the
`NEAREST` likeliest pieces takes its place; a word of several pieces is exchanged for one of the `NEAREST` whose
embeddings are nearest to the mean of its own (there: GloVe vectors). All words of a text that are to be replaced are
masked at once, so that one reading of the text is enough.

A teacher has lost the head with which its body was pretrained, and its states times its input embeddings, which that
head was tied to, say nothing: CLINC150's teacher then has the masked word among its first 15 in 2 % of places. Where no
masked-LM is given, a linear map from the state at a masked word to the word's embedding is fitted to the task's text by
ridge regression, and the nearest of the text's own words are taken, weighed by how frequent they are: 37 % in new
texts, and the right word first in 16 %. The most frequent words alone would be 34 % and 7 %.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgebert.compress.batches import Examples, pad
from edgebert.compress.folder import quiet, special_tokens, tokenizer_json
from edgebert.compress.noise import mix, shuffled, unit
from edgebert.compress.vocabulary import all_pieces, id_map
from edgebert.compress.words import Lexicon, Word
from edgebert.errors import DataError, RecipeError, require

if TYPE_CHECKING:
    from torch import Tensor

#: So many candidates of which one is drawn, as in TinyBERT.
NEAREST = 15
#: Tokens of a batch, padding included.
_TOKENS = 2048
#: Words of several pieces that are looked up together.
_WORDS = 256
#: Texts that the map of a teacher's body is fitted to, and the share of its states' mean variance that is its ridge.
_FITTED = 2000
_RIDGE = 0.1
#: Share of their words that is masked, and what chooses them.
_MASKED = 0.15
_SEED = 0

#: Inputs of a model and places in them, int64 [n, 2] (row, token) -> a score for each candidate, float32 [n, c].
Scores = Callable[[dict[str, "Tensor"], "Tensor"], "Tensor"]


@dataclass(frozen=True)
class Replacer:
    """Finds other words.

    Args:
        scores: what the model thinks of each candidate at a masked place.
        given: the model's id of each of the student's, int64 [student's vocabulary].
        mask: the model's id of [MASK].
        pad: of padding.
        typed: whether the model tells the two texts of a pair apart.
        candidates: the words that may be taken.
        columns: word -> its place among them.
        numbers: their numbers among the student's pieces, int64 [c].
        nearness: vectors whose products say how near two pieces are, float32 [student's vocabulary, width].
    """

    scores: Scores
    given: NDArray[np.int64]
    mask: int
    pad: int
    typed: bool
    candidates: Sequence[str]
    columns: Mapping[str, int]
    numbers: NDArray[np.int64]
    nearness: Tensor

    def __call__(
        self, rows: Sequence[Sequence[int]], types: Sequence[Sequence[int]] | None, words: Sequence[Word],
        shares: NDArray[np.float64],
    ) -> list[str]:  # fmt: skip
        """Another word for each; the word itself where there is none.

        Args:
            rows: the student's token ids.
            types: their token types.
            words: of these rows.
            shares: a number in [0, 1) for each, which decides among the candidates.
        """
        import torch

        found = [word.letters for word in words]
        most = min(NEAREST, len(self.candidates) - 1)
        if most < 1:
            return found
        with torch.inference_mode():
            for chosen, scores in self._scored(rows, types, words):
                for row, i in enumerate(chosen):  # never the word itself
                    own = self.columns.get(words[i].letters)
                    if own is not None:
                        scores[row, own] = -torch.inf
                best = scores.topk(most).indices.tolist()
                for row, i in enumerate(chosen):
                    found[i] = self.candidates[best[row][int(shares[i] * most)]]
        return found

    def _scored(
        self, rows: Sequence[Sequence[int]], types: Sequence[Sequence[int]] | None, words: Sequence[Word]
    ) -> Iterator[tuple[list[int], Tensor]]:
        """Some of the words, by their places among them, and a score of each candidate for each."""
        import torch

        several = [i for i, word in enumerate(words) if word.end - word.first > 1]
        for start in range(0, len(several), _WORDS):
            chosen = several[start : start + _WORDS]
            pieces = [rows[words[i].row][words[i].first : words[i].end] for i in chosen]
            vectors = torch.stack([self.nearness[own].mean(dim=0) for own in pieces])
            yield chosen, vectors @ self.nearness[self.numbers].T
        places: dict[int, list[int]] = {}
        for i, word in enumerate(words):
            if word.end - word.first == 1:
                places.setdefault(word.row, []).append(i)
        for batch in _batches(places, rows):
            chosen = [i for row in batch for i in places[row]]
            where = [(number, words[i].first) for number, row in enumerate(batch) for i in places[row]]
            masked = [self.given[rows[row]] for row in batch]
            for number, at in where:
                masked[number][at] = self.mask
            given = _inputs(masked, [types[row] for row in batch] if types and self.typed else None, self.pad)
            yield chosen, self.scores(given, torch.tensor(where)).cpu()


def _batches(rows: Collection[int], texts: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Some rows in batches of about `_TOKENS`, those of like length together."""
    batch: list[int] = []
    for row in sorted(rows, key=lambda row: (len(texts[row]), row)):
        if batch and (len(batch) + 1) * len(texts[row]) > _TOKENS:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _inputs(rows: Sequence[NDArray[np.int64]], types: Sequence[Sequence[int]] | None, pad_id: int) -> dict[str, Tensor]:
    ids, mask = pad(rows, pad_id)
    given = {"input_ids": ids, "attention_mask": mask}
    return given if types is None else given | {"token_type_ids": pad(types, 0)[0]}


def replacer(
    model: Any, folder: Path, lexicon: Lexicon, examples: Examples, *, fitted: bool, max_length: int, bf16: bool
) -> Replacer:
    """What finds other words through a model.

    Args:
        model: a masked-LM of transformers, or with `fitted` the teacher.
        folder: with its tokenizer.
        lexicon: of the student's tokenizer; its words are the candidates, with `fitted` those that the text has.
        examples: the task's text, which the map of a teacher's body is fitted to.
        fitted: the model has no masked-LM head.
        max_length: of the examples, in tokens.
        bf16: whether the model computes so.

    Raises:
        RecipeError: the model cannot read the student's pieces, or not such long texts.
    """
    import torch

    tokenizer = tokenizer_json(folder)
    pieces, roles = all_pieces(tokenizer), special_tokens(folder, tokenizer)
    try:
        given = id_map({piece: number for number, piece in enumerate(lexicon.names)}, pieces)
    except DataError as error:
        raise RecipeError(
            f"distill.augment.model: {folder.name} has another vocabulary than the teacher",
            "name a masked-LM of the same vocabulary, or leave model out",
        ) from error
    if "mask_token" not in roles:
        raise RecipeError(f"distill.augment.words: {folder.name} has no [MASK]", "leave words out")
    positions = int(getattr(model.config, "max_position_embeddings", max_length))
    if positions < max_length:
        raise RecipeError(
            f"distill.augment.model: {folder.name} reads {positions} tokens, and the texts have up to {max_length}",
            "name a model that reads more, or shorten lengths",
        )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = model.to(device).eval()
    numbers = np.array(lexicon.whole_words(), dtype=np.int64)
    if fitted:  # it knows nothing of words that it was not fitted to, and takes odd ones
        numbers = np.intersect1d(numbers, examples.ids.flat)
    table = model.get_input_embeddings().weight.detach().float()[torch.from_numpy(given)].cpu()
    centred = torch.nn.functional.normalize(table - table.mean(dim=0), dim=-1)
    found = Replacer(
        scores=_by_head(model, given[numbers], bf16), given=given, mask=pieces[roles["mask_token"]],
        pad=pieces[roles["pad_token"]], typed=int(getattr(model.config, "type_vocab_size", 0) or 0) > 1,
        candidates=[lexicon.names[number] for number in numbers],
        columns={lexicon.names[number]: column for column, number in enumerate(numbers)}, numbers=numbers,
        nearness=centred,
    )  # fmt: skip
    return replace(found, scores=_by_body(model, found, lexicon, examples, bf16)) if fitted else found


def masked_lm(folder: Path) -> Any:
    """The masked-LM of a folder: FP32, no code of it run.

    Raises:
        RecipeError: it has no head for that.
    """
    transformers = require("transformers", "host")
    with quiet():
        model, info = transformers.AutoModelForMaskedLM.from_pretrained(
            folder, use_safetensors=True, local_files_only=True, trust_remote_code=False, output_loading_info=True
        )
    if info["missing_keys"]:
        raise RecipeError(
            f"distill.augment.model: {folder.name} is no masked-LM (it lacks {sorted(info['missing_keys'])[0]})",
            "name one that AutoModelForMaskedLM saved, or leave model out: then the teacher's own body is used",
        )
    return model.float()


def _by_head(model: Any, columns: NDArray[np.int64], bf16: bool) -> Scores:
    """The logits of a masked-LM."""
    import torch

    head, wanted = model.get_output_embeddings(), torch.from_numpy(columns)

    def scores(given: dict[str, Tensor], places: Tensor) -> Tensor:
        def masked_alone(module: Any, found: tuple[Tensor, ...]) -> Tensor:
            """The head is the dearest part of a small model, so it reads the masked places alone."""
            return found[0][places[:, 0], places[:, 1]]

        hook = head.register_forward_pre_hook(masked_alone)
        try:
            logits = _run(model, given, bf16).logits
        finally:
            hook.remove()
        if logits.dim() == 3:  # a head that computes otherwise
            logits = logits[places[:, 0], places[:, 1]]
        found: Tensor = logits[:, wanted.to(logits.device)].float()
        return found

    return scores


def _run(model: Any, given: dict[str, Tensor], bf16: bool, **settings: Any) -> Any:
    import torch

    device = next(model.parameters()).device
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
        return model(**{name: tensor.to(device) for name, tensor in given.items()}, **settings)


def _by_body(model: Any, found: Replacer, lexicon: Lexicon, examples: Examples, bf16: bool) -> Scores:
    """How likely each candidate is by a teacher's state at a masked word, mapped to the embeddings, up to a constant.

    The state half way up: the last layers of a fine-tuned model know more of the answer than of the word.
    """
    import torch

    def states(given: dict[str, Tensor], places: Tensor) -> Tensor:
        hidden = _run(model.base_model, given, bf16, output_hidden_states=True).hidden_states
        middle: Tensor = hidden[len(hidden) // 2]
        return middle[places[:, 0], places[:, 1]].float()

    sample = shuffled(len(examples), _SEED)[:_FITTED].tolist()
    rows = [examples.ids[i].tolist() for i in sample]
    types = None if examples.types is None else [examples.types[i].tolist() for i in sample]
    every = [word for row, ids in enumerate(rows) for word in lexicon.words(row, ids) if word.letters in found.columns]
    shares = unit(mix(_SEED, np.arange(len(every), dtype=np.uint64)))
    words = [word for word, share in zip(every, shares, strict=True) if share < _MASKED]
    table = model.get_input_embeddings().weight.detach().float().cpu()[torch.from_numpy(found.given[found.numbers])]
    seen, wanted = [torch.zeros(0, int(model.config.hidden_size))], [table[:0]]
    with torch.inference_mode():
        for chosen, state in replace(found, scores=states)._scored(rows, types, words):
            seen.append(state)
            wanted.append(table[[found.columns[words[i].letters] for i in chosen]])
        mean, weights, middle = _ridge(torch.cat(seen), torch.cat(wanted))
        errors = (torch.cat(seen) - mean) @ weights + middle - torch.cat(wanted)
    # A word is as likely as it is frequent, times a normal density around its embedding.
    counts = np.bincount(examples.ids.flat, minlength=len(lexicon.names))[found.numbers]
    prior = torch.from_numpy(np.log(np.maximum(counts, 1))).float()
    variance = float(errors.square().mean()) if len(errors) else 1.0
    lengths = table.square().sum(dim=1)

    def scores(given: dict[str, Tensor], places: Tensor) -> Tensor:
        guessed = (states(given, places).cpu() - mean) @ weights + middle
        likely: Tensor = (guessed @ table.T - lengths / 2) / max(variance, 1e-12) + prior
        return likely

    return scores


def _ridge(seen: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Least squares with a ridge: `seen` [n, H] and `wanted` [n, E] give a mean [H], a map [H, E] and a mean [E]."""
    import torch

    if not len(seen):
        return torch.zeros(seen.shape[1]), torch.zeros(seen.shape[1], wanted.shape[1]), torch.zeros(wanted.shape[1])
    mean, middle = seen.mean(dim=0), wanted.mean(dim=0)
    above = (seen - mean).double()
    square = above.T @ above
    square.diagonal().add_(_RIDGE * square.diagonal().mean() + 1e-6)
    return mean, torch.linalg.solve(square, above.T @ (wanted - middle).double()).float(), middle
