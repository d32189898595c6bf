"""Videos of the small world: eight frames in which objects move, enter and leave, and a model that watches them.

`videos` says what happens and draws it, `language` what is said about it; `network`, `processor`, `lessons`, `plan` and
`train` make the model.
"""
