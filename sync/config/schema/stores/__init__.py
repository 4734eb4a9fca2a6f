"""Each kind of store as the configuration sees it; ``kinds`` is the list of them."""
