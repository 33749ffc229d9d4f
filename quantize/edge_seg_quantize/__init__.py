"""Quantisation: from a float run to the one-file int8 model. The only package that uses legacy Keras."""
