"""stack.toml and Dockerfiles -> inputs and keys, and the build context as it was read.

May not start anything, nor ask a registry or the network.
"""
