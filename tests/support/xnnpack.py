"""The operators for which XNNPACK has int8 kernels."""

XNNPACK_INT8 = {
    *("ADD", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "LEAKY_RELU", "LOGISTIC"),
    *("MAX_POOL_2D", "MEAN", "MUL", "PAD", "QUANTIZE"),
}
