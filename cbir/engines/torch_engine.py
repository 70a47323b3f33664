"""The reference engine: the network in torch, on CUDA where there is a device, else on the CPU in float32."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np
import torch

from cbir.backbones.backbone import Backbone
from cbir.backbones.network import LastMap, Network, PlaceMaps, Pooled, Stages, Treated
from cbir.engines.engine import Engine, Features, Images, two_of
from cbir.errors import EngineError

# How torch and people call precisions.
_PRECISIONS = {
    "f32": (torch.float32, "float32"),
    "bf16": (torch.bfloat16, "bfloat16"),
    "f16": (torch.float16, "half precision"),
}


class TorchEngine(Engine):
    """An engine that runs a backbone in torch, on CUDA channels-last, fed from pinned memory.

    It computes in the `precision` of that name, by default in half precision on CUDA; EngineError on a CPU, where it
    computes in float32, if that is another.
    """

    def __init__(self, backbone: Backbone, precision: str | None = None) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.depth = 2
        self.batch = 128 if self.device.type == "cuda" else 16
        self._backbone = backbone
        self.network = backbone.build()
        self.precision = precision or ("f16" if self.device.type == "cuda" else "f32")
        if self.device.type == "cpu" and self.precision != "f32":
            raise EngineError(f"torch computes in f32 on a processor, not in {self.precision}.")
        # only the network proper: its input is normalised in float32 before it is cast
        dtype, name = _PRECISIONS[self.precision]
        self.network.headless.to(dtype)
        self.network = self.network.to(self.device).to(memory_format=torch.channels_last)
        self._making = threading.Lock()
        self._made: dict[Callable[[Network], torch.nn.Module], torch.nn.Module] = {}
        device = torch.cuda.get_device_name() if self.device.type == "cuda" else "CPU"
        self.description = f"torch {torch.__version__}, {device}, {name}"

    def try_out(self) -> None:
        """Compute a whole batch, halved until the card has memory for it; RuntimeError where it can do none."""
        side = self._backbone.preprocessing.crop
        while True:
            try:
                self.features(np.zeros((self.batch, side, side, 3), dtype=np.uint8))
                return
            except torch.cuda.OutOfMemoryError:
                if self.batch == 1:
                    raise
                self.batch //= 2
                torch.cuda.empty_cache()

    def start(self, images: Images) -> Callable[[], Features]:
        with torch.inference_mode():
            fetch = self._fetch(self.network(self._send(images)))
        return lambda: fetch()[0]

    def start_treated(self, images: Images) -> Callable[[], tuple[Features, Features]]:
        treated = self._module(Treated)
        with torch.inference_mode():
            return two_of(self._fetch(*treated(self._send(images))))

    def stages(self, images: Images) -> list[Features]:
        stages = self._module(Stages)
        with torch.inference_mode():
            return self._fetch(*stages(self._send(images)))()

    def last_map(self, images: Images) -> Features:
        last_map = self._module(LastMap)
        with torch.inference_mode():
            return self._fetch(last_map(self._send(images)))()[0]

    def start_places(self, images: Images) -> Callable[[], tuple[Features, Features]]:
        place_maps = self._module(PlaceMaps)
        with torch.inference_mode():
            return two_of(self._fetch(*place_maps(self._send(images))))

    def start_pooled(self, images: Images) -> Callable[[], list[Features]]:
        pooled = self._module(Pooled)
        with torch.inference_mode():
            return self._fetch(*pooled(self._send(images)))

    def _module(self, kind: Callable[[Network], torch.nn.Module]) -> torch.nn.Module:
        """Return what reads the network's maps, made now if it was not yet."""
        if kind not in self._made:
            with self._making:
                if kind not in self._made:
                    self._made[kind] = kind(self.network)
        return self._made[kind]

    def _send(self, images: Images) -> torch.Tensor:
        images = np.ascontiguousarray(images)  # torch knows no negative strides
        # a copy where the array is read-only, as a view of a Pillow image is: torch wants to be able to write
        tensor = torch.from_numpy(images if images.flags.writeable else images.copy())
        if self.device.type == "cuda":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor

    def _fetch(self, *found: torch.Tensor) -> Callable[[], list[Features]]:
        """Begin to bring tensors back in float32; what is returned waits for them, but for nothing begun after them."""
        outputs = [one.float().contiguous() for one in found]
        if self.device.type == "cpu":
            return lambda: [one.numpy() for one in outputs]
        outputs = [one.to("cpu", non_blocking=True) for one in outputs]
        # a wait that asks again and again would take a core from the decoders
        done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        done.record()

        def finish() -> list[Features]:
            done.synchronize()
            return [one.numpy().copy() for one in outputs]  # what was pinned for them goes to the next batch

        return finish


class TorchText:
    """The text encoder of a backbone in torch, in float32, on CUDA where there is a device, else on the CPU."""

    def __init__(self, backbone: Backbone) -> None:
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._tokens = backbone.tokens
        self._encoder = backbone.build_text().to(self._device).eval()

    def __call__(self, texts: Sequence[str]) -> Features:
        with torch.inference_mode():
            found: torch.Tensor = self._encoder(torch.from_numpy(self._tokens(texts)).to(self._device))
        return np.asarray(found.float().cpu().numpy())
