"""Untrusted bytes in, checked sRGB pictures out."""
