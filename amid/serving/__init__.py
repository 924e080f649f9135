"""Released students: written, loaded, exported and served by MLflow."""
