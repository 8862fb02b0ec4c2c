"""Training of the built-in model by distillation; needs the extra `train`."""
