"""What the operating system gives: processes, worker pools, signals, memory."""
