"""The files of an artefact, wherever they lie: a disk, a wheel, the layers of an image.

May not judge what it reads, run it, or read without a bound.
"""
