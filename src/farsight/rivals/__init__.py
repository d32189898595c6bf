"""Other training-free methods, one file each."""
