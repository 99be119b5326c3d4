"""Builds the network of a recipe, and splits a trained one into a network for each head."""

from __future__ import annotations

import keras
from keras import layers

from train.architectures import ARCHITECTURES
from train.dataset import LABELS as FER2013_LABELS
from train.recipe import Recipe

LABELS, VOTES = "labels", "votes"  # the heads; also the name of the second one's layer


def build(recipe: Recipe) -> keras.Model:
    """Return the untrained network of `recipe`; the same seed gives the same weights.

    With a votes head its output is (n, 2 × classes): the probabilities of the labels, then those of
    FER+'s votes.
    """
    keras.utils.set_random_seed(recipe.seed)
    network = ARCHITECTURES[recipe.architecture](len(recipe.labels))
    return with_votes_head(network) if recipe.votes_head else network


def with_votes_head(network: keras.Model) -> keras.Model:
    """Return `network` with a second head that shares every layer but the last.

    FER+'s votes and FER2013's labels differ; learning both gives better features than learning a
    mixture of them (Caruana, Multitask Learning, 1997).
    """
    last = last_weighted(network)
    classes = network.output_shape[-1]
    votes = layers.Dense(classes, activation="softmax", dtype="float32", name=VOTES)(
        layers.Flatten()(last.input)
    )
    both = layers.Concatenate(dtype="float32")([network.output, votes])
    return keras.Model(network.input, both, name=f"{network.name}_with_votes")


def last_weighted(network: keras.Model) -> keras.layers.Layer:
    """Return the last layer that has weights, which gives the logits."""
    return [layer for layer in network.layers if layer.weights][-1]


def first_head(trained: keras.Model, recipe: Recipe) -> keras.Model:
    """Return `trained` without its votes head, if it has one; the layers are shared."""
    if not recipe.votes_head:
        return trained
    own, _ = trained.layers[-1].input
    return keras.Model(trained.input, own)


def heads_in_float32(trained: keras.Model, recipe: Recipe) -> dict[str, keras.Model]:
    """Return a float32 network for each head of `trained`, by name.

    Each has the architecture of the recipe without a second head.
    """
    keras.config.set_dtype_policy("float32")
    weights = first_head(trained, recipe).get_weights()
    heads = {LABELS: _single(recipe)}
    heads[LABELS].set_weights(weights)
    if recipe.votes_head:
        heads[VOTES] = _single(recipe)
        heads[VOTES].set_weights(weights)
        last = last_weighted(heads[VOTES])
        kernel, bias = trained.get_layer(VOTES).get_weights()
        last.set_weights([kernel.reshape(last.kernel.shape), bias])
    return heads


def without_contempt(head: keras.Model, recipe: Recipe) -> keras.Model:
    """Return `head` for FER2013's seven classes only, whose probabilities then sum to 1."""
    classes = len(FER2013_LABELS)
    *before, kernel, bias = head.get_weights()
    seven = ARCHITECTURES[recipe.architecture](classes)
    seven.set_weights([*before, kernel[..., :classes], bias[:classes]])
    return seven


def _single(recipe: Recipe) -> keras.Model:
    return ARCHITECTURES[recipe.architecture](len(recipe.labels))
