"""The trainer: one loop for pretraining and fine-tuning, its engine, checkpoints, metrics and signals.

Nothing is imported here: DeepSpeed takes seconds to load, and reading a checkpoint does not need it.
"""
