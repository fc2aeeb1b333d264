"""What runs the code: start-up, processes, threads, devices, memory, array stores, progress."""
