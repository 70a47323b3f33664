"""The version, which modules below the package itself may know too."""

__version__ = "0.2.0"
