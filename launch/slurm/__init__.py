"""Jobs on Slurm: script, submission, arrays, and what comes after a failure."""
