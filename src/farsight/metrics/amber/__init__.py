"""AMBER: what descriptions make up and leave out, and questions about objects, attributes and relations."""

from farsight.metrics.amber.scoring import AmberScore, score

__all__ = ["AmberScore", "score"]
