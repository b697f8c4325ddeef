"""Pipelines: stages in order on this machine, or as a chain of Slurm jobs."""
