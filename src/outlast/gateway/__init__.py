"""The long-running process: loops, lock and composition."""
