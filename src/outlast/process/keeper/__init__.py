"""The small parent of sessions that outlives the gateway. Standard library only."""
