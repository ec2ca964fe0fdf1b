"""The golden answers at an artifact's first load on a machine; later loads only look up that they held.

Apart from `edgebert.golden`, which a later load need not import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgebert import __version__, cache, cpu
from edgebert.artifact import Artifact
from edgebert.errors import ArtifactError
from edgebert.protocols import Runtime
from edgebert.words import version_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: The kind of what is remembered.
KIND = "golden"


def ensure(artifact: Artifact, runtime: Runtime, tokenizer: Tokenizer) -> None:
    """Ask the golden texts unless this engine answered them rightly on this processor before.

    Remembered in the user's cache folder by artifact id, engine and its settings, the versions of edgebert and of the
    tokenizer, and the processor's name and features. A wrong answer is never remembered.

    Args:
        artifact: verified.
        runtime: the artifact, loaded.
        tokenizer: of the artifact, as it is used to predict.

    Raises:
        ArtifactError: an answer is another one than where the artifact was made.
    """
    key = {
        "artifact": artifact.artifact_id,
        "engine": runtime.engine,
        "settings": {name: str(value) for name, value in runtime.settings.items()},
        "tokenizer": version_of(tokenizer),
        "edgebert": __version__,
        "cpu": cpu.identity(),
    }
    if cache.recall(KIND, key) is True:
        return
    from edgebert import golden

    found = golden.check(artifact, runtime, tokenizer)
    if not found.ok:
        raise ArtifactError(
            f"{artifact.path} answers otherwise in {runtime.engine} here than where it was made: {found.details}",
            "use another version of the engine, or another precision (tflite-int8-legacy for tflite-runtime 2.14)",
        )
    cache.remember(KIND, key, True)
