"""What is in a binary: the GPU architectures, read from the files themselves, without a GPU.

Four rooms, one direction: facts, policy, verdict, show.
"""
