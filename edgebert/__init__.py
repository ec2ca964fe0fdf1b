"""edgebert: a fine-tuned BERT in, INT8 artifacts out, each proven on the device it is for.

::

    recipe ─► teacher ─► student ─► artifact ×3 ─► device run ─► report

Read `edgebert.pipeline` to see that flow on one screen. In a product, two names are enough:

    import edgebert
    model = edgebert.load("build/intents/artifacts/tflite-int8")
    model.predict("turn the kitchen lights off")     # Prediction(label='lights_off', score=0.98)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgebert.errors import EdgebertError

if TYPE_CHECKING:
    from edgebert.model import Model
    from edgebert.report import Report

__version__ = "0.1.0"
__all__ = ["EdgebertError", "__version__", "load", "run"]


def load(path: str | Path, *, threads: int | Literal["auto"] = 1, low_power: bool = False) -> Model:
    """Load an artifact of any format, verified, ready to `predict`.

    The first time on a machine the artifact's golden answers are asked, and remembered.

    Args:
        path: an artifact folder.
        threads: of the engine, for one prediction; `auto`: measured once on this machine, and remembered.
        low_power: idle threads of the engine must not spin.

    Raises:
        ArtifactError: no artifact, damaged, of another format version, or answering otherwise on this machine.
        MissingExtra: its engine is not installed.
    """
    from edgebert.model import Model

    return Model.load(Path(path), threads=threads, low_power=low_power)


def run(recipe: str | Path, **options: Any) -> Report | None:
    """Run a recipe from the teacher to the report; the options are those of `edgebert.pipeline.run`.

    Returns the report, or None when `until` names an earlier stage.
    """
    from edgebert.pipeline import run as run_recipe

    return run_recipe(Path(recipe), **options)
