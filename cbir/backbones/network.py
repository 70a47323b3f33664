"""A backbone in torch: a headless network that takes pictures as they are and can also give its stages."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import nn

from cbir.backbones.treatment import WITHOUT_EARLY_MAPS, early
from cbir.errors import ModelError
from cbir.images.fit import Preprocessing
from cbir.images.large import MULTIPLE

_WITHOUT_PLACES = (
    "This backbone has no maps of what is where in a picture, or takes pictures of one size only: "
    "choose another, efficientnet_lite0 for one."
)


#: Pixels of a picture's side that a token stands for in maps of tokens.
CELL = 16


class Network(nn.Module):
    """A network without its classifier, with the normalisation of its input in front.

    `forward` takes uint8 pictures of shape (n, height, width, 3) and returns features of shape (n, dimension).
    `headless` maps normalised pictures (n, 3, height, width) to features.
    """

    def __init__(self, headless: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.headless = headless
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", 1 / torch.tensor(preprocessing.std).view(1, 3, 1, 1), persistent=False)

    def normalise(self, pictures: torch.Tensor) -> torch.Tensor:
        """Turn uint8 (n, height, width, 3) into the network's own floating-point type, (n, 3, height, width)."""
        mean, scale = self.get_buffer("mean"), self.get_buffer("scale")
        normalised = (pictures.permute(0, 3, 1, 2).to(mean.dtype) - mean) * scale
        return normalised.to(next(self.headless.parameters()).dtype)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.headless(self.normalise(pictures))
        return features


def has_tokens(network: Network) -> bool:
    """Tell whether a network of patches gives its own maps: `headless.token_maps` then makes two, the coarse one last.

    From normalised pictures (n, 3, height, width), sides multiples of 32, come arrays (n, channels, height / 16,
    width / 16) and (n, channels, height / 32, width / 32).
    """
    return hasattr(network.headless, "token_maps")


class Stages(nn.Module):
    """The maps that a network has just before each change of resolution, from fine to coarse.

    `forward` takes uint8 pictures of shape (n, height, width, 3), sides multiples of 32, and returns a tuple of
    arrays (n, channels, height / 2^i, width / 2^i), one a stage.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.units = () if has_tokens(network) else _stage_units(network)
        self.outputs = _Outputs(network, self.units)

    @property
    def count(self) -> int:
        """The number of maps: a network of patches makes two of its tokens."""
        return 2 if has_tokens(self.network) else len(self.units)

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if has_tokens(self.network):
            return tuple(self.network.headless.token_maps(self.network.normalise(pictures)))  # type: ignore[operator]
        with self.outputs.kept() as maps:
            _run_units(self.network, pictures)
        return tuple(maps[name] for name in self.units)


class Treated(nn.Module):
    """A network's features, and how a picture was treated: the mean and the deviation of each channel of early maps.

    `forward` takes uint8 pictures of shape (n, height, width, 3) and returns both, shapes (n, dimension) and
    (n, 2 * channels), in the order of `treatment.moments`. ModelError where a network has no such maps.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        if has_tokens(network):
            raise ModelError(WITHOUT_EARLY_MAPS)
        self.network = network
        try:
            self.units = early(_stage_units(network))
        except ModelError as error:
            raise ModelError(WITHOUT_EARLY_MAPS) from error
        self.outputs = _Outputs(network, self.units)

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with self.outputs.kept() as maps:
            features = self.network(pictures)
        found = []
        for name in self.units:
            map_ = maps[name].float()  # squares may be more than half precision holds
            mean = map_.mean((2, 3), keepdim=True)
            found += [mean.flatten(1), ((map_ - mean) ** 2).mean((2, 3)).sqrt()]
        return features, torch.cat(found, dim=1)


class LastMap(nn.Module):
    """The map whose mean over all places is a network's features: what it sees at each place, as its head takes it.

    `forward` takes uint8 pictures of shape (n, height, width, 3), sides multiples of 32, and returns an array
    (n, dimension, rows, columns). ModelError where features are no such mean, as in VGG16 or a vision transformer.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        if has_tokens(network):
            raise ModelError("This backbone's features are not the mean of a map.")
        self.network = network
        self.unit, self.is_rectified = _pooled_unit(network)
        self.outputs = _Outputs(network, [self.unit])

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        with self.outputs.kept() as maps:
            self.network(pictures)
        return self.of(maps)

    def of(self, maps: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the map among `outputs` that were kept."""
        found = maps[self.unit]
        return nn.functional.relu(found) if self.is_rectified else found


