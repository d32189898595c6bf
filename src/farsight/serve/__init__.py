"""An OpenAI-compatible server for one model that a method is on for.

A request is read into a few values of our own (`request`), which are all that reaches the model: no text of a request
is used as a path or fetched as an address. One thread owns the model and answers one request after the other
(`worker`), as text that grows (`growing_text`); `app` has the routes, `limits` what one request may cost.
"""
