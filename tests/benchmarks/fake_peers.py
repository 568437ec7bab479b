"""Peers without a model, for the tests of the harness: a vector is made of its text's letters."""

from __future__ import annotations

import os
import time

import numpy as np


class Exact:
    """Right vectors; ``seconds_per_text`` is a setting to choose from."""

    packages = ("numpy", "no-such-package")

    def __init__(self, model, exports, noise=0.0):
        print("a library that prints to stdout")  # noqa: T201
        self.noise, self.seconds_per_text = noise, 0.0

    def configure(self, seconds_per_text=0.0):
        self.seconds_per_text = seconds_per_text

    def encode(self, texts):
        time.sleep(self.seconds_per_text * len(texts))
        vectors = np.array([[len(text), text.count("a"), 1.0] for text in texts])
        return vectors + self.noise


class Absent(Exact):
    def __init__(self, model, exports):
        import a_library_that_nobody_has  # noqa: F401


class Dies(Exact):
    def encode(self, texts):
        os._exit(3)


class FailsLater(Exact):
    """Survives the tuning, then refuses."""

    calls = 0

    def encode(self, texts):
        self.calls += 1
        if self.calls > 1:
            raise RuntimeError("the kernel is out of order")
        return super().encode(texts)


class TooFew(Exact):
    def encode(self, texts):
        return super().encode(texts)[1:]
