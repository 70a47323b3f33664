"""A server of runs that die at a chosen step, as `faults` is, which knows tiny networks of open_clip and timm."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

# a file that is run as a program has its own folder in front
sys.path[0] = str(Path(__file__).parents[2])

from tests.helpers.faults import serve  # noqa: E402

if __name__ == "__main__":
    # loaded once, and not by each run
    import timm  # noqa: F401
    import torchvision  # noqa: F401

    from tests.helpers.tiny_clip import known

    with tempfile.TemporaryDirectory() as folder, known(Path(folder)):
        serve()
