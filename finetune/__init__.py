"""Labelled rows in, training rows out: the first step of turning an analyst's labels into an adapter."""
