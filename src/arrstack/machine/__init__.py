"""This machine: its processes, folders, locks, resources and logins, and what it remembers of a stack and profile.

May not know recipes, tiers or keys. The only room that starts a subprocess (`process`).
"""
