"""Untagged products in, a reviewed label tree out: proposed, looked through, compared, applied to old tags."""
