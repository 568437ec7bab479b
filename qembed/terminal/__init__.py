"""What commands share on the terminal: options, rows as table, CSV or JSON, progress."""
