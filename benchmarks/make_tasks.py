"""Small real data sets for the tasks that no shared data set is made for.

    python benchmarks/make_tasks.py ../shared/data build/tasks

OUT receives three folders of train.jsonl, validation.jsonl and test.jsonl:

- `sentiment`, several labels: review sentences (Kotzias et al. 2015), each with where it comes from (`restaurant`,
  `product`, `film`) and `positive` where it is.
- `salience`, a number: sentences of scientific abstracts (Cachola et al. 2020, SciTLDR) and how much of the
  abstract's one-sentence summary each holds, the ROUGE score that the data set gives it.
- `qnli`, pairs: a question and a sentence of its paragraph, and whether the sentence `answers` it (as Wang et al. 2018
  made QNLI out of SQuAD; 5,000, 1,000 and 2,000 pairs); the other sentence is the one that shares the most words with
  the question.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Rows = list[dict[str, Any]]

DOMAINS = {"yelp": "restaurant", "amazon_cells": "product", "imdb": "film"}


def sentiment(data: Path) -> dict[str, Rows]:
    """3,000 sentences: 2,000 to train on, 400 to validate, 600 to test."""
    rows: Rows = []
    for name, domain in DOMAINS.items():
        for line in (data / "uci_sentiment" / f"{name}_labelled.txt").read_text("utf-8").split("\n"):
            text, _, positive = line.rpartition("\t")
            if text.strip():
                rows.append({"text": text.strip(), "label": [domain] + ["positive"] * (positive.strip() == "1")})
    random.Random(5).shuffle(rows)
    return {"train": rows[:-1000], "validation": rows[-1000:-600], "test": rows[-600:]}


def salience(data: Path) -> dict[str, Rows]:
    """Sentences of the data set's own splits: 5,000, 1,000 and 2,000 of them."""
    found = {}
    for name, split, count in (("train", "train", 5000), ("dev", "validation", 1000), ("test", "test", 2000)):
        rows: Rows = []
        for line in (data / "scitldr_a" / f"{name}.jsonl").read_text("utf-8").splitlines():
            paper = json.loads(line)
            if len(paper["source"]) != len(paper["rouge_scores"]):  # a few: no telling which score is whose
                continue
            scored = zip(paper["source"], paper["rouge_scores"], strict=True)
            rows += [{"text": text.strip(), "label": round(score, 4)} for text, score in scored if text.strip()]
        random.Random(5).shuffle(rows)
        found[split] = rows[:count]
    return found


def qnli(data: Path) -> dict[str, Rows]:
    """Pairs out of the training articles (every tenth of them for validation) and the evaluation articles."""
    rows = list(pairs(data / "squad" / "dev-v1.1-train36.json"))
    articles = sorted({row["article"] for row in rows})
    held = set(articles[::10])
    test = list(pairs(data / "squad" / "dev-v1.1-eval12.json"))
    splits = {
        "train": [row for row in rows if row["article"] not in held],
        "validation": [row for row in rows if row["article"] in held],
        "test": test,
    }
    kept, most = ("question", "sentence", "label"), {"train": 5000, "validation": 1000, "test": 2000}
    found = {}
    for name, part in splits.items():
        random.Random(5).shuffle(part)
        found[name] = [{key: row[key] for key in kept} for row in part[: most[name]]]
    return found


def pairs(path: Path) -> Iterator[dict[str, Any]]:
    """Of each question the sentence that holds its answer, and the likeliest other one."""
    for article in json.loads(path.read_text("utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            context = paragraph["context"]
            spans = [(m.start(), m.end()) for m in re.finditer(r".+?(?:[.!?](?=\s)|$)", context, re.DOTALL)]
            for item in paragraph["qas"]:
                at = item["answers"][0]["answer_start"]
                holds = [start <= at < end for start, end in spans]
                words = set(re.findall(r"\w{4,}", item["question"].lower()))
                others = [context[a:b].strip() for (a, b), held in zip(spans, holds, strict=True) if not held]
                if not any(holds) or not others:
                    continue
                start, end = spans[holds.index(True)]
                other = max(others, key=lambda text: len(words & set(re.findall(r"\w{4,}", text.lower()))))
                for sentence, label in ((context[start:end].strip(), "answers"), (other, "other")):
                    yield {
                        "question": item["question"], "sentence": sentence, "label": label,
                        "article": article["title"],
                    }  # fmt: skip


MAKERS = {"sentiment": sentiment, "salience": salience, "qnli": qnli}


def main() -> None:
    """Write them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of the shared data sets")
    parser.add_argument("out", type=Path, help="receives a folder for each data set")
    arguments = parser.parse_args()
    for name, make in MAKERS.items():
        folder = arguments.out / name
        folder.mkdir(parents=True, exist_ok=True)
        for split, rows in make(arguments.data).items():
            lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
            (folder / f"{split}.jsonl").write_text("".join(lines), "utf-8")
            print(f"{folder / split}.jsonl  {len(rows)} rows")


if __name__ == "__main__":
    main()
