"""The files of an artefact, wherever they lie: a disk, a wheel, the layers of an image. Bounded readers; no verdicts."""
