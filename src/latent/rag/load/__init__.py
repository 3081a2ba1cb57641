"""From paths and addresses to documents: what lies there, as text, with its title and what else is known."""
