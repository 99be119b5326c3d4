"""A Keras network and calibration images in, the bytes of a TFLite model out, in one variant.

In `int8` weights are int8 per output channel, activations int8 in the ranges of `ranges`, layers
rewritten by `rounding`, and the tensors at both ends uint8, after Jacob et al., arXiv:1712.05877,
and the TFLite 8-bit specification
(https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec).
"""

from __future__ import annotations

import warnings

import keras
import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert import mlir_quantize
from tensorflow.lite.python.convert_phase import ConverterError

from convert import graph, ranges, rounding, variants
from convert.errors import ConvertError
from convert.export_folder import Images
from convert.quiet import quiet_stderr
from convert.variants import Variant

PIXEL_RANGE = (0.0, 255.0)  # so that one step of the input is one gray level


def to_tflite(model: keras.Model, calibration: Images, variant: Variant) -> bytes:
    """Convert for a batch of one, with raw pixels in and probabilities out.

    `ConvertError` where an operator cannot be converted, stays in floating point in a model that
    should be all integer, or the input is not raw pixels.
    """
    converter = _converter(model, calibration.shape[1:])
    _configure(converter, calibration, variant)
    try:
        with quiet_stderr(), warnings.catch_warnings():
            # It wants the input's range beforehand, which the samples give.
            warnings.filterwarnings("ignore", "Statistics for quantized inputs")
            content = bytes(converter.convert())
            if variant.calibrated:
                content = _to_integers(content, calibration)
    except (ConverterError, ValueError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ConvertError(
            f"the network cannot be converted to {variant.name}: {reason}"
        ) from error
    _check_ends(graph.read(content), variant)
    return content


def _converter(model: keras.Model, shape: tuple[int, ...]) -> tf.lite.TFLiteConverter:
    """A converter for a batch of exactly one: an open batch would add SHAPE and PACK operators."""
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
        # Scales for each channel of a dense layer are version 12 of FULLY_CONNECTED, which
        # tflite-runtime 2.14 refuses; one scale for the layer is version 9, which it has.
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    else:
        # The float model with a place for each tensor's range, which `ranges` then fills.
        converter.representative_dataset = lambda: [[calibration[:1].astype(np.float32)]]
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter._experimental_calibrate_only = True


def _to_integers(calibrated: bytes, calibration: Images) -> bytes:
    """Quantize a float model that has a range for each tensor, though not yet the best one."""
    learned = ranges.learn(calibrated, calibration)
    model = graph.unpack(calibrated)
    (pixels,), tensors = model.subgraphs[0].inputs, model.subgraphs[0].tensors
    for i, tensor in enumerate(tensors):
        ends = PIXEL_RANGE if i == pixels else learned.get(tensor.name.decode())
        if ends is not None:
            low, high = ends
            tensor.quantization.min = np.array([low], np.float32)
            tensor.quantization.max = np.array([high], np.float32)
    content = mlir_quantize(graph.pack(model), input_data_type=tf.uint8, output_data_type=tf.uint8)
    return rounding.unambiguous(bytes(content))


def _check_ends(converted: graph.Graph, variant: Variant) -> None:
    if not variant.calibrated:
        return
    if converted.float_operators:
        names = ", ".join(converted.float_operators)
        raise ConvertError(f"the network cannot be all int8: {names} stayed in floating point")
    pixels = converted.inputs[0]
    if (pixels.dtype, pixels.scale, pixels.zero_point) != ("UINT8", 1.0, 0):
        raise ConvertError(
            f"the input is {pixels.dtype} with scale {pixels.scale} and zero point "
            f"{pixels.zero_point}, not raw pixels: the network must take 0–255"
        )
