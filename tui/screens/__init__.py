"""The screens of the monitor; `base_screen` is what they share."""
