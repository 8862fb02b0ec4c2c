"""Screens product pictures of shipments against known counterfeit and prohibited items."""
