"""Networks of a recipe: built from its seed, and brought to float32 for export."""

from __future__ import annotations

import keras

from train.architectures import ARCHITECTURES
from train.recipe import Recipe


def build(recipe: Recipe) -> keras.Model:
    """The untrained network of `recipe`; the same seed gives the same weights."""
    keras.utils.set_random_seed(recipe.seed)
    return ARCHITECTURES[recipe.architecture]()


def in_float32(network: keras.Model, recipe: Recipe) -> keras.Model:
    """The same network in float32, whatever it was trained in."""
    keras.config.set_dtype_policy("float32")
    portable = build(recipe)
    portable.set_weights(network.get_weights())
    return portable
