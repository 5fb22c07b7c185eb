"""What is done to StylExport that a user would not do on purpose: processes are killed, files are damaged. Not part of the package."""
