"""The gate's parts on made-up answers and images: scores, limits, labels, corruption."""

from __future__ import annotations

import numpy as np
import pytest
from support.labels import LABELS

from convert import calibration, corruption, labels, ranges, scores, verify
from convert.errors import GateError


class TestGate:
    truth = np.array([0, 1] * 100)
    sure = np.where(np.eye(2)[truth] > 0, 0.9, 0.1).astype(np.float32)

    def test_equal_answers_pass(self) -> None:
        comparison = verify.compare("pictures", self.sure, self.sure, self.truth)
        assert (comparison.agreement, comparison.mean_kl) == (1, 0)
        assert list(comparison.model.recall) == [1, 1]
        verify.refuse_broken("int8 model", [comparison], LABELS[:2], verify.Limits())

    def test_every_broken_limit_is_named_with_its_figure_and_the_worst_class(self) -> None:
        worse = self.sure.copy()
        worse[1:20:2] = worse[1:20:2, ::-1]
        good = verify.compare("first", self.sure, self.sure, self.truth)
        bad = verify.compare("second", self.sure, worse, self.truth)
        with pytest.raises(GateError) as refusal:
            verify.refuse_broken("int8 model", [good, bad], LABELS[:2], verify.Limits())
        assert str(refusal.value) == (
            "the int8 model is not good enough: "
            "on the second accuracy drops by 5.00 points, at most 0.5 is allowed; "
            "on the second top-1 agreement is 95.00 %, at least 97 % is needed; "
            "on the second the recall of 'disgust' drops by 10.00 points, at most 3 is allowed; "
            "on the second mean KL divergence is 0.0879, at most 0.02 is allowed "
            "(worst class: 'disgust', recall down 10.00 points)"
        )

    def test_a_class_of_few_images_cannot_break_the_recall_limit(self) -> None:
        truth = np.array([0] * 400 + [1] * (verify.MIN_RECALL_SAMPLES - 1))
        sure = np.where(np.eye(2)[truth] > 0, 0.9, 0.1).astype(np.float32)
        worse = sure.copy()
        worse[-2:] = worse[-2:, ::-1]
        comparison = verify.compare("pictures", sure, worse, truth)
        assert comparison.model.recall[1] == pytest.approx(47 / 49)
        assert list(comparison.worst_class) == [0, 0]
        verify.refuse_broken("int8 model", [comparison], LABELS[:2], verify.Limits())

    def test_a_runtime_that_answers_otherwise_is_named(self) -> None:
        limits = verify.Limits()
        verify.refuse_runtime("int8 model", "litert 9", 0.99, 0.05, limits)
        with pytest.raises(GateError, match=r"on litert 9: the top class is .* 98\.90 % .* 99 %"):
            verify.refuse_runtime("int8 model", "litert 9", 0.989, 0.01, limits)
        with pytest.raises(GateError, match=r"off by 0\.060 from LiteRT's, at most 0\.05"):
            verify.refuse_runtime("int8 model", "litert 9", 1, 0.06, limits)

    def test_dead_answers_are_named(self) -> None:
        nan, same = self.sure.copy(), np.broadcast_to(self.sure[:1], self.sure.shape)
        nan[:3] = np.nan
        with pytest.raises(GateError, match=r"int8 model is dead: it answers NaN .* on 3 test"):
            verify.refuse_dead("int8 model", nan, LABELS)
        with pytest.raises(GateError, match="dead: it answers 'angry' to every test image"):
            verify.refuse_dead("int8 model", same, LABELS)
        with pytest.raises(GateError, match="saturated"):
            verify.refuse_saturated("int8 model", self.sure, self.sure.round())


