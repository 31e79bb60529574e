"""This machine: its processes, folders, resources and logins. Knows nothing of recipes, registries or images."""
