"""The training loop: batches, devices, checkpoints."""
