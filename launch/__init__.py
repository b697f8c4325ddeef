"""From a recipe to jobs: the command line, executors and pipelines."""
