"""Networks of a recipe: built from its seed, and brought to float32 for export."""

from __future__ import annotations

import keras
from keras import layers

from train.architectures import ARCHITECTURES, CLASSES
from train.recipe import Recipe


def build(recipe: Recipe) -> keras.Model:
    """The untrained network of `recipe`; the same seed gives the same weights."""
    keras.utils.set_random_seed(recipe.seed)
    return ARCHITECTURES[recipe.architecture]()


def with_votes_head(network: keras.Model) -> keras.Model:
    """`network` (n, 7) with seven more probabilities behind its own: those of FER+'s votes.

    The second head shares everything but the last layer. What people voted and what FER2013 calls
    a face differ; learning both makes for better features than learning their mixture.
    Source: Caruana, Multitask Learning, 1997.
    """
    last = [layer for layer in network.layers if layer.weights][-1]
    votes = layers.Dense(CLASSES, activation="softmax", dtype="float32", name="votes")(
        layers.Flatten()(last.input)
    )
    both = layers.Concatenate(dtype="float32")([network.output, votes])
    return keras.Model(network.input, both, name=f"{network.name}_with_votes")


def in_float32(network: keras.Model, recipe: Recipe) -> keras.Model:
    """The same network in float32, whatever it was trained in."""
    keras.config.set_dtype_policy("float32")
    portable = build(recipe)
    portable.set_weights(network.get_weights())
    return portable
