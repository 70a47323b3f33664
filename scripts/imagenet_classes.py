"""Write cbir/backbones/imagenet_classes.txt: the WordNet id and the name of each of ImageNet's 1,000 classes.

    pip download --no-deps timm && unzip -p timm-*.whl timm/data/_info/imagenet_synsets.txt > synsets.txt
    python scripts/imagenet_classes.py synsets.txt

Names and their order are those of torchvision (BSD-3-Clause), which has no ids; these come from a file with one a line
in the same order, which is that of the ids, as the challenge of 2012 numbered its classes.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from torchvision.models import ResNet50_Weights

TARGET = Path(__file__).resolve().parents[1] / "cbir" / "backbones" / "imagenet_classes.txt"


def main() -> None:
    """Read the ids, check them, write both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("synsets", type=Path, help="a file with the 1,000 WordNet ids, one a line")
    ids = parser.parse_args().synsets.read_text(encoding="ascii").split()
    names = ResNet50_Weights.IMAGENET1K_V1.meta["categories"]
    if len(ids) != 1000 or ids != sorted(set(ids)) or not all(re.fullmatch(r"n\d{8}", one) for one in ids):
        parser.error("these are not 1,000 ids in their order")
    lines = [f"{one} {name}\n" for one, name in zip(ids, names, strict=True)]
    TARGET.write_text("".join(lines), encoding="ascii")


if __name__ == "__main__":
    main()