class PlaceMaps(nn.Module):
    """Two maps of what a network sees at each place: the coarse one that its head takes, and one twice as fine.

    `forward` takes uint8 pictures of shape (n, height, width, 3), sides multiples of 32, and returns both, the coarse
    one first, shapes (n, channels, rows, columns). The coarse one is LastMap's or, where features are no mean of a
    map, the last of Stages'; the fine one is the stage just finer. ModelError where there are no such maps.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        try:
            self.stages = Stages(network)
        except ModelError as error:
            raise ModelError(_WITHOUT_PLACES) from error
        try:
            self.last: LastMap | None = None if has_tokens(network) else LastMap(network)
        except ModelError:
            self.last = None
        with torch.inference_mode():
            grey = torch.full((1, 256, 256, 3), 127, dtype=torch.uint8)
            maps = self.stages(grey.to(next(network.headless.parameters()).device))
            rows = (maps[-1] if self.last is None else self.last(grey.to(maps[0].device))).shape[2]
        finer = [number for number, stage in enumerate(maps) if stage.shape[2] > rows]
        if not finer:
            raise ModelError(_WITHOUT_PLACES)
        self.fine = finer[-1]

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if self.last is None:
            maps = self.stages(pictures)
            return maps[-1], maps[self.fine]
        with self.last.outputs.kept() as kept:
            maps = self.stages(pictures)
        return self.last.of(kept), maps[self.fine]


class Pooled(nn.Module):
    """The mean of each of a network's stages over its places, and its features, in one pass.

    `forward` takes uint8 pictures of shape (n, side, side, 3), of the network's own side, and returns a tuple of
    arrays (n, channels), one a stage, fine to coarse, the features last. ModelError where there are no stages.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.stages = Stages(network)

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with self.stages.outputs.kept() as kept:
            features = self.network(pictures)
        if has_tokens(self.network):
            maps = self.network.headless.token_maps(_whole_cells(self.network.normalise(pictures)))  # type: ignore[operator]
        else:
            maps = [kept[name] for name in self.stages.units]
        # in float32, since a sum over all places of a fine map is large for half precision
        return *(one.mean((2, 3), dtype=torch.float32) for one in maps), features


def _whole_cells(pictures: torch.Tensor) -> torch.Tensor:
    """Enlarge pictures (n, 3, side, side) to the next multiple of MULTIPLE, which maps of tokens need."""
    side = math.ceil(pictures.shape[2] / MULTIPLE) * MULTIPLE
    return pictures if side == pictures.shape[2] else nn.functional.interpolate(pictures, (side, side), mode="bilinear")


