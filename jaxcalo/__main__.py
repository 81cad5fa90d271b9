"""`python -m jaxcalo`: the same as the command `jaxcalo`."""

from jaxcalo.cli.main import main

if __name__ == "__main__":
    main()
