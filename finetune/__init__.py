"""Labelled rows in, training rows and a LoRA adapter out: for when showing examples is not enough."""
