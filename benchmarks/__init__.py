"""The speed that latent promises, measured against a peer in the same run: `make bench`."""
