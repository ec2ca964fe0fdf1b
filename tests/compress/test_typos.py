"""Slips on a phone's keyboard."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgebert.compress.noise import draws
from edgebert.compress.typos import NEIGHBOURS, SHORTEST, typo


def test_the_keys_around_a_key() -> None:
    around = {key: set(keys) for key, keys in NEIGHBOURS.items()}
    assert around["g"] == set("ftyhv")
    assert around["q"] == set("wa")
    assert around["m"] == set("nk")
    assert len(around) == 26
    assert all(key in around[other] for key, others in around.items() for other in others)


def slips(word: str) -> dict[str, set[str]]:
    """Every slip of a word, found by trying them all."""
    places = range(len(word))
    return {
        "beside": {word[:i] + key + word[i + 1 :] for i in places for key in NEIGHBOURS.get(word[i], "")},
        "swapped": {word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in places[:-1]},
        "doubled": {word[:i] + word[i] + word[i:] for i in places},
        "dropped": {word[:i] + word[i + 1 :] for i in places},
    }


def test_every_kind_of_slip_comes_about_as_often() -> None:
    word = "weather"
    known = slips(word)
    found = [typo(word, draws(seed)) for seed in range(2000)]
    assert set(found) <= set.union(*known.values()) - {word}
    for kind, slipped in known.items():
        assert 0.18 < sum(other in slipped for other in found) / len(found) < 0.32, kind
    assert len(set(found)) > 30


@given(st.text(alphabet=st.characters(categories=["L"]), max_size=12), st.integers(0, 2**64 - 1))
def test_any_letters_in_any_script(word: str, key: int) -> None:
    slipped = typo(word, draws(key))
    assert slipped == typo(word, draws(key))
    assert abs(len(slipped) - len(word)) <= 1
    if len(word) < SHORTEST:
        assert slipped == word
    else:
        assert slipped != word


def test_capitals_stay_capitals() -> None:
    assert all(typo("PARIS", draws(seed)).isupper() for seed in range(200))
    assert all(typo("Paris", draws(seed)).lower() == typo("paris", draws(seed)) for seed in range(200))
    assert all(any(map(str.isupper, found)) for found in (typo("PARis", draws(seed)) for seed in range(200)))


def test_draws_are_even_and_follow_from_the_key() -> None:
    draw = draws(3)
    found = [draw() for _ in range(4000)]
    assert min(found) >= 0.0 and max(found) < 1.0
    assert all(300 < sum(low <= x * 10 < low + 1 for x in found) < 500 for low in range(10))
    again, other = draws(3), draws(4)
    assert [again() for _ in range(5)] == found[:5] != [other() for _ in range(5)]
