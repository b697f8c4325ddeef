"""The cluster's side: a Slurm of several nodes on one machine."""
