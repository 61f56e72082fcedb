"""Hosts of language models behind one method; `open_engine` makes one by name."""
