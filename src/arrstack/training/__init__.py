"""Training jobs on a queue of W&B Launch: what machines there are, what a job is told, and putting it on the queue.

May not read images, know of plans, ask Google, nor show anything to a person. wandb is imported in `client`, a process of its own, and nowhere else.
"""
