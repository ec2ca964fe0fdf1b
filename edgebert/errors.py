"""Every error that edgebert raises on purpose.

::

    EdgebertError            exit code
    ├── UsageError           2   a command or argument that cannot be obeyed
    ├── RecipeError          2   the recipe
    ├── DataError            2   training, test or input text
    ├── MissingExtra         2   a package that an extra of edgebert brings
    ├── DeviceError          3   a device cannot be reached or used
    ├── ArtifactError        4   an artifact is damaged, or computes something else than it should
    ├── ExportError          5   a conversion failed, or lost too much
    └── TrainingError        5   fine-tuning or distillation failed

Each carries two lines: what is wrong and where, then how to mend it.
"""

from __future__ import annotations

import importlib
from types import ModuleType


class EdgebertError(Exception):
    """What is wrong (`message`) and how to mend it (`hint`)."""

    exit_code = 70

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)  # both, so that the error survives pickling between processes
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class UsageError(EdgebertError):
    """A command or an argument that cannot be obeyed."""

    exit_code = 2


class RecipeError(EdgebertError):
    """The recipe is missing, malformed or contradicts itself."""

    exit_code = 2


class DataError(EdgebertError):
    """Text or labels that cannot be used."""

    exit_code = 2


class MissingExtra(EdgebertError):  # noqa: N818 (reads as a sentence)
    """A package is not installed that one of edgebert's extras brings."""

    exit_code = 2


class DeviceError(EdgebertError):
    """A device cannot be reached, or a job on it failed."""

    exit_code = 3


class ArtifactError(EdgebertError):
    """An artifact is damaged, unreadable, or gives other answers than its golden ones."""

    exit_code = 4


class ExportError(EdgebertError):
    """A conversion failed, or its result lost too much to be called an artifact."""

    exit_code = 5


class TrainingError(EdgebertError):
    """Fine-tuning or distillation failed."""

    exit_code = 5


def require(module: str, extra: str) -> ModuleType:
    """Import `module`, or say which extra of edgebert installs it.

    Raises:
        MissingExtra: the module, or one that it needs, is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.split(".")[0] == "edgebert":
            raise
        raise MissingExtra(
            f"the package {error.name or module!r} is not installed",
            f'install it with: pip install "edgebert[{extra}]"',
        ) from error
