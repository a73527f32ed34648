"""The command line: thin commands over the package. Heavy imports wait until a command needs them."""
