"""A package in, a disposition with its evidence out."""
