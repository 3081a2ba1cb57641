"""What the answers and errors of providers mean: status, headers, an exhausted quota, a lost connection."""
