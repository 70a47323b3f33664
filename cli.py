"""`python cli.py …` from a checkout."""

from cbir.cli import main

if __name__ == "__main__":
    main()
