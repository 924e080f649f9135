"""Training runs: the plan, the store, the scheduler, and training in several processes."""
