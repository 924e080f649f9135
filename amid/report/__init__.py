"""The report that people open first: what it shows, its pictures, and the page itself."""
