"""The variants one network is converted to: how each stores weights, and what crosses its ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to quantize. `ends` is the dtype of input and output; pixels are 0–255 in all."""

    name: str
    weights: str
    ends: str
    calibrated: bool = False  # whether activations are quantized too, with ranges from samples

    @property
    def scheme(self) -> dict[str, str]:
        """What `spec.json` says of it."""
        return {
            "scheme": self.name,
            "weights": self.weights,
            "input": self.ends,
            "output": self.ends,
        }

    def path(self, target: Path) -> Path:
        """Where this variant goes if the default one is `target`."""
        return target if self is DEFAULT else target.with_suffix(f".{self.name}.tflite")


FLOAT32 = Variant("float32", weights="float32", ends="float32")
FLOAT16 = Variant("float16", weights="float16", ends="float32")
DYNAMIC = Variant("dynamic", weights="int8", ends="float32")
INT8 = Variant("int8", weights="int8 per channel", ends="uint8", calibrated=True)

DEFAULT = INT8
CHOICES: Mapping[str, tuple[Variant, ...]] = {
    DEFAULT.name: (DEFAULT,),
    "all": (FLOAT32, FLOAT16, DYNAMIC, INT8),
}
