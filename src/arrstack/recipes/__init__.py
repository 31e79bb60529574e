"""stack.toml and Dockerfiles -> inputs and keys. Reads the project's files; starts nothing and asks no registry."""
