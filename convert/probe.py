"""A model in, the values of its every tensor out."""

from __future__ import annotations

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from convert.quiet import quiet_stderr


class Probe:
    """A model that runs on LiteRT's reference kernels, which keep what is between its ends."""

    def __init__(self, content: bytes) -> None:
        with quiet_stderr():
            self._runtime = Interpreter(
                model_content=content,
                experimental_preserve_all_tensors=True,
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )
            self._runtime.allocate_tensors()
        self._pixels = self._runtime.get_input_details()[0]
        self._details = {each["name"]: each for each in self._runtime.get_tensor_details()}

    def run(self, image: NDArray[np.uint8]) -> None:
        """Run on (height, width, 1) pixels."""
        values = image[np.newaxis].astype(self._pixels["dtype"])
        self._runtime.set_tensor(self._pixels["index"], values)
        self._runtime.invoke()

    def values(self, name: str) -> NDArray[np.float64]:
        """The tensor of that name as real values."""
        details = self._details[name]
        scale, zero_point = details["quantization"]
        stored = self._runtime.get_tensor(details["index"]).astype(np.float64)
        real: NDArray[np.float64] = stored if scale == 0 else scale * (stored - zero_point)
        return real
