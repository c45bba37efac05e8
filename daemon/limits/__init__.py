"""When a request may leave: pure state machines, with the clock passed in."""
