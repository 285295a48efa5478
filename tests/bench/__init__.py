"""The gateway beside nginx and other gateways, on one machine, in one run: `make bench`."""
