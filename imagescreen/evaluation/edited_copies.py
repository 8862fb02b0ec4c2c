"""Edited copies of pictures: the queries that a known item has to be found by."""

from imagescreen.references.sample.edits import edited_copy

__all__ = ["edited_copy"]
