"""Questions about encyclopedia paragraphs, for a teacher to answer while a student is distilled.

    pip install mwparserfromhell==0.7.2
    python benchmarks/encyclopedia.py ../shared/data build/paragraphs.jsonl

The paragraphs are those of the excerpt of the English Wikipedia (CC BY-SA) that the source of the package gensim holds
for its tests, which pip fetches: a hundred articles, A to Al. Nobody asked about them, so questions are made, after
Lewis et al., "Unsupervised Question Answering by Cloze Translation" (ACL 2019), in two ways that take turns:

- cloze: a clause whose number, name or phrase a question word replaces;
- skeleton: a question of SQuAD's training part whose content words are others, of one sentence of the paragraph.

Neither is good English, and neither needs to be: what the student is to learn is whatever the teacher answers. Each
question of SQuAD's training part comes too, with another paragraph of its article. The test part is not read, and
articles about its subjects (`LEFT_OUT`) are not used.
"""

from __future__ import annotations

import argparse
import bz2
import html
import random
import re
import tarfile
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

from unlabelled import fetch, questions, write

try:
    import mwparserfromhell
except ImportError:
    raise SystemExit("to read wiki text: pip install mwparserfromhell==0.7.2") from None

SOURCE = "gensim==4.3.3"
LEFT_OUT = re.compile(r"Apollo( \d+)?|Algorithm.*|Astronaut")  # the test part asks about Apollo and complexity theory
SHORTEST, LONGEST = 40, 170  # words of a paragraph
COMMON = (  # words that make a question, and stay in it
    "a about after all also an and any are as at be because been before between but by can could did do does during "
    "each for from had has have he her his how if in into is it its many may more most much not of on one or other out "
    "over she so some such than that the their them then there these they this those through to under until up use "
    "used was were what when where which while who whom whose why will with would year"
)
NUMBER = re.compile(r"\b\d[\d,.]*\d\b|\b\d\b")
NAME = re.compile(r"(?<![.!?] )(?<!^)\b[A-Z][\w'-]+(?: (?:of |the )?[A-Z][\w'-]+)*")
PHRASE = re.compile(r"\b(?:the|a|an|his|its|their) (?:[a-z-]+ ){0,2}[a-z-]{4,}\b")
Draw = random.Random


def articles() -> Iterator[tuple[str, str]]:
    """(title, wiki text) of each article."""
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fetch(SOURCE, Path(folder))) as archive:
        name = next(name for name in archive.getnames() if re.search(r"/enwiki-latest-pages.*bz2$", name))
        member = archive.extractfile(name)
        assert member is not None
        tree = ElementTree.fromstring(bz2.decompress(member.read()))
    for page in tree.iterfind(".//{*}page"):
        yield page.findtext("{*}title") or "", page.findtext(".//{*}text") or ""


def paragraphs(text: str) -> list[str]:
    """The running text of an article in paragraphs of `SHORTEST` to `LONGEST` words."""
    code = mwparserfromhell.parse(text)
    for link in code.filter_wikilinks():  # captions of pictures stand in the middle of sentences
        if re.match(r"(?i)\s*(file|image|category)\s*:|[a-z-]{2,12}:", str(link.title)):
            try:
                code.remove(link)
            except ValueError:  # inside one that is gone
                continue
    found, kept = [], ""
    for line in html.unescape(str(code.strip_code())).split("\n"):
        line = re.sub(r"\s+", " ", re.sub(r"\(\s*[,;]*\s*\)", "", line)).strip()
        if len(line.split()) < 8 or not re.search(r"[.!?][\"')]*$", line) or re.search(r"[|{}=]|\]\]", line):
            continue
        kept = f"{kept} {line}".strip()
        if len(kept.split()) >= SHORTEST:
            found += shortened(kept)
            kept = ""
    return found


def shortened(text: str) -> list[str]:
    """A paragraph in parts of at most `LONGEST` words, at the ends of sentences."""
    parts: list[str] = []
    for sentence in sentences(text):
        if parts and len(parts[-1].split()) + len(sentence.split()) <= LONGEST:
            parts[-1] += f" {sentence}"
        else:
            parts.append(sentence)
    return [part for part in parts if SHORTEST <= len(part.split()) <= LONGEST]


def sentences(text: str) -> list[str]:
    """The sentences of a paragraph."""
    return re.split(r"(?<=[a-z0-9)\"'][.!?]) +(?=[A-Z\"'(])", text)


