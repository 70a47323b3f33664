"""Trains the text encoder of the network `toy` (cbir/backbones/toy.py) with the names of folders, in seconds.

    .venv/bin/python scripts/train_toy.py dataset/photos toy.pth --labels dataset/hours.csv

Each subfolder's pictures are described by its name, "mountain lakes" of `mountain_lakes`, in the plural and in the
singular, and by the class that --labels gives them. Texts and pictures that belong together are drawn to each other,
others apart (Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021); the
network of the images stays as it is (Zhai et al., "LiT", CVPR 2022). Every second picture of a folder is left out, so
that it can be tried on these.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np
import torch

from cbir.backbones.catalog import BUNDLED, KNOWN
from cbir.backbones.toy import TOY, WIDTH, WORDS, tokens
from cbir.backbones.toy_text import BagOfWords
from cbir.extract.extractor import Extractor
from cbir.learn.lists import read_labels
from cbir.words.prompts import PROMPTS

#: The scale of cosines: that which CLIP's training arrives at.
SCALE = 100
STEPS, RATE, DECAY = 300, 0.01, 1e-4


def main() -> None:
    """Train, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a folder of pictures (.jpg) in each subfolder")
    parser.add_argument("out", type=Path, help="the file of weights to be written")
    parser.add_argument("--labels", type=Path, help="CSV of path,class, as `cbir learn --labels` reads it")
    options = parser.parse_args()
    given = {one.path: one.class_name for one in read_labels(options.labels)} if options.labels else {}
    folders = [one for one in sorted(options.folder.iterdir()) if one.is_dir()]
    files = [path for folder in folders for path in sorted(folder.glob("*.jpg"))[::2]]
    if len(folders) < 2 or not files:
        raise SystemExit(f"{options.folder} has no pictures (.jpg) in at least two folders.")
    described = [
        (path.parent.name.replace("_", " "), given.get(f"{path.parent.name}/{path.name}", "")) for path in files
    ]
    features = torch.from_numpy(Extractor(BUNDLED).encode(files))
    encoder = trained(features, described)
    torch.save(encoder.state_dict(), options.out)
    print(
        f"{options.out}: taught {len(set(described))} descriptions of {len(files)} pictures in {len(folders)} folders"
    )


def caption(name: str, label: str, draw: random.Random) -> tuple[str, str, str]:
    """Return a text for a picture, by its folder's name, its label or both, and which of them it speaks of."""
    name, label = draw.choice([(name, ""), ("", label), (name, label)]) if label else (name, "")
    singular = f"{name[:-3]}y" if name.endswith("ies") else name.removesuffix("s")
    one = draw.choice([name, singular])
    said = draw.choice([f"{one} in the {label}", f"{one} at {label}"]) if name and label else one or label
    return draw.choice(["{}", *PROMPTS]).format(said), name, label


def trained(features: torch.Tensor, described: list[tuple[str, str]]) -> BagOfWords:
    """Train an encoder on features of pictures, shape (n, dimension), of length 1, and their names and labels."""
    draw = random.Random(7)
    encoder = BagOfWords(WORDS, WIDTH, KNOWN[BUNDLED].dimension)
    optimiser = torch.optim.AdamW(encoder.parameters(), lr=RATE, weight_decay=DECAY)
    known = np.zeros(1 + WORDS, dtype=bool)
    for _ in range(STEPS):
        captions = [caption(*one, draw) for one in described]
        numbers = tokens(TOY, [text for text, _, _ in captions])
        known[numbers] = True
        logits = SCALE * torch.nn.functional.normalize(encoder(torch.from_numpy(numbers)), dim=1) @ features.T
        fits = torch.tensor(
            [
                [name in ("", its) and label in ("", its_label) for its, its_label in described]
                for _, name, label in captions
            ],
            dtype=torch.float32,
        )
        loss = _entropy(logits, fits) + _entropy(logits.T, fits.T)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        encoder.words.weight[torch.from_numpy(~known)] = 0  # words that it was not taught say nothing
    return encoder


def _entropy(logits: torch.Tensor, fits: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy of rows of logits with those that fit, all alike, shape ()."""
    wanted = fits / fits.sum(1, keepdim=True).clamp(min=1)
    return -(wanted * torch.log_softmax(logits, 1)).sum(1).mean()


if __name__ == "__main__":
    main()
