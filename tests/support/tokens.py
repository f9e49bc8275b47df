"""Tokens as an application's back end would sign them."""

import time

import jwt

from support.server import SECRET


def mint(user="ada", seconds=600, secret=SECRET, algorithm="HS256", headers=None, **claims):
    """A JWT that ends in `seconds` (None: never). A claim given as None is left out."""
    claims = {"sub": user, "exp": None if seconds is None else int(time.time() + seconds)} | claims
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, secret, algorithm=algorithm, headers=headers)
