"""The page of a report: charts, pictures and tables in one HTML file, drawn from its numbers."""
