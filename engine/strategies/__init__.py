"""The requests that ask a teacher for a rationale, in one or several turns."""
