"""Runs as seen from their folders: status, logs, requeue, cancel."""
