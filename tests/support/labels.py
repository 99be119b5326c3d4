"""The labels of FER2013, in its order."""

LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
