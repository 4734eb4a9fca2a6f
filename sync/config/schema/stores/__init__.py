"""The configuration of each kind of store; ``kinds`` lists them."""
