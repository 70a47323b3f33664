"""Weights for the toy network, trained once in a test session, and an index that it makes."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from cbir.cli import cli

CHECKOUT = Path(__file__).resolve().parents[2]
DRAWN = CHECKOUT / "dataset" / "photos"


def toy_weights() -> Path:
    """Train the toy network with the drawn pictures, as docs/text.md says, and return the file of its weights."""
    out = _session() / "toy.pth"
    if not out.exists():
        made = out.with_name(f"toy-{os.getpid()}.pth")
        arguments = ["scripts/train_toy.py", "dataset/photos", made, "--labels", "dataset/hours.csv"]
        done = subprocess.run([sys.executable, *arguments], cwd=CHECKOUT, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        # another process may have trained others meanwhile, and made an index by them: these stay the session's
        with contextlib.suppress(FileExistsError):
            os.link(made, out)
        made.unlink()
    return out


@functools.cache
def toy_index() -> Path:
    """Index the drawn pictures by the toy network, and return the index's directory, which tests leave as it is."""
    directory = _session() / f"toy-index-{os.getpid()}"
    result = CliRunner().invoke(
        cli, ["index", str(DRAWN), "--index", str(directory), "--model", "toy", "--weights", str(toy_weights())]
    )
    assert result.exit_code == 0, result.output
    return directory


def _session() -> Path:
    return Path(os.environ["CBIR_TESTS_SESSION"])
