"""The widgets of the monitor. Only `TextBlock` and `RowList` put data on the screen."""
