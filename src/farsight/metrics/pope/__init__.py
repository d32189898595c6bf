"""POPE: yes/no questions about objects; scored, compared, and made for any pictures."""

from farsight.metrics.pope.scoring import PopeScore, score, table

__all__ = ["PopeScore", "score", "table"]
