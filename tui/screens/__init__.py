"""The monitor's screens, one a module; `view` is what they share."""
