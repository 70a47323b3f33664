"""Learns the whitening of parts that comes with cbir, from the windows of photos.

    .venv/bin/python scripts/learn_parts.py ../shared/photos ../shared/bsds500/val

Makes cbir/parts/efficientnet_lite0.npz: means, principal directions and variances of the network's two maps
(`cbir/parts/whitening.py`). Photos from which the benchmark `parts` cuts its objects are left out.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.composites import composites
from cbir.backbones.backbone import describe
from cbir.backbones.catalog import BUNDLED
from cbir.parts.reader import PartReader
from cbir.parts.whitening import Learner


def main() -> None:
    """Read, learn, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="photos (.jpg)")
    parser.add_argument("--work", type=Path, default=Path("benchmarks/work"), help="of the benchmarks (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path(f"cbir/parts/{BUNDLED}.npz"), help="(%(default)s)")
    options = parser.parse_args()
    shared = Path(os.environ.get("CBIR_SHARED") or "../shared")
    used = {one.photo.resolve() for one in composites(options.work.resolve(), shared.resolve())}
    files = [path for folder in options.folders for path in sorted(folder.rglob("*.jpg")) if path.resolve() not in used]
    if not files:
        raise SystemExit(f"There is no .jpg in {', '.join(map(str, options.folders))}.")
    reader = PartReader(describe(BUNDLED))
    learner = Learner()
    for path in files:
        learner.add(reader.parts(Image.open(path).convert("RGB"))[1])
    whitening = learner.learn()
    np.savez_compressed(options.out, weights=np.array(reader.backbone.weights.identity), **whitening.arrays())
    print(f"{len(files):,} pictures: wrote {options.out}")


if __name__ == "__main__":
    main()
