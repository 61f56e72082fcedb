"""How good and how fast: labelled rows through the pipeline that serves, and the figures with intervals."""
