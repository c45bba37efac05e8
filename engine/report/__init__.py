"""Tables and figures of what was sampled, trained and evaluated."""
