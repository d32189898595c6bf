"""``farsight web``: a page that shows what the library computes. Gradio is imported here and nowhere else."""
