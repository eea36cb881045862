"""What the files mean: SQL rules over the rows, and the derived tables."""
