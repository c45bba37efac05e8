"""The monitor's widgets. Data reaches the screen through two of them only: `Block` and `RowList`."""