class TestLabels:
    truth = np.arange(700) % 7
    keras = np.eye(7, dtype=np.float32)[np.where(np.arange(700) % 5, truth, 3)]  # right on 4 of 5

    def test_fitting_labels_pass(self) -> None:
        spec = {"labels": LABELS, "dataset": {"name": "FER2013"}}
        labels.check(spec, self.keras, self.truth)
        measured = {"accuracy": float((self.keras.argmax(axis=1) == self.truth).mean())}
        labels.check(spec | {"metrics": measured | {"faces": 700}}, self.keras, self.truth)

    def test_two_exchanged_classes_are_named(self) -> None:
        exchanged = np.array([0, 1, 4, 3, 2, 5, 6])[self.truth]
        with pytest.raises(GateError, match="called 'fear' or 'sad' the Keras network is right on"):
            labels.check({"labels": LABELS}, self.keras, exchanged)

    def test_every_shuffle_holds_two_that_fit_better_exchanged(self) -> None:
        rng = np.random.default_rng(5)
        for _ in range(50):
            order = rng.permutation(7)
            if (order != np.arange(7)).any():
                with pytest.raises(GateError, match="don't fit"):
                    labels.check({"labels": LABELS}, self.keras, order[self.truth])


class TestCalibration:
    pool = np.random.default_rng(2).integers(0, 256, (2000, 8, 8, 1), np.uint8)

    def test_samples_are_spread_over_the_pool_and_partly_dark_or_flat(self) -> None:
        chosen = calibration.choose(self.pool, 200)
        assert chosen.shape == (200, 8, 8, 1)
        assert np.array_equal(chosen[0], self.pool[0])
        brightness, spread = chosen.mean(axis=(1, 2, 3)), chosen.std(axis=(1, 2, 3))
        assert (brightness < 64).sum() == 50
        assert ((spread < 40) & (brightness > 90)).sum() == 50

    def test_a_small_pool_is_taken_whole(self) -> None:
        assert len(calibration.choose(self.pool[:60])) == 60
        assert len(calibration.choose(self.pool)) == calibration.SAMPLES


class TestRanges:
    def test_outliers_are_left_out(self) -> None:
        values = np.append(np.random.default_rng(4).normal(0, 1, 1_000_000), [40, -30])
        low, high = ranges.least_error(values)
        assert -15 < low < -3
        assert 3 < high < 20

    def test_what_is_spread_evenly_keeps_its_range_with_zero_in_it(self) -> None:
        low, high = ranges.least_error(np.linspace(2, 10, 5000))
        assert (low, high) == pytest.approx((0, 10), rel=0.02)

    def test_a_tensor_of_zeros_has_a_range_too(self) -> None:
        assert ranges.least_error(np.zeros(9)) == (0, 1)


class TestCorruption:
    def test_a_third_each_is_blurred_noisy_and_dark(self) -> None:
        checks = (np.indices((48, 48)).sum(axis=0) % 2 * 100 + 50).astype(np.uint8)
        images = np.repeat(checks[None, ..., None], 90, axis=0)
        bad = corruption.corrupted(images)
        assert bad.shape == images.shape
        spread, brightness = bad.std(axis=(1, 2, 3)), bad.mean(axis=(1, 2, 3))
        assert (spread < 15).sum() == 30  # the squares have run together
        assert (brightness < 40).sum() == 30
        assert (spread > 50.5).sum() == 30
        assert np.array_equal(bad, corruption.corrupted(images))


class TestScores:
    def test_wilson_interval(self) -> None:
        assert scores.wilson(50, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
        assert scores.wilson(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)

    def test_untested_class_has_no_recall_and_no_part_in_macro_f1(self) -> None:
        answers = np.eye(3, dtype=np.float32)[[0, 0, 1, 1]]
        figures = scores.score(answers, np.array([0, 0, 1, 0]))
        assert figures.recall[1:] == (1, None)
        assert figures.recall[0] == pytest.approx(2 / 3)
        assert figures.macro_f1 == pytest.approx((0.8 + 2 / 3) / 2)

    def test_rounding_to_zero_is_no_divergence(self) -> None:
        reference = np.array([[0.999, 0.001]], np.float32)
        candidate = np.array([[1, 0]], np.float32)
        assert scores.mean_kl(reference, candidate) == pytest.approx(0, abs=1e-6)
