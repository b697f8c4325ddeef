"""What every process of a job does before its work: environment, checks, meeting, claim."""
