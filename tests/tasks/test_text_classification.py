"""Text classification: scores as scikit-learn has them, thresholds that are the best, answers of every shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from edgebert import metrics, tasks
from edgebert.compress.finetune import train_wordpiece
from edgebert.errors import UsageError
from edgebert.tasks import Answered, Encoded, thresholds
from edgebert.tasks import classification_scores as scores
from edgebert.tasks.answers import LabelSet, Prediction, Value
from edgebert.tasks.text_classification import TextClassification

LABELS = tuple("abcde")
RANDOM = np.random.default_rng(0)


def answered(logits: np.ndarray, truth: list[Any]) -> list[Answered]:
    window = [Encoded([2, 3], [0, 0])]
    return [
        Answered({"text": "x", "label": label}, window, [{"logits": row.astype(np.float32)}])
        for row, label in zip(logits, truth, strict=True)
    ]


def data(count: int = 500, scale: float = 1.0) -> tuple[np.ndarray, list[str]]:
    truth = RANDOM.integers(5, size=count)
    logits = RANDOM.normal(size=(count, 5)) + 1.5 * np.eye(5)[truth]
    return scale * logits, [LABELS[i] for i in truth]


def test_accuracy_is_scikit_learns() -> None:
    logits, truth = data()
    found = TextClassification().score(answered(logits, truth), LABELS)
    best = [LABELS[i] for i in logits.argmax(axis=1)]
    assert found.units is not None
    assert metrics.value(found.metric, found.units) == pytest.approx(sk.accuracy_score(truth, best))
    assert found.answers == logits.argmax(axis=1).tolist()


def test_calibration_error_against_a_loop_over_bins() -> None:
    confidence, correct = RANDOM.random(2000), RANDOM.random(2000) < 0.6
    expected = 0.0
    for low in np.arange(15) / 15:
        inside = (confidence >= low) & (confidence < low + 1 / 15)
        if inside.any():
            expected += inside.mean() * abs(confidence[inside].mean() - correct[inside].mean())
    assert scores.calibration_error(confidence, correct) == pytest.approx(expected, abs=1e-12)


def test_out_of_scope_rows_are_right_when_rejected() -> None:
    logits, truth = data(400)
    outside = RANDOM.normal(size=(100, 5)) * 0.3
    task = TextClassification(out_of_scope="oos", threshold=0.5)
    everything = answered(np.concatenate([logits, outside]), truth + ["oos"] * 100)
    found = task.score(everything, LABELS)
    top = thresholds.softmax(np.concatenate([logits, outside])).max(axis=1)
    inside = np.arange(500) < 400
    assert found.figures["oos_auroc"] == pytest.approx(sk.roc_auc_score(inside, top))
    assert found.figures["oos_recall"] == pytest.approx((top[400:] < 0.5).mean())
    right = (top[:400] >= 0.5) & (logits.argmax(axis=1) == [LABELS.index(t) for t in truth])
    assert found.correct is not None and found.correct.mean() == pytest.approx(
        (right.sum() + (top[400:] < 0.5).sum()) / 500
    )
    rejected = task.decode({}, everything[-1].windows, [{"logits": np.zeros(5, np.float32)}], LABELS)
    assert rejected == Prediction("oos", pytest.approx(0.2), rejected=True)


def test_multi_label_is_scikit_learns() -> None:
    logits = RANDOM.normal(size=(300, 5))
    true = RANDOM.random((300, 5)) < 0.3
    truth = [[LABELS[i] for i in np.flatnonzero(row)] for row in true]
    task = TextClassification(problem="multi-label", thresholds=(0.3, 0.4, 0.5, 0.6, 0.7))
    found = task.score(answered(logits, truth), LABELS)
    chosen = 1 / (1 + np.exp(-logits.astype(np.float32))) >= np.array([0.3, 0.4, 0.5, 0.6, 0.7])
    assert found.units is not None
    assert metrics.value("f1", found.units) == pytest.approx(sk.f1_score(true, chosen, average="micro"))
    assert found.figures["macro_f1"] == pytest.approx(sk.f1_score(true, chosen, average="macro"))
    assert found.figures["exact_match"] == pytest.approx(sk.accuracy_score(true, chosen))


def test_regression_is_scipys() -> None:
    from scipy import stats

    truth = RANDOM.normal(size=200)
    values = truth + RANDOM.normal(size=200)
    found = TextClassification(problem="regression").score(answered(values[:, None], truth.tolist()), ())
    assert found.units is not None and found.correct is None and found.answers is None
    values = values.astype(np.float32).astype(np.float64)
    assert metrics.value("pearson", found.units) == pytest.approx(stats.pearsonr(values, truth).statistic)
    assert found.figures["spearman"] == pytest.approx(stats.spearmanr(values, truth).statistic)
    assert found.figures["rmse"] == pytest.approx(np.sqrt(sk.mean_squared_error(truth, values)))


@pytest.mark.parametrize("metric", ["accuracy", "f1", "pearson"])
def test_an_interval_holds_its_value_and_narrows_with_the_sample(metric: str) -> None:
    columns = {"accuracy": 1, "f1": 3, "pearson": 2}[metric]
    rows = RANDOM.random((2000, columns))
    few, many = metrics.interval(metric, rows[:100]), metrics.interval(metric, rows)
    for found, part in ((few, rows[:100]), (many, rows)):
        assert found.low <= found.value <= found.high
        assert found.value == pytest.approx(metrics.value(metric, part))
    assert many.high - many.low < few.high - few.low


@pytest.mark.parametrize("planted", [0.4, 1.0, 3.0])
def test_temperature_is_found_again(planted: float) -> None:
    logits = RANDOM.normal(size=(20_000, 5)) * 2
    chance = thresholds.softmax(logits)
    targets = (chance.cumsum(axis=1) < RANDOM.random((20_000, 1))).sum(axis=1)
    assert thresholds.temperature(logits * planted, targets) == pytest.approx(planted, rel=0.05)


def test_tuning_makes_probabilities_honest_and_survives_the_manifest() -> None:
    logits, truth = data(3000, scale=4.0)
    task = TextClassification()
    tuned = task.tune(answered(logits, truth), LABELS)
    before, after = (t.score(answered(logits, truth), LABELS).figures["ece"] for t in (task, tuned))
    assert tuned.temperature > 2 and after < before / 2
    assert tasks.get("text-classification", tasks.settings_of(tuned)) == tuned


def test_the_rejection_threshold_has_the_best_balanced_accuracy() -> None:
    best = np.concatenate([RANDOM.beta(8, 2, 300), RANDOM.beta(3, 4, 60)])
    inside = np.arange(360) < 300
    found = thresholds.rejection(best, inside)

    def balanced(cut: float) -> float:
        return float((best[inside] >= cut).mean() + (best[~inside] < cut).mean())

    assert balanced(found) == pytest.approx(max(balanced(cut) for cut in [0.0, *best, 1.1]))


def test_thresholds_of_labels_are_the_best_and_few_positives_get_a_half() -> None:
    probabilities = np.round(RANDOM.random((200, 3)), 2)
    holds = probabilities + RANDOM.normal(size=(200, 3)) * 0.2 > np.array([0.5, 0.8, 5.0])
    truth = [[LABELS[i] for i in np.flatnonzero(row)] for row in holds]
    found = thresholds.per_label(probabilities, truth, LABELS[:3])
    for column in (0, 1):
        best = max(sk.f1_score(holds[:, column], probabilities[:, column] >= cut) for cut in np.arange(0, 1, 0.005))
        assert sk.f1_score(holds[:, column], probabilities[:, column] >= found[column]) == pytest.approx(best)
    assert found[2] == 0.5


def test_decode_several_labels_and_numbers() -> None:
    task = TextClassification(problem="multi-label", thresholds=(0.5, 0.5, 0.9))
    window = [Encoded([2, 3], [0, 0], truncated=True)]
    found = task.decode({}, window, [{"logits": np.array([0.1, 2.0, 1.0], np.float32)}], LABELS)
    assert isinstance(found, LabelSet) and found.labels == ("b", "a") and found.truncated
    none = task.decode({}, window, [{"logits": np.array([-3.0, -3.0, -3.0], np.float32)}], LABELS)
    assert isinstance(none, LabelSet) and none.labels == ()
    value = TextClassification(problem="regression").decode({}, window, [{"logits": np.array([2.5], np.float32)}], ())
    assert value == Value(2.5, truncated=True)


def test_decisions_of_several_labels_are_sides_of_thresholds() -> None:
    task = TextClassification(problem="multi-label", thresholds=(0.5, 0.9))
    found = task.decide({"logits": np.array([0.25, 2.0], np.float32)})
    assert found.chosen.tolist() == [1, 0]
    assert found.margins == pytest.approx([0.25, np.log(9) - 2.0])


def test_pairs_are_cut_longest_first(tmp_path: Path) -> None:
    import json

    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(json.dumps(train_wordpiece(["one two three four five six seven"], 200)))
    tokenizer.enable_truncation(8)
    [found] = TextClassification(pair=True).encode(
        tokenizer, {"text": "one two three four five six", "text_pair": "seven"}, 8
    )
    assert len(found.input_ids) == 8 and found.truncated
    assert found.token_type_ids == [0] * 6 + [1] * 2
    [whole] = TextClassification(pair=True).encode(tokenizer, {"text": "one", "text_pair": "seven"}, 8)
    assert not whole.truncated and whole.token_type_ids == [0, 0, 0, 1, 1]


@pytest.mark.parametrize(
    "settings",
    [{"problem": "ranking"}, {"problem": "multi-label", "out_of_scope": "oos"}, {"out_of_scope": ""}, {"colour": 1}],
)
def test_settings_that_cannot_be(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        tasks.get("text-classification", settings)
    assert caught.value.hint
