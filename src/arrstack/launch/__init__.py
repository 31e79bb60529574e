"""The product: plan, then for each tier wheels, image, proof, publish, and the tags last; besides prune and diagnose.

May not show anything to a person. A launch is given its Builder, Runner and Registry; `setup` alone chooses an engine.
"""
