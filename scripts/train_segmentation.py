"""Learns how people see regions, from what they drew in the training pictures of BSDS500.

    OMP_NUM_THREADS=1 .venv/bin/python scripts/train_segmentation.py ../shared/bsds500/train

Makes cbir/segment/efficientnet_lite0.npz: for the network's stages at one size of the picture and at two, the means and
the projection after which distances tell best whether people put two superpixels into one region, and the three
numbers of the log-odds (`cbir/segment/affinity.py`). Also prints such numbers for networks that nothing is learnt for.
The folder has pictures (.jpg) and beside each a .npz whose `segmentations` are label maps (people, height, width). The
pictures of its `val` are not looked at: `python -m benchmarks segmentation` reports on these.

Logistic regression over all pairs of superpixels of a picture, weighted by their areas, half of the loss for pairs
that touch; the target is the share of people who have the two in one region. Without a GPU, a few minutes; the same
numbers on every run on one machine.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from cbir.backbones.backbone import describe
from cbir.backbones.catalog import BUNDLED
from cbir.engines.select import open_engine
from cbir.segment.affinity import COLOUR_UNIT, general_points
from cbir.segment.hypercolumns import NOISE
from cbir.segment.merging import stages_of, working_copy
from cbir.segment.superpixels import Superpixels, superpixels
from cbir.utils.vectors import Floats, l2_normalize

#: What the stages count at the start, from fine to coarse, for the picture as it is and at twice its size, and colour.
PRIOR = ((0.30, 0.40, 0.70, 0.50, 0.55), (0.44, 0.27, 0.25, 0.30, 0.50))
PRIOR_COLOUR = 1.05

#: Principal components of each stage that the learning starts from, and how many directions are kept at its end.
COMPONENTS = 64
DIRECTIONS = 64

ROUNDS = 30
RATE = 1e-3
#: How strongly the projection is drawn to where it started.
PULL = 1e-4
#: Superpixels of a picture that one step looks at.
SAMPLE = 300


@dataclass
class Example:
    """A picture's superpixels, their stages for each size, and the share of people who have two in one region."""

    cut: Superpixels
    stages: list[list[Floats]]
    together: Floats


