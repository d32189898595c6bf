"""Which method to turn on, for one model and one's own pictures: a race of all that there is, and one sentence."""
