"""What the commands of agents ask and print."""
