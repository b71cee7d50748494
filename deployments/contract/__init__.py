"""What the parts of the service agree on: plain data, protocols and errors. Imports neither torch nor ray."""
