"""Requests of a compiled network of OpenVINO, which any number of threads may share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino

from cbir.engines.engine import Features

# OpenVINO's binding makes its tables of types when it first sees an array and first gives one. While it does so it
# holds a lock of its own and lets go of Python's: two threads that are the first at once wait for each other for ever.
# So they are made here, where the lock of imports lets one thread in.
openvino.Tensor(np.zeros(1, dtype=np.float32)).data  # noqa: B018


class Requests:
    """The requests of one compiled network, for any number of threads and of batches under way.

    Where none is idle, whoever needs one waits for the oldest, and keeps its outputs for whoever began it. So it does
    not matter whether that one ever asks for them, and none waits for another who waits for it.
    """

    def __init__(self, compiled: openvino.CompiledModel, count: int) -> None:
        self._all = [_Request(compiled.create_infer_request()) for _ in range(count)]
        self._begun = 0
        self._turn = threading.Lock()  # to begin: those who need a request wait for one in the order of their coming

    def start(self, inputs: npt.NDArray[Any]) -> Callable[[], list[Features]]:
        """Begin with a batch; what is returned waits for its outputs. RuntimeError where OpenVINO cannot."""
        with self._turn:
            request = min(self._all, key=lambda one: one.number)
            request.end()
            self._begun += 1
            return request.start(np.ascontiguousarray(inputs), self._begun)


class _Request:
    """A request, which has one batch at a time under way: the `number`th of its network, or none, 0.

    An interrupt may come anywhere: what was begun is then ended by the next who needs the request.
    """

    def __init__(self, request: openvino.InferRequest) -> None:
        self._request = request
        self._under_way: tuple[Future[list[Features]], npt.NDArray[Any]] | None = None
        self._number = 0
        self._changing = threading.Lock()  # never held while the network computes

    @property
    def number(self) -> int:
        return self._number if self._under_way is not None else 0

    def start(self, inputs: npt.NDArray[Any], number: int) -> Callable[[], list[Features]]:
        batch: Future[list[Features]] = Future()
        with self._changing:
            self._number = number
            self._under_way = batch, inputs  # which the request reads from until it is done
            try:
                self._request.start_async([inputs], share_inputs=True)
            except Exception:
                self._under_way = None
                raise

        def finish() -> list[Features]:
            self._end(batch)
            return batch.result()

        return finish

    def end(self) -> None:
        """Wait until what is under way is done, if something is, and keep its outputs, or why there are none."""
        if (under_way := self._under_way) is not None:
            self._end(under_way[0])

    def _end(self, batch: Future[list[Features]]) -> None:
        if batch.done():
            return
        failure: Exception | None = None
        try:
            self._request.wait()
        except Exception as error:
            failure = error
        with self._changing:
            if batch.done():  # another thread was quicker
                return
            if failure is None:
                batch.set_result(outputs_of(self._request))
            else:
                batch.set_exception(failure)
            self._under_way = None


def outputs_of(request: openvino.InferRequest) -> list[Features]:
    """Copy what a request that is done has computed, as float32."""
    outputs = range(len(request.model_outputs))
    # copies: the request's own arrays are overwritten by the next call
    return [np.array(request.get_output_tensor(i).data, dtype=np.float32) for i in outputs]
