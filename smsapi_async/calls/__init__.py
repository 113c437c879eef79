"""One call: its turn, its session, its attempts, and the verdict on each response."""