class _Outputs:
    """The outputs of some modules of a network, by their `names`, kept for the thread that wants them alone."""

    def __init__(self, network: Network, names: Sequence[str]) -> None:
        self._of_thread = threading.local()
        for name in names:
            network.headless.get_submodule(name).register_forward_hook(self._keep(name))

    def _keep(self, name: str) -> Callable[[nn.Module, object, torch.Tensor], None]:
        def hook(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
            if (kept := getattr(self._of_thread, "kept", None)) is not None:
                kept[name] = output

        return hook

    @contextlib.contextmanager
    def kept(self) -> Iterator[dict[str, torch.Tensor]]:
        """Keep what these modules put out within this `with`, by their names."""
        kept: dict[str, torch.Tensor] = {}
        self._of_thread.kept = kept
        try:
            yield kept
        finally:
            self._of_thread.kept = None


def _pooled_unit(network: Network) -> tuple[str, bool]:
    """Find the module whose output's mean is the features, by name, and whether a ReLU comes between (DenseNet).

    Found by running a picture of noise through the network and comparing; of several the last.
    """
    headless, thread = network.headless, threading.get_ident()  # others may be using the network
    maps: list[tuple[str, torch.Tensor]] = []

    def watch(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, inputs: object, output: object) -> None:
            if not isinstance(output, torch.Tensor) or threading.get_ident() != thread:
                return
            if output.dim() == 4 and min(output.shape[2:]) > 1:
                maps.append((name, output.clone()))  # before something may change it in place

        return hook

    handles = [module.register_forward_hook(watch(name)) for name, module in headless.named_modules() if name]
    parameter = next(headless.parameters())
    noise = torch.randint(0, 256, (1, 256, 384, 3), generator=torch.Generator().manual_seed(7), dtype=torch.uint8)
    try:
        with torch.inference_mode():
            features = network(noise.to(parameter.device))
    except (AssertionError, RuntimeError) as error:
        raise ModelError(f"This backbone takes pictures of one size only ({error}).") from error
    finally:
        for handle in handles:
            handle.remove()
    for name, found in reversed(maps):
        if found.shape[:2] == features.shape:
            for is_rectified in (False, True):
                mean = (nn.functional.relu(found) if is_rectified else found).mean((2, 3), dtype=torch.float32)
                if torch.allclose(mean, features.float(), rtol=1e-2, atol=1e-3 * float(features.float().abs().max())):
                    return name, is_rectified
    raise ModelError("This backbone's features are not the mean of a map.")


def _run_units(network: Network, pictures: torch.Tensor) -> None:
    """Run what makes the stages of uint8 pictures, which is all of a network, or its own `forward_units`."""
    getattr(network.headless, "forward_units", network.headless)(network.normalise(pictures))


def _stage_units(network: Network) -> Sequence[str]:
    """Find the units whose outputs are the stages, by name, running one grey picture through the network.

    A unit is what an `nn.Sequential`, or the network itself, strings together: a single layer or a whole residual
    block. The last unit of each resolution counts; resolutions that only a pooling layer has do not. A network
    may name its own as `stage_units`, or as `units_in` a module within it that strings them together.
    """
    own: Sequence[str] | None = getattr(network.headless, "stage_units", None)
    if own is not None:
        return own
    seen: list[tuple[str, nn.Module, torch.Size]] = []
    thread = threading.get_ident()  # others may be using the network

    def watch(name: str, unit: nn.Module) -> None:
        def hook(module: nn.Module, inputs: object, output: object) -> None:
            if threading.get_ident() == thread and isinstance(output, torch.Tensor) and output.dim() == 4:
                seen.append((name, module, output.shape))

        handles.append(unit.register_forward_hook(hook))

    def descend(prefix: str, parent: nn.Module) -> None:
        for name, child in parent.named_children():
            path = f"{prefix}{name}"
            if isinstance(child, (nn.Sequential, nn.ModuleList)):
                descend(f"{path}.", child)
            else:
                watch(path, child)

    handles: list[torch.utils.hooks.RemovableHandle] = []
    inner = getattr(network.headless, "units_in", "")
    descend(inner and f"{inner}.", network.headless.get_submodule(inner))
    height, width = 256, 384  # unlike, to tell (n, channels, height, width) from (n, height, width, channels)
    try:
        with torch.inference_mode():
            grey = torch.full((1, height, width, 3), 127, dtype=torch.uint8)
            _run_units(network, grey.to(next(network.headless.parameters()).device))
    except (AssertionError, RuntimeError) as error:
        raise ModelError(f"This backbone takes pictures of one size only, so it cannot segment ({error}).") from error
    finally:
        for handle in handles:
            handle.remove()
    stages: dict[int, str] = {}
    for name, unit, (_, channels, rows, columns) in seen:
        is_map = rows > 1 and abs(columns / rows - width / height) < 0.2 and channels > 3
        reduction = 2 ** round(math.log2(height / max(rows, 1)))
        if is_map and (reduction in stages or not _is_pooling(unit)):
            stages[reduction] = name
    if len(stages) < 2:
        raise ModelError("This backbone has no maps of features to segment by.")
    return [stages[reduction] for reduction in sorted(stages)]


def _is_pooling(unit: nn.Module) -> bool:
    return "Pool" in type(unit).__name__
