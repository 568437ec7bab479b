"""Where quality is lost, what it costs, and whether gates hold."""
