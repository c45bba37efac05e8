"""The commands of the command line, one module each; `parser` knows them all and imports none."""
