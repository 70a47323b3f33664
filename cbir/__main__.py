"""`python -m cbir`."""

from cbir.cli import main

if __name__ == "__main__":
    main()
