"""Hallucination metrics: files in, numbers out. No model, no torch, no downloads."""