def cloze(sentence: str, draw: Draw) -> str | None:
    """A question out of one sentence, or None where nothing in it can be asked for."""
    answers = [match for pattern in (NUMBER, NAME, PHRASE) for match in pattern.finditer(sentence)]
    if not answers:
        return None
    answer = draw.choice(answers)
    before, after = sentence[: answer.start()].split(), sentence[answer.end() :].split()
    wanted = draw.randint(5, 14)
    left = draw.randint(0, wanted)
    before, after = before[max(0, len(before) - left) :], after[: max(2, wanted - left)]
    word = asking(answer.group(), before, after, draw)
    if before and before[-1].lower() in ("in", "at", "on", "to", "from", "the") and word[0].isupper():
        before = before[:-1]
    rest = [item for item in before + after if draw.random() > 0.1]
    if draw.random() < 0.5:  # the question word where the answer was
        asked = [item for item in before if draw.random() > 0.1] + [word.lower()] + after
    else:
        asked = [word, draw.choice(["did", "was", "is", "does", "were", "", "", ""]), *rest]
    text = re.sub(r"\s+", " ", " ".join(asked)).strip(" .,;:\"'()")
    return f"{text[0].upper()}{text[1:]}?" if len(text.split()) > 3 else None


def asking(answer: str, before: list[str], after: list[str], draw: Draw) -> str:
    """The question word for an answer."""
    last = before[-1].lower() if before else ""
    if re.fullmatch(r"1\d{3}|20[01]\d", answer):
        return draw.choice(["When", "In what year", "What year"])
    if answer[0].isdigit():
        return draw.choice(["How many", "How much", "What number of", "What percentage"])
    if answer[0].isupper():
        places = ["Where", "In what country", "What city"] if last in ("in", "at", "from", "to") else []
        return draw.choice([*places, "Who", "What", "Which", "What person", "What is the name of"])
    return draw.choice(["What", "What", "Which", "How", "Why", "What kind of", "What type of"])


def skeleton(question: str, sentence: str, draw: Draw) -> str:
    """A question with its content words replaced by a sentence's, names for names, figures for figures."""
    words = re.findall(r"[\w'-]+", sentence)
    known: dict[str, list[str]] = {}
    for word in words[1:]:
        known.setdefault(kind(word), []).append(word)

    def other(match: re.Match[str]) -> str:
        word = match.group()
        if match.start() == 0 or not (options := known.get(kind(word))) or draw.random() < 0.15:
            return word
        return draw.choice(options)

    return re.sub(r"[\w'-]+", other, question)


def kind(word: str) -> str:
    """What a word can stand in for."""
    if word.lower() in COMMON.split():
        return f"common {word}"
    if word[0].isdigit():
        return "number"
    if word[0].isupper():
        return "name"
    return next((ending for ending in ("ed", "ing", "ly", "s") if word.endswith(ending)), "word")


def asked(data: Path, count: int, seed: int = 4) -> list[dict[str, str]]:
    """`count` made questions, with their paragraphs."""
    draw = Draw(seed)
    texts = [part for title, text in articles() if not LEFT_OUT.fullmatch(title) for part in paragraphs(text)]
    skeletons = sorted({row["question"] for row in questions(data, 1)})
    print(f"{len(texts)} paragraphs of {sum(len(text.split()) for text in texts)} words")
    found: dict[tuple[str, str], None] = {}
    while len(found) < count:
        context = draw.choice(texts)
        sentence = draw.choice(sentences(context))
        by_cloze = len(found) % 2 == 0
        question = cloze(sentence, draw) if by_cloze else skeleton(draw.choice(skeletons), sentence, draw)
        if question:
            found[question, context] = None
    return [{"question": question, "context": context} for question, context in found]


def main() -> None:
    """Make and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of the shared data sets")
    parser.add_argument("output", type=Path)
    parser.add_argument("--count", type=int, default=20000, help="made questions")
    parser.add_argument("--others", type=int, default=1, help="other paragraphs for each question of SQuAD")
    arguments = parser.parse_args()
    if not (arguments.data / "squad").is_dir():
        parser.error(f"{arguments.data} has no folder squad: name that of the shared data sets")
    write(asked(arguments.data, arguments.count) + questions(arguments.data, arguments.others), arguments.output)


if __name__ == "__main__":
    main()
