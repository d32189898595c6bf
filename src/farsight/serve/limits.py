"""What one request, and all that are there at once, may cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Upper bounds; what is above them is refused before it is computed.

    Parameters
    ----------
    new_tokens
        Of one answer; also what the operator sets.
    usual_new_tokens
        Of an answer to a request that does not say.
    requests
        That are read, wait or are answered at once.
    batch_size
        Requests that are answered together, where they can be, and as far as their pictures together have no more
        pixels than one may have.
    body_bytes
        Of one request. A picture of the size that is read at most needs about so many.
    held_bytes
        Of all requests that are read at once.
    body_seconds
        In which a request has to arrive.
    send_seconds
        In which a client has to take the next part of an answer.
    values
        In the JSON of a request: each takes memory, however short it is.
    pictures
        In one request. Together they have no more pixels than one may have.
    letters_per_token
        How many letters a token has at the very most: longer texts fit into no context, and are not even tokenized.
    letters
        Of a request to a model that does not say how long its context is.
    stops, stop_letters
        Stop texts, and the letters of each.
    biased_tokens
        Most tokens in ``logit_bias``.
    """

    new_tokens: int = 4096
    usual_new_tokens: int = 1024
    requests: int = 64
    batch_size: int = 8
    body_bytes: int = 32 * 2**20
    held_bytes: int = 128 * 2**20
    body_seconds: float = 60.0
    send_seconds: float = 30.0
    values: int = 1_000_000
    pictures: int = 16
    letters_per_token: int = 16
    letters: int = 1_000_000
    stops: int = 4
    stop_letters: int = 500
    biased_tokens: int = 4096
