"""`edgebert init TASK`: a commented recipe to start from."""

from __future__ import annotations

import difflib
from importlib.resources import files

from edgebert.errors import UsageError


def templates() -> list[str]:
    """The tasks that there is a recipe for."""
    folder = files("edgebert").joinpath("templates")
    return sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml"))


def template(task: str) -> str:
    """A commented recipe for `task`; it loads as it is once its data files and its teacher are there.

    Raises:
        UsageError: there is no recipe for such a task.
    """
    known = templates()
    if task not in known:
        close = difflib.get_close_matches(task, known, n=1)
        guess = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
        raise UsageError(f"no recipe for the task {task!r}", guess)
    return files("edgebert").joinpath("templates", f"{task}.yaml").read_text(encoding="utf-8")
