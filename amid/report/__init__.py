"""The report: its data, its sections, and the HTML page."""
