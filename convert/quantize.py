"""Converts a Keras network to TFLite in one variant, and chooses its calibration samples.

In `int8`, weights are int8 per output channel and activations are int8. Input and output are uint8.
`ranges` finds the activations' ranges, and `rounding` rewrites the layers. The method is that of
Jacob et al., arXiv:1712.05877, and of the TFLite 8-bit specification
(https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec).
"""

from __future__ import annotations

import warnings
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert import mlir_quantize
from tensorflow.lite.python.convert_phase import ConverterError

from convert import ranges, rounding, tflite, variants
from convert.errors import ConvertError
from convert.export_folder import Images
from convert.quiet import quiet_stderr
from convert.variants import Variant

PIXEL_RANGE = (0.0, 255.0)  # so that one step of the input is one gray level
SAMPLES = 1000  # a report of all variants shows the effect of other numbers
MIN_SAMPLES = 50
MIN_CONTRAST_LEVELS = 16  # the range of gray in a picture that shows anything
MAX_BLANK_SHARE = 0.1  # FER2013 itself has a few blank pictures

_CAMERA_GAIN = 0.35  # the share of the light, or of the contrast, that remains


def choose_samples(pool: Images, samples: int = SAMPLES) -> Images:
    """Choose `samples` images spread evenly over the pool, or all images of a smaller pool.

    The pool (n, height, width, 1) is stratified by class and in random order, and so is the choice.
    As cameras take dark and flat pictures, every fourth image is darkened, and the contrast of
    every fourth is reduced.
    """
    places = np.linspace(0, len(pool) - 1, min(samples, len(pool))).round().astype(int)
    real = pool[places].astype(np.float32)
    real[1::4] *= _CAMERA_GAIN
    means = real[3::4].mean(axis=(1, 2, 3), keepdims=True)
    real[3::4] = means + _CAMERA_GAIN * (real[3::4] - means)
    chosen: Images = real.round().astype(np.uint8)
    return chosen


def check_samples(path: Path, images: Images) -> None:
    """Raise ConvertError if too many of the images (n, height, width, 1) of `path` are blank.

    The gate would refuse the resulting model too, but later and without the reason.
    """
    fix = "train again, or put more pictures of faces there"
    if len(images) < MIN_SAMPLES:
        raise ConvertError(
            f"{path} holds {len(images)} samples; at least {MIN_SAMPLES} are needed: {fix}"
        )
    flat = images.reshape(len(images), -1)
    blank = np.ptp(flat, axis=1) < MIN_CONTRAST_LEVELS
    if blank.mean() > MAX_BLANK_SHARE:
        raise ConvertError(
            f"{path} cannot calibrate a model: {blank.sum()} of its {len(images)} samples are "
            f"blank (less than {MIN_CONTRAST_LEVELS} gray levels of contrast); the limit is "
            f"{100 * MAX_BLANK_SHARE:g} %: {fix}"
        )
    different = len(np.unique(flat, axis=0))
    if different < MIN_SAMPLES:
        raise ConvertError(
            f"{path} cannot calibrate a model: only {different} of its {len(images)} samples "
            f"are different; at least {MIN_SAMPLES} must be: {fix}"
        )


def to_tflite(model: keras.Model, calibration: Images, variant: Variant) -> bytes:
    """Convert to a model that takes one image of raw pixels and answers with probabilities.

    Raises ConvertError if an operator cannot be converted, if one stays in floating point in an
    int8 model, or if the input is not raw pixels.
    """
    if variant.calibrated:
        _check_layers(model, variant)
    converter = _converter(model, calibration.shape[1:])
    _configure(converter, calibration, variant)
    try:
        with quiet_stderr(), warnings.catch_warnings():
            # The converter needs the range of the input, which it takes from the samples.
            warnings.filterwarnings("ignore", "Statistics for quantized inputs")
            content = bytes(converter.convert())
            if variant.calibrated:
                content = _to_integers(content, calibration)
    except (ConverterError, ValueError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ConvertError(
            f"the network cannot be converted to {variant.name}: {reason}{_other_variant(variant)}"
        ) from error
    _check_interface(tflite.read(content), variant)
    return content


def _converter(model: keras.Model, shape: tuple[int, ...]) -> tf.lite.TFLiteConverter:
    """Return a converter for a batch of one: an open size would add SHAPE and PACK operators."""
    signature = [tf.TensorSpec((1, *shape), tf.float32, name="gray")]
    function = tf.function(lambda gray: model(gray, training=False), input_signature=signature)
    owner = tf.Module()
    owner.variables_of_keras = [variable.value for variable in model.variables]
    return tf.lite.TFLiteConverter.from_concrete_functions(
        [function.get_concrete_function()], owner
    )


def _configure(converter: tf.lite.TFLiteConverter, calibration: Images, variant: Variant) -> None:
    if variant is variants.FLOAT32:
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if variant is variants.FLOAT16:
        converter.target_spec.supported_types = [tf.float16]
    elif variant is variants.DYNAMIC:
        # Scales per channel of a dense layer need version 12 of FULLY_CONNECTED, which
        # tflite-runtime 2.14 refuses; one scale for the layer needs version 9, which it has.
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    else:
        # A float model with an empty range for each tensor, which `ranges` fills.
        converter.representative_dataset = lambda: [[calibration[:1].astype(np.float32)]]
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter._experimental_calibrate_only = True


def _to_integers(calibrated: bytes, calibration: Images) -> bytes:
    """Set the best range of each tensor of a float model, then quantize it."""
    learned = ranges.learn(calibrated, calibration)
    model = tflite.unpack(calibrated)
    pixels = tflite.copies_of_input(model)
    for i, tensor in enumerate(model.subgraphs[0].tensors):
        ends = PIXEL_RANGE if i in pixels else learned.get(tensor.name.decode())
        if ends is not None:
            low, high = ends
            tensor.quantization.min = np.array([low], np.float32)
            tensor.quantization.max = np.array([high], np.float32)
    content = mlir_quantize(tflite.pack(model), input_data_type=tf.uint8, output_data_type=tf.uint8)
    return rounding.unambiguous(bytes(content))


def _check_layers(model: keras.Model, variant: Variant) -> None:
    """Raise ConvertError for recurrent layers, at whose calibration TensorFlow crashes."""
    for layer in model._flatten_layers():
        if isinstance(layer, (keras.layers.RNN, keras.layers.Bidirectional)):
            raise ConvertError(
                f"the layer {layer.name} is recurrent, which cannot be converted to {variant.name}"
                f"{_other_variant(variant)}"
            )


def _check_interface(converted: tflite.Graph, variant: Variant) -> None:
    if not variant.calibrated:
        return
    if converted.float_operators:
        names = ", ".join(converted.float_operators)
        raise ConvertError(
            f"the network cannot be all int8: {names} stayed in floating point"
            f"{_other_variant(variant)}"
        )
    pixels = converted.inputs[0]
    if (pixels.dtype, pixels.scale, pixels.zero_point) != ("UINT8", 1.0, 0):
        raise ConvertError(
            f"the input is {pixels.dtype} with scale {pixels.scale} and zero point "
            f"{pixels.zero_point}, not raw pixels: the network must take 0–255 (begin with a "
            "Rescaling layer)"
        )


def _other_variant(variant: Variant) -> str:
    """Return the advice for a network that cannot be converted to int8."""
    return "; convert it with --variants float16" if variant.calibrated else ""
