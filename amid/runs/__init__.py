"""The run plan (which runs a section needs), the run store, and the executor that trains them."""
