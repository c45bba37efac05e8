"""Answer formats: extract, compare, verdict. Graders are pure and versioned."""
