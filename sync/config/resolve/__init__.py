"""From the models to what a cycle works on: Pages, references, selections."""
