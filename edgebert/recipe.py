"""The recipe: what to make of which teacher, with which data, for which devices, and what is good enough.

`load_recipe` reads a YAML file, refuses what it does not know, reports everything that is wrong at once, each
with its line, and gives back a frozen `Recipe` in which every default is filled in. `recipe_schema` is the
same contract as a JSON Schema; the reference page of the documentation is made from it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    PrivateAttr,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from edgebert import tasks
from edgebert.errors import EdgebertError, RecipeError
from edgebert.exporting import takes_tokenizer
from edgebert.recipe_checks import Device, Export, Label, Task, ascending, distinct, format_of, kind_of
from edgebert.recipe_data import DataSpec, Name, Spec, SplitSpec
from edgebert.recipe_problems import MAPPING, TEXT, did_you_mean, recipe_error, translate
from edgebert.recipe_specs import (
    AugmentSpec,
    DistillSpec,
    FineTuneSpec,
    GateSpec,
    MeasureSpec,
    QatSpec,
    ScratchSpec,
    StudentSpec,
    asked,
    true_too,
)
from edgebert.recipe_yaml import MAX_BYTES, Problem, Source, read_yaml

__all__ = [
    "AugmentSpec",
    "DataSpec",
    "DistillSpec",
    "FineTuneSpec",
    "GateSpec",
    "MeasureSpec",
    "QatSpec",
    "Recipe",
    "ScratchSpec",
    "SplitSpec",
    "StudentSpec",
    "load_recipe",
    "parse_recipe",
    "recipe_schema",
]

SCHEMA_VERSION = 1
_HUB_ID = re.compile(r"(?!\.)[\w.-]+(/[\w.-]+)?")


class Recipe(Spec):
    """A whole recipe, every default filled in."""

    task: Task = Field(description="what the model does")
    options: dict[Name, Any] = Field(
        default={}, description="settings of the task; which there are: the page of the task in docs/tasks"
    )
    teacher: Annotated[
        Annotated[Name, Tag(TEXT)] | Annotated[FineTuneSpec, Tag(MAPPING)],
        Discriminator(kind_of(TEXT, MAPPING)),
    ] = Field(description="a Hugging Face folder, a hub id, or a mapping that says how to make one")
    labels: Annotated[tuple[Label, ...], Field(min_length=2, strict=False)] | None = Field(
        default=None,
        description="the labels in their order; default: the teacher's, or those of the train split, sorted",
    )
    data: DataSpec = Field(description="the examples")
    lengths: Annotated[
        tuple[Annotated[int, Field(ge=8, le=512)], ...], Field(min_length=1, max_length=16, strict=False)
    ] = Field(
        default=(16, 32, 64, 128),
        description="sequence lengths in tokens that texts are padded to; the last one cuts",
    )
    student: StudentSpec = Field(default=StudentSpec(), description="what of the teacher the student keeps")
    distill: DistillSpec = Field(default=DistillSpec(), description="how the student learns")
    qat: Annotated[QatSpec | None, BeforeValidator(asked)] = Field(
        default=None,
        description="quantization-aware training after the distillation, for students that INT8 costs too much: true, "
        "or its settings; default: none",
        json_schema_extra=true_too,
    )
    export: Annotated[tuple[Export, ...], Field(min_length=1, strict=False)] = Field(
        default=("onnx-int8", "openvino-int8", "tflite-int8"),
        description="the artifacts to make: FORMAT-PRECISION",
    )
    tokenizer_in_graph: Literal["all", "data"] | None = Field(
        default=None,
        description="the tokenizer as a graph beside the model, for callers in C++, Java or C#; its ids must be those "
        "of tokenizers on hard texts and on validation texts (all), or on the latter alone (data). ONNX and OpenVINO "
        "have such graphs, other exports go without. Default: none",
    )
    devices: Annotated[tuple[Device, ...], Field(min_length=1, strict=False)] = Field(
        default=("local",),
        description="where to prove them: local, local:PYTHON, ssh:HOST, android or android:SERIAL",
    )
    measure: MeasureSpec = Field(default=MeasureSpec(), description="how often to measure")
    gates: GateSpec = Field(default=GateSpec(), description="what an artifact must reach")

    _folder: Path = PrivateAttr(default_factory=Path)

    _ascending = field_validator("lengths")(lambda value: ascending(value, "lengths"))
    _distinct = field_validator("labels", "export", "devices")(lambda value: distinct(value))

    @field_validator("tokenizer_in_graph")
    @classmethod
    def _some_graph(cls, value: str | None, info: ValidationInfo) -> str | None:
        names = info.data.get("export")
        if value is not None and names and not any(takes_tokenizer(*name.split("-", 1)) for name in names):
            told = f"none of the exports can have its tokenizer in a graph: {', '.join(names)}"
            raise ValueError(told, "add onnx-int8 or openvino-int8, or leave it out")
        return value

    @field_validator("options")
    @classmethod
    def _options_of_the_task(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        name = info.data.get("task")
        if name is None or not value:  # a wrong task is told of already
            return value
        known = tasks.get(name).options
        for key in value:
            if key not in known:
                guess = did_you_mean(key, tuple(known))
                told = f"{name} has no option {key!r}" + (f"; {guess}" if guess else "")
                raise ValueError(told, f"known: {', '.join(known)}")
        try:
            tasks.get(name, value)
        except EdgebertError as error:
            raise ValueError(error.message, error.hint) from error
        return value

    def task_settings(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """What makes the task with `tasks.get`: its options (with what the teacher says of itself), and pairs."""
        pair = self.data.train.text_pair is not None and self.task == "text-classification"
        return {**options, **({"pair": True} if pair else {})}

    @property
    def folder(self) -> Path:
        """The recipe's own folder: what its paths are relative to."""
        return self._folder

    @property
    def max_length(self) -> int:
        """Tokens after which a text is cut."""
        return self.lengths[-1]

    def path_of(self, written: str) -> Path:
        """A path of the recipe, made absolute or relative to the working directory."""
        return self._folder / Path(written).expanduser()

    def model_source(self, written: str) -> Path | str:
        """What a teacher's (or base's) name leads to: a folder, or a hub id (`NAME` or `OWNER/NAME`)."""
        path = self.path_of(written)
        return written if _HUB_ID.fullmatch(written) and not path.is_dir() else path

    @property
    def masked_lm(self) -> str | None:
        """The model that augmentation asks for words, as it is written; None where it asks none."""
        return self.distill.augment.model if self.distill.augment is not None else None

    def section_json(self, *names: str) -> str:
        """Sections as canonical JSON for stage keys: defaults filled in, keys sorted, and no paths.

        Where a file lies does not change what is made of it; who builds a key adds the hash of its content.
        """
        whole = self.model_dump(mode="json", include=set(names))
        for name, split in self.data.splits().items() if "data" in names else ():
            whole["data"][name] |= {"path": None, "format": format_of(split)}
        if "student" in names and self.student.corpus:
            whole["student"]["corpus"] = "<file>"
        if "distill" in names and self.distill.augment is None:
            del whole["distill"]["augment"]  # so that students made before there was such a thing are kept
        elif "distill" in names and self.masked_lm is not None:
            whole["distill"]["augment"]["model"] = "<folder>"
        if whole.get("qat", whole) is None:
            del whole["qat"]
        if "teacher" in names:
            tuned = isinstance(self.teacher, FineTuneSpec)
            origin = self.teacher.base if isinstance(self.teacher, FineTuneSpec) else self.teacher
            if origin is not None and isinstance(self.model_source(origin), Path):
                whole["teacher"] = whole["teacher"] | {"base": "<folder>"} if tuned else "<folder>"
        return json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def load_recipe(path: str | Path, *, check_files: bool = True) -> Recipe:
    """Read a recipe; with `check_files`, the files and folders that it names must exist.

    Raises:
        RecipeError: everything that is wrong, a line each (`FILE:LINE: KEY: WHAT`).
    """
    path = Path(path)
    hint = "`edgebert init text-classification -o recipe.yaml` writes one to start from"
    try:
        raw = path.read_bytes() if path.stat().st_size <= MAX_BYTES else None
    except IsADirectoryError as error:
        raise RecipeError(f"{path}: this is a folder, not a recipe", hint) from error
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        raise RecipeError(
            f"{path}: {'no such file' if missing else error.strerror}", hint if missing else ""
        ) from error
    if raw is None:
        raise RecipeError(f"{path}: larger than a recipe can be ({MAX_BYTES} bytes)", hint)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        told = f"{path}:{line}: byte 0x{raw[error.start]:02x} at offset {error.start} is not UTF-8"
        raise RecipeError(told, "save the recipe as UTF-8") from error
    return parse_recipe(text, name=str(path), folder=path.parent, check_files=check_files)


