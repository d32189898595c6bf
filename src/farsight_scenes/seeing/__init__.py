"""A pretrained language model that learns to see: SmolLM2 behind the embedded model's tower.

Tower and language model stay as they are. What is trained is small: a projector, and low-rank adapters beside the
language model's matrices, which are added to them when a model is made.
"""
