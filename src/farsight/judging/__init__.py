"""What is in a picture, by annotations, by people and by detectors; and what an answer names of it."""
