"""Runs a TFLite file on faces, and reads the weights of its layers."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import __version__ as version
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from train.dataset import SIZE_PX
from train.quiet import quiet_stderr
from train.scores import Classify, Faces, Probabilities

RUNTIME = f"ai-edge-litert {version}"

# The operators with weights, and the order of their axes in Keras.
WEIGHTED = {"CONV_2D": (1, 2, 3, 0), "FULLY_CONNECTED": (1, 0)}

Weights = tuple[NDArray[np.float32], NDArray[np.float32]]  # kernel and bias


def classifier(content: bytes, classes: int) -> Classify:
    """Return a function that classifies one face at a time, because the files have a batch of one.

    Raises ValueError if the input is not gray 48×48 faces or the output not `classes` classes, and
    the runtime's own errors if it is not a TFLite file. A quantized probability of zero is returned
    as half of its step, because its logarithm is needed.
    """
    with quiet_stderr():  # the runtime announces its kernels
        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
    (face,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    if tuple(face["shape"]) != (1, SIZE_PX, SIZE_PX, 1) or answer["shape"][-1] != classes:
        raise ValueError(f"it takes {face['shape']} and answers {answer['shape']}")
    scale, zero_point = answer["quantization"]

    def classify_one(x: Faces) -> NDArray[Any]:
        interpreter.set_tensor(face["index"], x[None].astype(face["dtype"]))
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(answer["index"])[0])

    def classify(x: Faces) -> Probabilities:
        stored = np.array([classify_one(each) for each in x]).astype(np.float32)
        return stored if scale == 0 else np.maximum((stored - zero_point) * scale, scale / 2)

    return classify


def weights_of(content: bytes) -> list[Weights]:
    """Return kernel and bias of each operator that has them, in the order of execution.

    This uses a private method of the interpreter, as no public one tells which belong together.
    """
    interpreter = Interpreter(
        model_content=content,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    tensors = {each["index"]: each for each in interpreter.get_tensor_details()}

    def values(index: int) -> NDArray[np.float32]:
        stored = np.asarray(interpreter.get_tensor(index), dtype=np.float32)
        quantization: dict[str, Any] = tensors[index]["quantization_parameters"]
        scales = quantization["scales"]
        if not len(scales):
            return stored
        axis = [1] * stored.ndim
        axis[quantization["quantized_dimension"]] = len(scales)
        return np.asarray(stored * scales.reshape(axis), dtype=np.float32)

    return [
        (values(each["inputs"][1]).transpose(WEIGHTED[each["op_name"]]), values(each["inputs"][2]))
        for each in interpreter._get_ops_details()
        if each["op_name"] in WEIGHTED
    ]
