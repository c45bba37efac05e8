"""From claim to verdict: which sample is next, whether it can be paid, how it is sent and what becomes of it."""
