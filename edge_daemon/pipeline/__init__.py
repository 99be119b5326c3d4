"""The frame path: detect, track, classify, smooth, report, draw."""
