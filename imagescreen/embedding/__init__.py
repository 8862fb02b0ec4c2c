"""Checked pictures in, unit vectors out."""
