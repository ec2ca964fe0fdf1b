"""`edgebert`, whose trainings save every half second: a small one can be killed between two checkpoints."""

from __future__ import annotations

from typing import Any

from edgebert.cli import main
from edgebert.compress.distill import distill
from edgebert.compress.finetune import fine_tune

for training in (distill, fine_tune):
    defaults: dict[str, Any] | None = training.__kwdefaults__
    assert defaults is not None
    defaults["checkpoint_every"] = 0.5

if __name__ == "__main__":
    main()
