"""Tests batches of an epoch: every face once, mixed in pairs, repeatable from seed and epoch."""

from __future__ import annotations

import os

import numpy as np
import pytest
from numpy.typing import NDArray

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
pytest.importorskip("keras", reason="the train extra is not installed")

# it imports Keras
from train.batches import Batch, Batches
from train.devices import Sharding
from train.targets import TrainingSet, class_weights

FACES, SIZE = 50, 16


def batches(mixup: float = 0.0, seed: int = 1, epoch: int = 0, **sharding: int) -> Batches:
    """Faces whose pixels are their number, with targets and weights to match."""
    number = np.arange(FACES)
    training = TrainingSet(
        np.broadcast_to(number.astype(np.uint8)[:, None, None, None], (FACES, 48, 48, 1)),
        np.eye(7, dtype=np.float32)[number % 7],
        (1 + number / FACES).astype(np.float32),
    )
    source = Batches(
        training, SIZE, mixup=mixup, mixup_epochs=9, seed=seed, sharding=Sharding(**sharding)
    )
    source.next_epoch = epoch
    return source


def epoch_of(source: Batches) -> list[Batch]:
    """Return all batches that Keras reads in the next epoch."""
    source.on_epoch_begin()
    return [source[number] for number in range(len(source))]


def same(one: list[Batch], other: list[Batch]) -> bool:
    return all(
        np.array_equal(a, b)
        for first, second in zip(one, other, strict=True)
        for a, b in zip(first, second, strict=True)
    )


def faces_of(epoch: list[Batch]) -> NDArray[np.float64]:
    return np.concatenate([x[:, 0, 0, 0] for x, _, _ in epoch]).astype(float)


def test_an_epoch_has_each_face_once_with_its_target_and_weight() -> None:
    epoch = epoch_of(batches())
    assert [len(x) for x, _, _ in epoch] == [16, 16, 16]
    numbers = faces_of(epoch).astype(int)
    assert len(set(numbers.tolist())) == 48
    assert numbers.tolist() != sorted(numbers)
    targets, weights = (np.concatenate([batch[i] for batch in epoch]) for i in (1, 2))
    np.testing.assert_array_equal(targets.argmax(axis=1), numbers % 7)
    np.testing.assert_allclose(weights, 1 + numbers / FACES, rtol=1e-6)


def test_each_epoch_drops_other_faces_that_fill_no_batch() -> None:
    source = batches()
    left = [set(range(FACES)) - set(faces_of(epoch_of(source)).astype(int)) for _ in range(6)]
    assert {len(faces) for faces in left} == {2}
    assert len(set.union(*left)) > 6


def test_fewer_faces_than_a_batch_are_one_batch() -> None:
    y = np.zeros(5, np.float32)
    few = TrainingSet(np.zeros((5, 48, 48, 1), np.uint8), np.zeros((5, 7), np.float32), y)
    source = Batches(few, SIZE, mixup=0.0, mixup_epochs=0, seed=1, sharding=Sharding())
    assert [len(x) for x, _, _ in epoch_of(source)] == [5]


@pytest.mark.parametrize("mixup", [0.0, 0.3])
def test_two_processes_share_the_batch_of_one(mixup: float) -> None:
    whole = epoch_of(batches(mixup))
    parts = [epoch_of(batches(mixup, devices=2, shards=2, shard=shard)) for shard in (0, 1)]
    together = [
        tuple(np.concatenate(pair) for pair in zip(*both, strict=True))
        for both in zip(*parts, strict=True)
    ]
    assert same(whole, together)  # type: ignore[arg-type]


@pytest.mark.parametrize("mixup", [0.0, 0.3])
def test_batches_depend_on_seed_and_epoch_alone(mixup: float) -> None:
    unbroken = batches(mixup)
    epochs = [epoch_of(unbroken) for _ in range(4)]
    assert same(epoch_of(batches(mixup, epoch=3)), epochs[3]), "a resumed run sees others"
    assert not same(epochs[0], epochs[1])
    assert not same(epoch_of(batches(mixup, seed=2)), epochs[0])


def test_batches_can_be_read_repeatedly_and_in_any_order() -> None:
    source = batches(mixup=0.3)
    epoch = epoch_of(source)
    assert same([source[n] for n in reversed(range(len(source)))], epoch[::-1])


def test_mixup_mixes_faces_targets_and_weights_by_one_share() -> None:
    plain, mixed = epoch_of(batches()), epoch_of(batches(mixup=1.0))
    moved = 0
    for (x, targets, weights), (x0, targets0, _) in zip(mixed, plain, strict=True):
        assert x.dtype == np.float32
        numbers, numbers0 = x[:, 0, 0, 0], x0[:, 0, 0, 0].astype(float)
        assert numbers.sum() == pytest.approx(numbers0.sum(), rel=1e-4)
        np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-5)
        np.testing.assert_allclose(targets.sum(axis=0), targets0.sum(axis=0), atol=1e-4)
        np.testing.assert_allclose(weights, 1 + numbers / FACES, rtol=1e-4)
        kept = targets[np.arange(len(x)), targets0.argmax(axis=1)]
        assert (kept > -1e-6).all()
        moved += int((abs(numbers - numbers0) > 1e-3).sum())
    assert moved > FACES / 2


def test_the_last_epochs_are_not_mixed() -> None:
    assert epoch_of(batches(mixup=1.0, epoch=8))[0][0].dtype == np.float32
    assert same(epoch_of(batches(mixup=1.0, epoch=9)), epoch_of(batches(epoch=9)))


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_class_weights_have_a_mean_of_one(balance: float) -> None:
    y = np.repeat(np.arange(7), [400, 44, 410, 722, 483, 317, 497])
    weights = class_weights(y, balance)
    assert weights.dtype == np.float32
    assert weights.mean() == pytest.approx(1, rel=1e-5)
    ratio = weights[y == 1][0] / weights[y == 3][0]
    assert ratio == pytest.approx((722 / 44) ** balance, rel=1e-4)


def test_full_balance_weighs_all_classes_alike() -> None:
    y = np.repeat(np.arange(7), [40, 4, 41, 72, 48, 31, 49])
    weights = class_weights(y, 1.0)
    of_class = [weights[y == label].sum() for label in range(7)]
    np.testing.assert_allclose(of_class, len(y) / 7, rtol=1e-4)
