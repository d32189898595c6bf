"""What a model is given, and the model itself: checkpoints, and prompts with their pictures and videos."""
