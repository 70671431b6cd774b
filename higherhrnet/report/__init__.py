"""Tables and charts of figures, measured and published."""
