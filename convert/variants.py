"""The variants a network can be converted to: how each stores weights, inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to quantize. `interface` is the dtype of input and output; pixels are always 0–255."""

    name: str
    weights: str
    interface: str
    calibrated: bool = False  # whether activations are quantized too, with ranges from samples

    @property
    def scheme(self) -> dict[str, str]:
        """The value of `quantization` in `spec.json`."""
        return {
            "scheme": self.name,
            "weights": self.weights,
            "input": self.interface,
            "output": self.interface,
        }


FLOAT32 = Variant("float32", weights="float32", interface="float32")
FLOAT16 = Variant("float16", weights="float16", interface="float32")
DYNAMIC = Variant("dynamic", weights="int8", interface="float32")
INT8 = Variant("int8", weights="int8 per channel", interface="uint8", calibrated=True)

CHOICES: Mapping[str, tuple[Variant, ...]] = {
    "int8": (INT8,),
    "float16": (FLOAT16,),
    "dynamic": (DYNAMIC,),
    "float32": (FLOAT32,),
    "all": (FLOAT32, FLOAT16, DYNAMIC, INT8),
}


def paths(chosen: Sequence[Variant], target: Path) -> list[Path]:
    """Return the path of each variant: `target` is for int8, or for the only variant."""
    return [
        target
        if variant is INT8 or len(chosen) == 1
        else target.with_suffix(f".{variant.name}.tflite")
        for variant in chosen
    ]
