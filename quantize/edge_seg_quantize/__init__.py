"""Quantisation: from a float run to the one-file int8 model. The only room that knows legacy Keras."""
