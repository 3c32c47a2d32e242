"""`python -m stagebook.cli` is the same as `stagebook`."""

from stagebook.cli import main

main()