def main() -> None:
    """Read, learn, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="BSDS500's training pictures")
    parser.add_argument("--out", type=Path, default=Path(f"cbir/segment/{BUNDLED}.npz"), help="(%(default)s)")
    options = parser.parse_args()
    backbone = describe(BUNDLED)
    examples = read(options.folder, backbone.name)
    learnt: dict[str, npt.NDArray[np.generic]] = {"weights": np.array(backbone.weights.identity)}
    for sizes in (1, 2):
        means, projection, numbers = learn(examples, sizes)
        learnt[f"means-{sizes}"] = means.astype(np.float16)
        learnt[f"projection-{sizes}"] = projection.astype(np.float16)
        learnt[f"numbers-{sizes}"] = np.array(numbers, dtype=np.float32)
        print(f"{sizes} size(s): bias {numbers[0]:.3f}, slope {numbers[1]:.3f}, spatial {numbers[2]:.3f}")
    np.savez_compressed(options.out, **learnt)
    print(f"wrote {options.out}, {options.out.stat().st_size:,} bytes")
    print("in general:", general(examples))


def read(folder: Path, model: str) -> list[Example]:
    """All pictures of `folder`."""
    engine = open_engine(describe(model))
    examples = []
    for path in sorted(folder.glob("*.jpg")):
        image = working_copy(Image.open(path).convert("RGB"))
        cut = superpixels(np.asarray(image))
        maps = [
            np.asarray(Image.fromarray(one.astype(np.int32)).resize(image.size, Image.Resampling.NEAREST))
            for one in np.load(path.with_suffix(".npz"))["segmentations"]
        ]
        examples.append(Example(cut, stages_of(image, engine, cut, 2), shared_regions(cut, maps)))
    if not examples:
        raise SystemExit(f"There is no .jpg in {folder}.")
    return examples


def shared_regions(cut: Superpixels, maps: Sequence[npt.NDArray[np.int32]]) -> Floats:
    """The share of people who have a pixel of one superpixel and one of the other in one region, (n, n)."""
    together = np.zeros((len(cut), len(cut)))
    for labels in maps:
        regions = np.unique(labels, return_inverse=True)[1].ravel()
        count = int(regions.max()) + 1
        pixels = np.bincount(cut.labels.ravel() * count + regions, minlength=len(cut) * count).reshape(len(cut), count)
        shares = pixels / pixels.sum(axis=1, keepdims=True)
        together += shares @ shares.T
    return (together / len(maps)).astype(np.float32)


def learn(examples: Sequence[Example], sizes: int) -> tuple[Floats, Floats, tuple[float, float, float]]:
    """Means, projection and the three numbers, for the stages at the first `sizes` sizes."""
    vectors = [[l2_normalize(stage, NOISE) for of_size in one.stages[:sizes] for stage in of_size] for one in examples]
    priors = [weight for of_size in PRIOR[:sizes] for weight in of_size]
    shares = [one.cut.shares for one in examples]
    means, starts = [], []
    for i, prior in enumerate(priors):
        mean = np.mean([share @ one[i] for one, share in zip(vectors, shares, strict=True)], axis=0)
        scatter = sum(
            ((one[i] - mean) * share[:, np.newaxis]).T @ (one[i] - mean)
            for one, share in zip(vectors, shares, strict=True)
        )
        means.append(mean)
        starts.append(prior * np.linalg.eigh(scatter)[1][:, ::-1][:, :COMPONENTS])
    starts.append(PRIOR_COLOUR * np.eye(3))
    start = torch.block_diag(*(torch.tensor(np.ascontiguousarray(one), dtype=torch.float32) for one in starts)).numpy()
    mean = np.concatenate(means).astype(np.float32)
    points = [
        np.concatenate([np.concatenate(one, axis=1) - mean, example.cut.colours / COLOUR_UNIT], axis=1)
        for one, example in zip(vectors, examples, strict=True)
    ]
    turn, _ = fit([one @ start for one in points], examples)
    left, strengths, _ = np.linalg.svd(start @ turn, full_matrices=False)
    # distances only depend on the projection up to a rotation; without its weakest directions they are a bit shorter,
    # which the numbers make good
    projection = (left * strengths)[:, :DIRECTIONS].astype(np.float32)
    return mean, projection, fit([one @ projection for one in points], examples, turning=False)[1]


def fit(
    points: Sequence[Floats], examples: Sequence[Example], *, turning: bool = True
) -> tuple[Floats, tuple[float, float, float]]:
    """The matrix for `points`, each (n, dimension), and bias, slope and spatial; the matrix stays the identity
    without `turning`."""
    torch.manual_seed(0)
    drawn = torch.Generator().manual_seed(0)
    dimension = points[0].shape[1]
    turn = torch.eye(dimension, requires_grad=turning)
    bias, slope, spatial = (torch.tensor(value, requires_grad=True) for value in (2.0, 1.5, 0.0))  # the latter as logs
    rates = [RATE, 1e-2] if turning else [1e-2]
    groups = ([[turn]] if turning else []) + [[bias, slope, spatial]]
    optimiser = torch.optim.Adam([{"params": one, "lr": rate} for one, rate in zip(groups, rates, strict=True)])
    inputs = [torch.from_numpy(np.ascontiguousarray(one, dtype=np.float32)) for one in points]
    touching = [neighbours(one.cut) for one in examples]
    for number in range(ROUNDS):
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * (0.5 * (1 + np.cos(np.pi * number / ROUNDS)) + 0.01)
        for i in torch.randperm(len(examples), generator=drawn).tolist():
            chosen = torch.randperm(len(inputs[i]), generator=drawn)[:SAMPLE]
            cut = examples[i].cut
            placed = inputs[i][chosen] @ turn
            squares = (placed**2).sum(dim=1)
            squared = squares[:, None] + squares - 2 * placed @ placed.T
            centres = torch.from_numpy(cut.centres)[chosen]
            odds = (
                bias
                - slope.exp() * (squared.clamp(min=0) + 1e-4).sqrt()
                - spatial.exp() * torch.cdist(centres, centres)
            )
            target = torch.from_numpy(examples[i].together)[chosen][:, chosen]
            loss = torch.nn.functional.binary_cross_entropy_with_logits(odds, target, reduction="none")
            shares = torch.from_numpy(cut.shares)[chosen]
            everywhere = shares[:, None] * shares
            beside = touching[i][chosen][:, chosen] * everywhere
            total = 0.5 * (loss * everywhere).sum() / everywhere.sum() + 0.5 * (loss * beside).sum() / beside.sum()
            total = total + PULL * ((turn - torch.eye(dimension)) ** 2).sum()
            optimiser.zero_grad()
            total.backward()
            optimiser.step()
    return turn.detach().numpy(), (bias.item(), slope.exp().item(), spatial.exp().item())


def neighbours(cut: Superpixels) -> torch.Tensor:
    """1 where two superpixels touch, else 0: (n, n)."""
    beside = torch.zeros(len(cut), len(cut))
    first, second = torch.from_numpy(cut.edges).T
    beside[first, second] = beside[second, first] = 1
    return beside


def general(examples: Sequence[Example]) -> tuple[float, float, float]:
    """The three numbers for what `affinity.general_log_odds` does with one size of the picture."""
    points = [general_points(one.stages[0], one.cut) for one in examples]
    return fit(points, examples, turning=False)[1]


if __name__ == "__main__":
    main()
