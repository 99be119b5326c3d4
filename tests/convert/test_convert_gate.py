"""The parts of the gate on made-up answers and images: scores, limits, labels, corruption."""

from __future__ import annotations

import numpy as np
import pytest
from support.labels import LABELS

from convert import gate, quantize, ranges, scores, trials
from convert.errors import GateError


class TestGate:
    truth = np.array([0, 1] * 100)
    sure = np.where(np.eye(2)[truth] > 0, 0.9, 0.1).astype(np.float32)

    def test_equal_answers_pass(self) -> None:
        comparison = gate.compare("pictures", self.sure, self.sure, self.truth)
        assert (comparison.agreement, comparison.mean_kl) == (1, 0)
        assert list(comparison.model.recall) == [1, 1]
        gate.refuse_broken("int8 model", [comparison], LABELS[:2], gate.Limits())

    def test_every_broken_limit_is_named_with_its_figure_and_advice(self) -> None:
        worse = self.sure.copy()
        worse[1:40:2] = worse[1:40:2, ::-1]
        good = gate.compare("first", self.sure, self.sure, self.truth)
        bad = gate.compare("second", self.sure, worse, self.truth)
        with pytest.raises(GateError) as refusal:
            gate.refuse_broken("int8 model", [good, bad], LABELS[:2], gate.Limits())
        assert str(refusal.value) == (
            "the int8 model is not good enough: "
            "on the second accuracy drops by 10.00 points (at least 5.84 at 95 % confidence); "
            "the limit is 0.5; "
            "on the second top-1 agreement is 90.00 %; the limit is 97 %; "
            "on the second the recall of 'disgust' drops by 20.00 points (at least 12.16); "
            "the limit is 3; "
            "on the second mean KL divergence is 0.1758; the limit is 0.02 nats; "
            "convert with --variants float16, train longer, or accept more with the options of "
            "python -m convert --help"
        )

    def test_a_drop_within_chance_passes(self) -> None:
        """Three of 56 faces of a class, as int8 once changed them, against a limit of 3 points."""
        before = np.ones(56, bool)
        after = before.copy()
        after[:3] = False
        drop = gate.paired_drop(before, after)
        assert drop.points == pytest.approx(3 / 56)
        # 3/56 ± 1.96 · sqrt(3 - 9/56) / 56, by hand
        assert drop.low == pytest.approx(-0.00541, abs=1e-4)
        after[:12] = False
        assert gate.paired_drop(before, after).low > 0.03
        assert gate.paired_drop(before[:0], after[:0]).points == 0

    def test_a_runtime_that_answers_differently_is_named(self) -> None:
        limits = gate.Limits()
        name = "int8 model", "litert 9"
        gate.refuse_runtime(*name, agreement=0.99, images=1000, difference=0.05, limits=limits)
        # One image of 50 is no evidence for less than 99 %.
        gate.refuse_runtime(*name, agreement=0.98, images=50, difference=0.05, limits=limits)
        with pytest.raises(GateError, match=r"on litert 9: the top class is .* 98\.00 % .* 99 %"):
            gate.refuse_runtime(*name, agreement=0.98, images=1000, difference=0, limits=limits)
        with pytest.raises(GateError, match=r"differs by 0\.060 from LiteRT's; the limit is 0\.05"):
            gate.refuse_runtime(*name, agreement=1, images=1000, difference=0.06, limits=limits)

    def test_dead_answers_are_named(self) -> None:
        nan, same = self.sure.copy(), np.broadcast_to(self.sure[:1], self.sure.shape)
        nan[:3] = np.nan
        with pytest.raises(GateError, match=r"int8 model is dead: it answers NaN .* on 3 test"):
            gate.refuse_dead("int8 model", nan, LABELS)
        with pytest.raises(GateError, match="dead: it answers 'angry' to every test image"):
            gate.refuse_dead("int8 model", same, LABELS)
        with pytest.raises(GateError, match="saturated"):
            gate.refuse_saturated("int8 model", self.sure, self.sure.round())


