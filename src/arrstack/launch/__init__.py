"""The product: plan, then for each tier wheels, image, proof, publish, and the tags last. Shows nothing to a person."""
