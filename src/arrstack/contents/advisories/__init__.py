"""Vulnerabilities of an image's packages, from what can be asked: the distribution's archive, a database in a file."""
