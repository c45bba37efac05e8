"""One request to one API: dialect, HTTP, error classification."""