class TestLabels:
    truth = np.arange(700) % 7
    keras = np.eye(7, dtype=np.float32)[np.where(np.arange(700) % 5, truth, 3)]  # right on 4 of 5

    def test_fitting_labels_pass(self) -> None:
        spec = {"labels": LABELS, "dataset": {"name": "FER2013"}}
        gate.check_labels(spec, self.keras, self.truth)
        measured = {"accuracy": float((self.keras.argmax(axis=1) == self.truth).mean())}
        gate.check_labels(spec | {"metrics": measured | {"faces": 700}}, self.keras, self.truth)

    def test_two_exchanged_classes_are_named(self) -> None:
        exchanged = np.array([0, 1, 4, 3, 2, 5, 6])[self.truth]
        with pytest.raises(GateError, match="of 'fear' and 'sad' the Keras network is right on"):
            gate.check_labels({"labels": LABELS}, self.keras, exchanged)

    @pytest.mark.parametrize("favorite", range(7))
    def test_a_network_that_favors_one_class_is_not_blamed_on_the_labels(
        self, favorite: int
    ) -> None:
        """It has the class sizes of PublicTest, and names one class for 19 faces of 20."""
        truth = np.repeat(np.arange(7), [467, 56, 496, 895, 653, 415, 607])
        named = np.where(np.arange(len(truth)) % 20, favorite, truth)
        answers = np.eye(7, dtype=np.float32)[named]
        gate.check_labels({"labels": LABELS}, answers, truth)

    def test_every_shuffle_holds_two_that_fit_better_exchanged(self) -> None:
        rng = np.random.default_rng(5)
        for _ in range(50):
            order = rng.permutation(7)
            if (order != np.arange(7)).any():
                with pytest.raises(GateError, match="do not fit"):
                    gate.check_labels({"labels": LABELS}, self.keras, order[self.truth])


class TestCalibration:
    pool = np.random.default_rng(2).integers(0, 256, (2000, 8, 8, 1), np.uint8)

    def test_samples_are_spread_over_the_pool_and_partly_dark_or_flat(self) -> None:
        chosen = quantize.choose_samples(self.pool, 200)
        assert chosen.shape == (200, 8, 8, 1)
        assert np.array_equal(chosen[0], self.pool[0])
        brightness, spread = chosen.mean(axis=(1, 2, 3)), chosen.std(axis=(1, 2, 3))
        assert (brightness < 64).sum() == 50
        assert ((spread < 40) & (brightness > 90)).sum() == 50

    def test_a_small_pool_is_taken_whole(self) -> None:
        assert len(quantize.choose_samples(self.pool[:60])) == 60
        assert len(quantize.choose_samples(self.pool)) == quantize.SAMPLES


class TestRanges:
    def test_outliers_are_left_out(self) -> None:
        values = np.append(np.random.default_rng(4).normal(0, 1, 1_000_000), [40, -30])
        low, high = ranges.least_error(values)
        assert -15 < low < -3
        assert 3 < high < 20

    def test_uniform_values_keep_their_range_with_zero_in_it(self) -> None:
        low, high = ranges.least_error(np.linspace(2, 10, 5000))
        assert (low, high) == pytest.approx((0, 10), rel=0.02)

    def test_a_tensor_of_zeros_has_a_range_too(self) -> None:
        assert ranges.least_error(np.zeros(9)) == (0, 1)


class TestCorruption:
    def test_a_third_each_is_blurred_noisy_or_dark(self) -> None:
        checks = (np.indices((48, 48)).sum(axis=0) % 2 * 100 + 50).astype(np.uint8)
        images = np.repeat(checks[None, ..., None], 90, axis=0)
        bad = trials.corrupted(images)
        assert bad.shape == images.shape
        spread, brightness = bad.std(axis=(1, 2, 3)), bad.mean(axis=(1, 2, 3))
        assert (spread < 15).sum() == 30  # the squares have run together
        assert (brightness < 40).sum() == 30
        assert (spread > 50.5).sum() == 30
        assert np.array_equal(bad, trials.corrupted(images))


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