def parse_recipe(text: str, *, name: str = "recipe", folder: Path | None = None, check_files: bool = False) -> Recipe:
    """A recipe from its text; `name` stands in errors, paths are relative to `folder`.

    Raises:
        RecipeError: everything that is wrong, a line each.
    """
    source = read_yaml(text)
    problems = source.problems
    if source.data is None and not problems:
        problems.append(Problem(1, "", "the recipe is empty", "`edgebert init TASK` writes one to start from"))
    elif not isinstance(source.data, dict | None):
        problems.append(Problem(1, "", "a recipe is a mapping (key: value)", "start with task: text-classification"))
    if not isinstance(source.data, dict):
        raise recipe_error(name, problems)
    try:
        recipe = Recipe.model_validate(source.data)
    except ValidationError as error:
        problems.extend(translate(error.errors(include_url=False), source, recipe_schema()))
        raise recipe_error(name, problems) from None
    recipe._folder = folder or Path()
    if check_files:
        problems.extend(_absent(recipe, source))
    if problems:
        raise recipe_error(name, problems)
    return recipe


def _absent(recipe: Recipe, source: Source) -> list[Problem]:
    """A problem for each file or folder that the recipe names and that is not there."""
    problems = []
    for name, split in recipe.data.splits().items():
        path = recipe.path_of(split.path)
        if not path.is_file():
            told = "is a folder" if path.is_dir() else f"no such file: {path}"
            line = source.line_of(("data", name, "path"))
            problems.append(Problem(line, f"data.{name}.path", told, "paths are relative to the recipe's own folder"))
    corpus = recipe.student.corpus
    if corpus is not None and not recipe.path_of(corpus).is_file():
        told, line = f"no such file: {recipe.path_of(corpus)}", source.line_of(("student", "corpus"))
        problems.append(Problem(line, "student.corpus", told, "paths are relative to the recipe's own folder"))
    tuned = isinstance(recipe.teacher, FineTuneSpec)
    origin = recipe.teacher.base if isinstance(recipe.teacher, FineTuneSpec) else recipe.teacher
    found = recipe.model_source(origin) if origin is not None else None
    asked = recipe.model_source(recipe.masked_lm) if recipe.masked_lm is not None else None
    for key, folder in (("teacher.base" if tuned else "teacher", found), ("distill.augment.model", asked)):
        if isinstance(folder, Path) and not folder.is_dir():
            line = source.line_of(tuple(key.split(".")))
            problems.append(Problem(line, key, f"no such folder: {folder}", "give a Hugging Face folder or a hub id"))
    return problems


def recipe_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a recipe, with a description and the default of every key."""
    schema = Recipe.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:edgebert:recipe:{SCHEMA_VERSION}",
        "version": SCHEMA_VERSION,
    } | schema
