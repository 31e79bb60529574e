"""This machine: its processes, folders, locks, resources and logins, and what it remembers of a stack and profile.

May not know recipes, registries or images. The only room that starts a subprocess (`process`).
"""
