"""`python -m stylexport`."""

from stylexport.cli import main

main()
