"""What is checked before a job is started or queued."""
