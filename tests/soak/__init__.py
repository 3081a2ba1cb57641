"""What repeats many times or waits for long; left out unless `-m soak` asks for it."""
