"""Every verb explains itself, with an example."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from edgebert.cli import main

VERBS = ("demo", "init", "run", "export", "predict", "check", "bench", "verify", "report", "devices", "doctor",
         "schema", "serve")  # fmt: skip


def test_no_verb_is_forgotten_here() -> None:
    assert set(main.commands) == set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_an_example_that_parses(verb: str) -> None:
    shown = CliRunner().invoke(main, [verb, "--help"])
    assert shown.exit_code == 0
    example = re.search(r"Example:\n\s+edgebert (\S+)(.*)", shown.output)
    assert example and example[1] == verb
    known = {option for parameter in main.commands[verb].params for option in parameter.opts}
    for option in re.findall(r"(?<=\s)--?[a-z]+(?:-[a-z]+)*", example[2]):
        assert option in known, f"the example of {verb} uses {option}"


def test_version() -> None:
    assert CliRunner().invoke(main, ["--version"]).output.startswith("edgebert, version ")
