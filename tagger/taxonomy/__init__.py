"""Untagged products in, a reviewed label tree out: proposed, looked through, compared with another, applied to old tags."""
