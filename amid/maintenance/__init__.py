"""Tools that repair, check and compare."""
