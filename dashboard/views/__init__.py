"""The pages, one file each: ``page(scene)`` draws it, ``warm(scene)`` computes what its first view needs."""
