"""`python -m latent`: the command line where its script is not on the path."""

from latent.cli import main

if __name__ == "__main__":
    main()
