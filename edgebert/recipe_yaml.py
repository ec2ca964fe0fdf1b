"""YAML with line numbers: what a recipe says, and on which line it says it.

PyYAML's safe loader composes the nodes; this module turns them into plain Python values itself, because
only the nodes know their lines and still show a key that stands there twice. Three habits of YAML 1.1 that
surprise are left out: `3e-4` is a number here, `12:30` and `2024-01-31` are text, and so is `010`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml  # type: ignore[import-untyped, unused-ignore]

Path = tuple[str | int, ...]  # ("data", "train", "path"), ("export", 1)

MAX_BYTES = 1_000_000  # a recipe is a page; anything larger is some other file
_MAX_NODES = 20_000  # aliases may repeat a node without end
_MAX_DEPTH = 32


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong with a recipe: its line (from 1), the key, what is wrong, how to mend it."""

    line: int
    key: str
    what: str
    hint: str = ""


@dataclass
class Source:
    """A YAML document as values, with the line and the spelling of each.

    Attributes:
        data: dicts with text keys, lists and scalars; None for an empty document.
        lines: the line (from 1) of each key and list item.
        spelled: each scalar as it is written, where YAML read something other than text.
        unreadable: places whose value cannot be had, so that nothing more need be said about it.
        problems: what is wrong already at this level, such as a key given twice.
    """

    data: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    spelled: dict[Path, str] = field(default_factory=dict)
    unreadable: set[Path] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def line_of(self, path: Path) -> int:
        """The line of `path`, or of the nearest thing around it that is written down."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def dotted(path: Path) -> str:
    """`("export", 1)` as people write it: `export[1]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read_yaml(text: str) -> Source:
    """Parse one YAML document; what is wrong with it lands in `problems`, nothing is raised."""
    source = Source()
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        source.problems.append(_syntax(error))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        told = f"a control character (U+{ord(text[error.position]):04X})"
        source.problems.append(Problem(line, "", told, "remove it"))
    except (RecursionError, yaml.YAMLError):
        source.problems.append(Problem(1, "", "this is no readable YAML"))
    else:
        if node is not None:
            _Reader(source).read(node, ())
    return source


class _Loader(yaml.SafeLoader):  # type: ignore[misc, unused-ignore]  # without its stubs PyYAML is untyped
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  PyYAML's own way to hold them


for _tag, _pattern, _first in (
    ("bool", r"yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF", "yYnNtTfFoO"),
    ("int", r"[-+]?(?:0|[1-9][0-9_]*)|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?[0-9]+[eE][-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", "-+."),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
):  # fmt: skip
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})\\Z"), list(_first))


class _Reader:
    """Turns nodes into values, writing lines, spellings and problems into `source` on the way."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.budget = _MAX_NODES
        self.construct = yaml.constructor.SafeConstructor()

    def read(self, node: Any, path: Path) -> None:
        self.source.data = self.value(node, path)

    def problem(self, node: Any, path: Path, what: str, hint: str = "") -> None:
        self.source.problems.append(Problem(node.start_mark.line + 1, dotted(path), what, hint))

    def value(self, node: Any, path: Path) -> Any:
        self.budget -= 1
        if self.budget <= 0 or len(path) > _MAX_DEPTH:
            if self.budget > -_MAX_NODES:  # said once is enough
                self.budget = -_MAX_NODES
                self.problem(node, path[:2], "nested or repeated too often for a recipe")
            return None
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return self.sequence(node, path)
        return self.scalar(node, path)

    def mapping(self, node: Any, path: Path) -> dict[str, Any]:
        self.tag(node, path, "map")
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self.key(key_node, path)
            if key is None:
                continue
            here = (*path, key)
            line = key_node.start_mark.line + 1
            if key in values:
                first = self.source.lines[here]
                self.problem(key_node, here, f"given twice, first on line {first}", "remove one of the two")
                continue
            self.source.lines[here] = line
            values[key] = self.value(value_node, here)
        return values

    def key(self, node: Any, path: Path) -> str | None:
        if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:str":
            return str(node.value)
        if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:merge":
            self.problem(node, path, "merge keys (<<) are not supported", "write the keys out")
        elif isinstance(node, yaml.ScalarNode) and node.value:
            hint = f'write "{node.value}" in quotes'
            self.problem(node, path, f"a key must be text, and YAML reads {node.value} as something else", hint)
        else:
            self.problem(node, path, "a key must be text")
        return None

    def sequence(self, node: Any, path: Path) -> list[Any]:
        self.tag(node, path, "seq")
        values = []
        for index, item in enumerate(node.value):
            self.source.lines[(*path, index)] = item.start_mark.line + 1
            values.append(self.value(item, (*path, index)))
        return values

    def scalar(self, node: Any, path: Path) -> Any:
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        if kind != "str":
            self.source.spelled[path] = node.value
        try:
            if kind == "float":
                return self.construct.construct_yaml_float(node)
            if kind == "int":
                return self.construct.construct_yaml_int(node)
            if kind == "bool":
                return self.construct.construct_yaml_bool(node)
        except (ValueError, KeyError):  # `!!int four`
            self.source.unreadable.add(path)
            self.problem(node, path, f"{node.value!r} is not of the type {node.tag}")
            return None
        if kind == "null":
            return None
        if kind not in ("str", "merge"):
            self.tag(node, path, "str")
        return str(node.value)

    def tag(self, node: Any, path: Path, expected: str) -> None:
        if node.tag != f"tag:yaml.org,2002:{expected}":
            self.source.unreadable.add(path)
            self.problem(node, path, f"the YAML tag {node.tag} is not allowed", "write the plain value")


def _syntax(error: Any) -> Problem:
    mark = error.problem_mark or error.context_mark
    what = str(error.problem or error.context or "cannot be parsed")
    if "found character '\\t'" in what:
        what, hint = "a tab where YAML wants spaces", "indent with spaces"
    elif "mapping values are not allowed" in what:
        what, hint = (
            "a colon where none can stand",
            "put text that holds ': ' in quotes, and check the indentation",
        )
    elif "but found another document" in what:
        what, hint = "a second YAML document", "a recipe is one document: remove the line ---"
    else:
        hint = "check the indentation, the brackets and the quotes around here"
        if error.context and error.context_mark and error.context_mark.line != mark.line:
            what += f" ({error.context} that starts on line {error.context_mark.line + 1})"
    return Problem(mark.line + 1 if mark else 1, "", f"YAML syntax: {what}", hint)
