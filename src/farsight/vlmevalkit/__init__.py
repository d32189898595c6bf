"""VLMEvalKit with any of our methods: ``python -m farsight.vlmevalkit --method farsight`` and its own arguments.

Nothing else of farsight imports this package, so farsight needs no VLMEvalKit.
"""
