"""Registers as tokens: a copy of a model in which one token is a register, for engines that nobody can change."""
