"""Programs that treat StylExport badly, and count what comes of it. They are no part of the package."""
