"""When a request may leave: pure state machines that get the time passed in."""
