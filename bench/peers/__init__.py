"""Durable task queues that are measured beside ours: one script for each, run in an environment of its own."""
