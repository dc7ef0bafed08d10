"""Writes each input file in upper case."""

import os

import dvx_batch


def work(datum):
    folder = os.path.join(datum.inp, "words")
    for name in os.listdir(folder):
        with open(os.path.join(folder, name)) as f, open(os.path.join(datum.out, name), "w") as to:
            to.write(f.read().upper())


dvx_batch.run(work)
