"""Labelled photographs and edited copies, to measure models with."""
